"""One host after the other: what is activated together is, unless it is said otherwise, never away together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.provider.problems import HostError, WentBack


@dataclass(slots=True)
class _Roll:
    """The activations of one name in this process, which lives as long as one run of the engine."""

    turns: asyncio.Semaphore
    stopped: str = ""
    """The host that went back to its former generation."""


class Rolls:
    """All rolls of a provider process.

    An order among resources would not do: the engine skips whatever depends on a host that cannot be reached, and here
    such a host holds nobody back.
    """

    def __init__(self) -> None:
        self._rolls: dict[str, _Roll] = {}

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
        async with roll.turns:
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
