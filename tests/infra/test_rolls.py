"""One host after the other, and none after one that went back."""

from __future__ import annotations

import asyncio

import pytest

from infra.provider.problems import HostError, Unreachable, WentBack
from infra.provider.rolls import Rolls


async def change(rolls: Rolls, host: str, seen: list[str], error: HostError | None = None, at_once: int = 1) -> None:
    async with rolls.turn("project/fleet", at_once, host):
        seen.append(f"{host} begins")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if error is not None:
            raise error
        seen.append(f"{host} ends")


def together(*changes: tuple[str, HostError | None], at_once: int = 1) -> tuple[list[str], list[BaseException | None]]:
    """What happened, and how each change ended."""
    seen = list[str]()

    async def scenario() -> list[BaseException | None]:
        rolls = Rolls(noticed_s=0)
        work = (change(rolls, host, seen, error, at_once) for host, error in changes)
        return await asyncio.gather(*work, return_exceptions=True)

    return seen, asyncio.run(scenario())


def test_one_after_the_other() -> None:
    """If this fails, all boards restart at the same time, and nobody answers."""
    seen, ended = together(("one", None), ("two", None), ("three", None))
    assert seen == [f"{host} {what}" for host in ("one", "two", "three") for what in ("begins", "ends")]
    assert ended == [None, None, None]


def test_the_next_one_goes_when_the_last_one_was_seen_to_be_back() -> None:
    """If this fails, a gateway has no board for a moment: it still takes one for gone when the next one goes."""

    async def scenario() -> float:
        rolls, clock = Rolls(noticed_s=0.3), asyncio.get_running_loop().time
        async with rolls.turn("fleet", 1, "one"):
            pass
        back = clock()
        async with rolls.turn("fleet", 1, "two"):
            return clock() - back

    assert asyncio.run(scenario()) > 0.29


def test_as_many_as_may_be_away() -> None:
    """If this fails, a fleet of twenty is changed as slowly as if it had one spare board."""
    seen, _ = together(("one", None), ("two", None), ("three", None), at_once=2)
    assert seen[:2] == ["one begins", "two begins"]
    assert seen.index("three begins") > seen.index("one ends")


@pytest.mark.fault("roll", "three boards", "the first one takes the change back", "the others are not touched")
def test_none_after_one_that_went_back() -> None:
    """If this fails, a generation that one board has refused goes on to take down the others."""
    seen, (first, second, third) = together(("one", None), ("two", WentBack("unhealthy")), ("three", None))
    assert first is None
    assert isinstance(second, WentBack)
    assert str(third).startswith("three was left as it is: two went back to its former generation")
    assert "three begins" not in seen


@pytest.mark.fault("roll", "three boards", "one is away", "the others are changed")
def test_one_that_is_away_stops_nobody() -> None:
    """If this fails, a board without power keeps all others from being changed."""
    seen, (first, second) = together(("one", Unreachable("one", [])), ("two", None))
    assert isinstance(first, Unreachable)
    assert (second, seen[-1]) == (None, "two ends")


def test_fleets_do_not_wait_for_each_other() -> None:
    """If this fails, one fleet's bad generation stops another one's roll."""

    async def scenario() -> None:
        rolls = Rolls()
        with pytest.raises(WentBack):
            async with rolls.turn("one fleet", 1, "one"):
                raise WentBack("unhealthy")
        async with rolls.turn("another", 1, "two"):
            pass

    asyncio.run(scenario())
