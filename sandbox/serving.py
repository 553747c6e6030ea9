"""What all servers have in common that tests, measurements and the sandbox start on this machine."""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

PASSIVE: Final[Mapping[str, str]] = {"OMP_WAIT_POLICY": "passive"}
"""Environment of every llama-server: threads that wait sleep. Those that spin instead keep each other, and all that
runs beside them, from getting on: at load 10, 2 to 5 tokens a second became 26 to 34."""


NEVER: Final = 300.0
"""Seconds after which what is waited for will not come: a hang, and no verdict on how busy the machine was."""


_FIRST, _COUNT = 15_000, 17_000
"""Ports below those that the kernel gives to whoever asks for any, and above those that are known for something."""
_held: deque[int] = deque()
"""Descriptors that say which ports were given away here last."""
_HELD: Final = 100


def free_port() -> int:
    """A port of the loopback that anybody can listen on, and that no other process is given here meanwhile.

    Between the answer and the moment in which a server listens lie seconds on a busy machine. In those the kernel may
    give a port that was closed to anybody, so it is none of its own, and a name that ends with this process keeps it
    from everybody else who asks here.
    """
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)
        if _taken(port):
            return port


def free_port_and(other: Callable[[int], int]) -> int:
    """A port as `free_port` finds it, of which the other one, which follows from it, is free too."""
    while True:
        port = free_port()
        if _taken(other(port)):
            return port


def _taken(port: int) -> bool:
    """Whether it was free, and is kept for this process now."""
    with socket.socket(socket.AF_UNIX) as name, socket.socket() as probe:
        try:
            name.bind(f"\0pollex-port-{port}")  # of the kernel alone, for as long as it is open
            # without SO_REUSEADDR, since a server may do without it and is kept away by a former one's last connections
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False  # another one was given it, it is in use or was just now, or there is no such port
        _held.append(name.detach())
    if len(_held) > _HELD:
        os.close(_held.popleft())
    return True


def listens(port: int) -> bool:
    """Whether somebody does, on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
