"""In front of each upstream: a bounded queue for its slots, and a breaker for when it is down."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class QueueFullError(Exception):
    """Every slot is taken and the queue is full."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full, try again later")
        self.retry_after = retry_after
        """Seconds until a place is likely to be free."""


class Gate:
    """Slots handed out in the order of arrival; at most `length` requests wait."""

    def __init__(self, slots: int, length: int) -> None:
        self._free = slots
        self._slots = slots
        self._length = length
        self._waiting: deque[tuple[asyncio.Future[None], Callable[[int], None]]] = deque()
        self._typical = 5.0
        """Seconds that a slot was held lately; the first value is a guess that the first requests replace."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether a slot is free."""
        return self._free > 0

    @asynccontextmanager
    async def enter(self, moved: Callable[[int], None]) -> AsyncIterator[None]:
        """Hold a slot. `moved` hears the place in the queue whenever it changes, and 0 when the slot is held.

        Raises:
            QueueFullError: at once, without waiting.
        """
        await self._acquire(moved)
        started = time.monotonic()
        try:
            moved(0)
            yield
        finally:
            self._typical += 0.2 * (time.monotonic() - started - self._typical)
            self._release()

    async def _acquire(self, moved: Callable[[int], None]) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= self._length:
            raise QueueFullError(max(1, math.ceil(self._typical * (len(self._waiting) + 1) / self._slots)))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, moved))
        moved(len(self._waiting))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the slot came in the same moment; pass it on
            else:
                self._waiting.remove((turn, moved))
                self._tell()
            raise

    def _release(self) -> None:
        """Hand the slot to the first who still waits."""
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._tell()
                return
        self._free += 1

    def _tell(self) -> None:
        for place, (_, moved) in enumerate(self._waiting, start=1):
            moved(place)


class Breaker:
    """Open after some failures in a row; lets one request try again after a while."""

    def __init__(self, failures: int, seconds: float) -> None:
        self._limit = failures
        self._seconds = seconds
        self._failures = 0
        self._closed_at = 0.0

    def allows(self) -> bool:
        """Whether a request may go through. While it is open, the one that asks first after the pause may."""
        if self._failures < self._limit:
            return True
        now = time.monotonic()
        if now < self._closed_at:
            return False
        self._closed_at = now + self._seconds
        return True

    def succeeded(self) -> None:
        """The upstream answered."""
        self._failures = 0

    def failed(self) -> None:
        """The upstream did not answer as it should."""
        self._failures += 1
        if self._failures >= self._limit:
            self._closed_at = time.monotonic() + self._seconds
