"""How long a request goes on asking a gateway whose boards come and go."""

from __future__ import annotations

import time

from pollex import deadline
from pollex.upstream.errors import AwayError, BrokenError

FIRST = 0.5
"""Seconds before the second try: a gateway has noticed by then that a board is gone."""
LONGEST = 4.0
"""Seconds between two tries at most; each pause is twice the one before."""
_BREAKS = 5
"""Tries that may break in the middle: whatever breaks so many boards had better not be given to another one."""


class Patience:
    """Of one request with one gateway."""

    def __init__(self, seconds: float) -> None:
        """For how long it is asked again since somebody answered last; 0 is never."""
        self._seconds = seconds
        self._breaks = 0
        self._pause = FIRST
        self._until: float | None = None

    def answered(self) -> None:
        """Some of the answer came: the time counts anew, and the breaks do not."""
        self._until, self._pause = None, FIRST

    def pause(self, error: AwayError | BrokenError) -> float | None:
        """Seconds until the next try, or None where there is to be none."""
        if not self._seconds:
            return None
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        until = self._until
        if isinstance(error, BrokenError):
            self._breaks += 1
            if self._breaks >= _BREAKS:
                return None
        else:
            # outside of a request, and where another model can answer, nobody waits for a board to come back
            until = min(until, now + deadline.left())
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST)
        return pause if now + pause < until else None
