"""Makes a stand-in board into what comes out of the box: a password instead of keys, and a wrong clock."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from sandbox.machine import SandboxError

if TYPE_CHECKING:
    from sandbox.board import Board

PASSWORD: Final = "open sesame"  # noqa: S105 - of a board that lasts as long as a test
"""Of the login, which sudo asks for."""


def strip(board: Board, *, clock: int) -> None:
    """Change a board that is on; `bare.sh` says what, and what of it is an imitation.

    Args:
        board: it stays reachable for the sandbox as root, and no more as its login.
        clock: what its `date` says from now on, seconds since 1970.
    """
    script = Path(__file__).with_name("bare.sh").read_bytes()
    board.run(f"sh -s {board.user} {quote(PASSWORD)} {clock}", input=script, user="root")


_WORK: Final = "apt-get install -q -y -o 'DPkg::Pre-Invoke::=echo apt is at work; cat' make"
"""Holds apt's locks and waits for the end of its input; its package lies on every board's disk."""


@contextmanager
def apt_at_work(board: Board) -> Iterator[None]:
    """For the length of a `with` block somebody's own apt-get is at work, and lets nobody else in.

    Raises:
        SandboxError: it did not begin, or did not end well; holds what it said.
    """
    command = [*board.ssh("root"), _WORK]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as apt:
        said = []
        for line in apt.stdout or ():
            said.append(line)
            if line == "apt is at work\n":
                break
        else:
            raise SandboxError(f"{board.name}: {_WORK} did not begin\n{''.join(said)}")
        try:
            yield
        finally:
            rest, _ = apt.communicate()
    if apt.returncode:
        raise SandboxError(f"{board.name}: {_WORK}: exit status {apt.returncode}\n{rest}")
