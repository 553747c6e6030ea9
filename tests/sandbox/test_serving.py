"""Ports for the servers that tests, measurements and the sandbox start."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import Final

from infra import ROOT
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
