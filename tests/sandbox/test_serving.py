"""Ports for the servers that tests, measurements and the sandbox start."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import Final

import pytest

from infra import ROOT
from sandbox import serving
from sandbox.serving import free_port, free_port_and

ASKS: Final = """
import sys
from sandbox.serving import free_port
print(*(free_port() for _ in range(90)), flush=True)
sys.stdin.read()
"""


def test_no_two_processes_are_given_one_port() -> None:
    """If this fails, two tests that run at a time start their servers at one port, and one of them fails."""
    given = list[int]()
    with ExitStack() as stack:
        for _ in range(8):
            asks = subprocess.Popen(
                [sys.executable, "-c", ASKS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(asks)
            assert asks.stdin is not None
            stack.callback(asks.stdin.close)
            assert asks.stdout is not None
            given += map(int, asks.stdout.readline().split())
    assert len(given) == len(set(given)) == 8 * 90


def test_a_port_is_not_given_twice() -> None:
    """If this fails, two servers of one test get one port."""
    given = [free_port() for _ in range(90)]
    assert len(set(given)) == 90
    pair = free_port_and(lambda port: port + 1)
    assert pair + 1 not in [free_port() for _ in range(90)]


def test_a_port_whose_last_connections_linger_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a server that does without SO_REUSEADDR cannot start where another one has just ended."""
    former = given_elsewhere()
    with socket.create_server(("127.0.0.1", former)) as server, socket.create_connection(server.getsockname()):
        # who closes first keeps the port for a minute
        server.accept()[0].close()
    free = given_elsewhere()
    chances = iter([former - serving._FIRST, free - serving._FIRST])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(chances))
    assert free_port() == free


def given_elsewhere() -> int:
    """A port that this process does not hold."""
    port = free_port()
    os.close(serving._held.pop())
    return port
