"""In front of each upstream: a bounded queue for its slots, and a breaker for when it is down."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class QueueFullError(Exception):
    """Every slot is taken and the queue is full."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full, try again later")
        self.retry_after = retry_after
        """Seconds until a place is likely to be free."""


class Turn:
    """A place in the queue that becomes a slot."""

    def __init__(self, place: int, *, batch: bool) -> None:
        self._place = place
        self.batch = batch
        """Whether nobody waits for it."""
        self._heard: Callable[[int], None] | None = None
        # Not a future: cancelling whoever waits must not cancel what may be handed over in the same moment.
        self._came = asyncio.Event()
        self.since = 0.0
        """When the slot was handed over, on the monotonic clock."""

    @property
    def holds(self) -> bool:
        """Whether it is a slot by now."""
        return self._came.is_set()

    async def comes(self, moved: Callable[[int], None]) -> None:
        """Wait for the slot. `moved` hears the place in the queue, now and whenever it changes; 0 is the slot."""
        self._heard = moved
        moved(self._place)
        await self._came.wait()

    def move(self, place: int) -> None:
        """Move up; to 0 when a slot is handed over."""
        if place == self._place:
            return
        self._place = place
        if place == 0:
            self.since = time.monotonic()
            self._came.set()
        if self._heard is not None:
            self._heard(place)


class Gate:
    """Slots handed out in the order of arrival, to batches last; at most `length` requests wait."""

    def __init__(self, slots: int, length: int) -> None:
        self._free = slots
        self._slots = slots
        self._length = length
        self._waiting: deque[Turn] = deque()
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

    @contextmanager
    def enter(self, *, batch: bool = False) -> Iterator[Turn]:
        """Take a slot or a place in the queue, and give it back in the end.

        What can be learnt without a slot is best learnt before `comes`: then nobody waits only to be refused.

        Args:
            batch: whether nobody waits for it: whoever comes later and is no batch goes before.

        Raises:
            QueueFullError: there is neither.
        """
        place = len(self._waiting) if batch else sum(not each.batch for each in self._waiting)
        turn = Turn(place + 1, batch=batch)
        if self._free:
            self._free -= 1
            turn.move(0)
        elif len(self._waiting) >= self._length:
            raise QueueFullError(max(1, math.ceil(self._typical * (len(self._waiting) + 1) / self._slots)))
        else:
            self._waiting.insert(place, turn)
            self._tell()
        try:
            yield turn
        finally:
            self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        if not turn.holds:
            self._waiting.remove(turn)
        else:
            self._typical += 0.2 * (time.monotonic() - turn.since - self._typical)
            if self._waiting:
                self._waiting.popleft().move(0)
            else:
                self._free += 1
        self._tell()

    def _tell(self) -> None:
        for place, each in enumerate(self._waiting, start=1):
            each.move(place)


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
