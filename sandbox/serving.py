"""What all servers have in common that tests, measurements and the sandbox start on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Final

PASSIVE: Final[Mapping[str, str]] = {"OMP_WAIT_POLICY": "passive"}
"""Environment of every llama-server: threads that wait sleep. Those that spin instead keep each other, and all that
runs beside them, from getting on: at load 10, 2 to 5 tokens a second became 26 to 34."""


NEVER: Final = 300.0
"""Seconds after which what is waited for will not come: a hang, and no verdict on how busy the machine was."""


def free_port() -> int:
    """A port of the loopback that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def free_port_and(other: Callable[[int], int]) -> int:
    """A port as `free_port` finds it, of which the other one, which follows from it, is free too."""
    while True:
        port = free_port()
        try:
            socket.create_server(("127.0.0.1", other(port))).close()
        except (OSError, OverflowError):
            continue  # somebody listens there, or there is no such port
        return port
