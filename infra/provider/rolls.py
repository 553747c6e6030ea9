"""One host after the other: what is activated together is, unless it is said otherwise, never away together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from infra.provider.problems import HostError, WentBack

NOTICED_S: Final = 1.0
"""Seconds from the end of one host's change to the beginning of the next one's: a gateway looks every 250 ms whether a
host is back (`downinter` in infra/kinds/fleet/units.py), and on a fast machine the next one would be away before."""


@dataclass(slots=True)
class _Roll:
    """The activations of one name in this process, which lives as long as one run of the engine."""

    turns: asyncio.Semaphore
    stopped: str = ""
    """The host that went back to its former generation."""
    noticed: float = 0.0
    """By when whoever watches has seen that the last one is back, on the loop's clock."""


class Rolls:
    """All rolls of a provider process.

    An order among resources would not do: the engine skips whatever depends on a host that cannot be reached, and here
    such a host holds nobody back.
    """

    def __init__(self, noticed_s: float = NOTICED_S) -> None:
        self._rolls: dict[str, _Roll] = {}
        self._noticed_s = noticed_s

    @asynccontextmanager
    async def turn(self, name: str, at_once: int, where: str) -> AsyncIterator[None]:
        """The turn of one host.

        Args:
            name: of the roll.
            at_once: how many hosts may be changed at the same time.
            where: the host, as errors call it.

        Raises:
            HostError: another host of the roll went back before this one was touched.
        """
        roll = self._rolls.setdefault(name, _Roll(asyncio.Semaphore(at_once)))
        clock = asyncio.get_running_loop().time
        async with roll.turns:
            await asyncio.sleep(roll.noticed - clock())
            if roll.stopped:
                raise HostError(
                    f"{where} was left as it is: {roll.stopped} went back to its former generation, which stops the "
                    "roll; mend what its error says, and `pulumi up` goes on"
                )
            try:
                yield
            except WentBack:
                roll.stopped = roll.stopped or where
                raise
            roll.noticed = clock() + self._noticed_s
