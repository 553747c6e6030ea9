"""Until when the request that is being answered has time, for whoever could wait on its behalf."""

from __future__ import annotations

import time
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin(seconds: float) -> None:
    """The request of this task ends in so many seconds."""
    _until.set(time.monotonic() + seconds)


def left() -> float:
    """Seconds that are left; 0 outside of a request, where nobody waits for anything."""
    until = _until.get()
    return 0.0 if until is None else max(0.0, until - time.monotonic())
