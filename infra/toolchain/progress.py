"""One line that says what is being waited for."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

TERMINAL_SECONDS = 1.0
LOG_SECONDS = 30.0


def duration(seconds: float) -> str:
    """`42 s` or `2 min 10 s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """A line rewritten in place on a terminal, or written anew every 30 s to anything else."""

    def __init__(self, what: str, stream: TextIO) -> None:
        self._what = what
        self._stream = stream
        self._terminal = stream.isatty()
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Self:
        self._write(f"{self._what} …")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def say(self, detail: str) -> None:
        """Show the elapsed time and the detail, if the last line is old enough."""
        now = time.monotonic()
        if now - self._last < (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            return
        self._last = now
        self._write(f"{self._what}: {duration(now - self._start)}, {detail}")

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()
