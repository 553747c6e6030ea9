"""A text on its way to standard output part by part: only what is settled stays there.

On a terminal the words are shown as the model makes them, and rewritten where the service decided otherwise. What went
into a pipe cannot be taken back, so a pipe gets nothing that is not settled.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from pollex import console
from pollex.exits import Exit, PollexError
from pollex.frame import Frame


class Live:
    """A text between the blanks of the original; `first` is called before anything is written."""

    def __init__(self, frame: Frame, first: Callable[[], None]) -> None:
        self._frame = frame
        self._first = first
        self._begun = False
        self._settled = ""
        self._provisional = ""
        self._terminal = sys.stdout.isatty()

    def provisional(self, piece: str) -> None:
        """More of the part that is not settled yet."""
        self._provisional += piece
        if self._terminal:
            self._write(piece)

    def settled(self, part: str) -> None:
        """What the part that came since the last one has become."""
        if self._terminal and self._provisional.startswith(part):
            # What is provisional may be ahead: its rest belongs to the next part.
            self._provisional = self._provisional[len(part) :]
        elif self._terminal:
            self._take_back()
            self._write(part)
        else:
            self._write(part)
        self._settled += part

    def end(self, whole: str) -> None:
        """Write what is missing of the text that the service stands by."""
        if not whole.startswith(self._settled):
            raise PollexError(Exit.FAILED, "the service took back what it had settled", "run it without --stream")
        self.settled(whole[len(self._settled) :])
        if self._terminal:
            self._take_back()
        self._write(self._frame.tail, restored=True)

    def _write(self, text: str, *, restored: bool = False) -> None:
        if not self._begun:
            self._begun = True
            self._first()
            console.write_bytes(self._frame.encode(self._frame.head))
        console.write_bytes(self._frame.encode(text if restored else self._frame.restore(text)))

    def _take_back(self) -> None:
        """Remove from the terminal what is not settled, as far as it has not been scrolled away."""
        if not self._provisional:
            return
        size = shutil.get_terminal_size()
        column = _end(self._settled.rpartition("\n")[2], 0, size.columns)[1]
        rows = _end(self._provisional, column, size.columns)[0]
        up = min(rows, size.lines - 1)
        console.write(_moved(up, "A") + "\r" + _moved(column, "C") + "\x1b[J")
        self._provisional = ""


def _moved(steps: int, way: str) -> str:
    return f"\x1b[{steps}{way}" if steps else ""


def _end(text: str, column: int, columns: int) -> tuple[int, int]:
    """Rows down and column where a terminal's cursor is after it was given a text at a column."""
    from rich.cells import cell_len  # noqa: PLC0415 - only where something is rewritten

    row = 0
    for number, line in enumerate(text.split("\n")):
        start = column if number == 0 else 0
        width = start + cell_len(line.expandtabs())
        # A cursor after the last column waits there for the next letter.
        wrapped = max(0, width - 1) // columns
        row += wrapped + (number > 0)
        column = width - wrapped * columns
    return row, column
