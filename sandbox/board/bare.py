"""Makes a stand-in board into what comes out of the box: a password instead of keys, and a wrong clock."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

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
