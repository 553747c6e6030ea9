"""Doing something on a board at a moment that does not last."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sandbox.board import Board
from tests.waiting import read_until


@contextmanager
def standing_by(board: Board, command: str) -> Iterator[Callable[[], None]]:
    """Somebody who is logged in as root already and runs a command when told; returns how to tell them.

    A login takes longer than what the command is to meet may last on a fast machine.
    """
    line = f"echo 'standing by'; read -r _ && {{ {command}; }}"
    with subprocess.Popen([*board.ssh("root"), line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as root:
        read_until("standing by", root.stdout)

        def go() -> None:
            root.communicate("\n")

        yield go
