"""Until when the request that is being answered has time, for whoever could wait on its behalf."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin(seconds: float) -> None:
    """The request of this task ends in so many seconds."""
    _until.set(time.monotonic() + seconds)


@contextmanager
def over(*, when: bool) -> Iterator[None]:
    """Within it nobody waits for a server, where there is a better way."""
    token = _until.set(None) if when else None
    try:
        yield
    finally:
        if token is not None:
            _until.reset(token)


def left() -> float:
    """Seconds that are left; 0 outside of a request, where nobody waits for anything."""
    until = _until.get()
    return 0.0 if until is None else max(0.0, until - time.monotonic())
