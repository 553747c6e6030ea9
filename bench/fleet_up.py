"""Several hosts through the real engine: what bench/fleet.py measures of `pulumi up`, on stand-in boards.

- The first host compiles; the second and the third get what it made, signed, out of the operator's cache.
- `up` that finds everything as declared, on three hosts with a gateway and on one host alone, in turn.
- A flag of all boards changed by `up` while people have texts polished.
- Three fresh hosts and their gateway, side by side and with `--parallel 1`, one resource after the other.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench import record, up
from bench.asking import load, more, row
from sandbox import fleet as fleets
from sandbox import mirror
from sandbox.__main__ import keep_build, prepare
from sandbox.board import Board, destroy
from sandbox.crowd import Asked
from sandbox.deployment import serve
from sandbox.fleet import CONTEXTS, Fleet
from sandbox.machine import SandboxError, say

GOAL_SECOND: Final = 1 / 20
GOAL_UNCHANGED: Final = 1.5
ALONE: Final = "bench-up"
SIDE_BY_SIDE: Final = "side by side"
IN_TURN: Final = "one after the other"
PERSONS: Final = 6
"""Who ask during the roll: two for each board, as where boards are killed."""


@contextmanager
def fresh(fleet: Fleet) -> Iterator[str]:
    """Boards and a gateway that nothing was deployed to; the address of a mirror that has no finished builds."""
    names = (*fleet.boards, fleet.gateway)

    def clear() -> None:
        for name in names:
            destroy(name)
        # what is in the cache stays for the next ones
        shutil.rmtree(fleet.folder / "state", ignore_errors=True)
        fleet.file.unlink(missing_ok=True)

    clear()
    try:
        prepare(*names)
        with (
            tempfile.TemporaryDirectory(prefix="pollex-bench-") as folder,
            mirror.Mirror(serve(Path(folder)), Board(fleet.gateway).gateway) as mirrored,
        ):
            yield mirrored.url
    finally:
        clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """One `pulumi up`."""

    seconds: float
    took: Mapping[str, tuple[float, float]]
    """Of each resource that was made, when that began and ended, on the monotonic clock."""


_MADE: Final = re.compile(r" \+ +\S+ (?P<name>\S+) (?P<what>creating|created)\b")


def timed(lines: Iterable[str], clock: Callable[[], float] = time.monotonic) -> dict[str, tuple[float, float]]:
    """Of each resource that was made, when the engine said so of its beginning and of its end."""
    began, took = dict[str, float](), dict[str, tuple[float, float]]()
    for line in lines:
        if found := _MADE.match(line):
            now = clock()
            began.setdefault(found["name"], now)
            if found["what"] == "created":
                took[found["name"]] = began[found["name"]], now
    return took


def run(fleet: Fleet, *options: str) -> Up:
    """`pulumi up` of what is declared.

    Raises:
        SandboxError: it failed; holds the end of what it said.
    """
    begun, said = time.monotonic(), list[str]()
    with fleet.pulumi.popen_up(*options) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        took = timed(fleets.kept(process.stdout, said))
    if process.returncode:
        raise SandboxError(f"pulumi up failed\n{''.join(said[-40:])}")
    return Up(seconds=time.monotonic() - begun, took=took)


def program(made: Up, board: str) -> float:
    """Seconds in which a host whose tools were there came to its llama-server."""
    return made.took[f"{board}-server"][1] - made.took[f"{board}-shared-server"][0]


def built(fleet: Fleet, url: str) -> tuple[float, list[float]]:
    """Seconds in which the first host came to its llama-server, and in which each of the others did."""
    took = list[float]()
    for count, board in enumerate(fleet.boards, start=1):
        some = replace(fleet, boards=fleet.boards[:count])
        some.declare(url, context=CONTEXTS[0])
        say(f"up of {board}, {'which compiles' if count == 1 else 'from the cache'}")
        took.append(program(run(some), board))
        say(f"{board} had its llama-server after {took[-1]:.1f} s")
    return took[0], took[1:]


def unchanged(fleet: Fleet, times: int) -> dict[str, list[float]]:
    """Seconds of runs that found everything as declared, in turn, by what they looked at; the first turn warms up."""
    first = Board(fleet.boards[0])
    with up.prepared(ALONE) as (alone, _, _):
        alone.pulumi.up()
        ways = {
            f"{hosts}, {name}": (board, up.command(own, *options))
            for name, options in (("up", ()), ("up --refresh", ("--refresh",)))
            for hosts, board, own in (
                ("one host", alone.board, alone.pulumi),
                (f"{len(fleet.boards)} hosts and a gateway", first, fleet.pulumi),
            )
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(times + 1):
            for way, (board, command) in ways.items():
                seconds = up.measured(board, command, unchanged=turn > 0)["seconds"]
                if turn > 0:
                    taken[way].append(seconds)
    return taken


def ratios(taken: Mapping[str, Sequence[float]]) -> list[float]:
    """The second of two rows over the first, turn by turn."""
    one, other = taken.values()
    return [more / less for less, more in zip(one, other, strict=True)]


def rolled(fleet: Fleet) -> list[Asked]:
    """What people met while a flag of all boards was changed.

    Raises:
        SandboxError: `up` failed, or changed boards together.
    """
    declared = fleet.pulumi.outputs()
    context = next(size for size in CONTEXTS if size != fleet.context())
    fleet.set("server.context", context)
    say(f"up that sets -c {context} on each board, under load")

    def change() -> None:
        with fleet.pulumi.popen_up() as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            steps = list(fleets.steps(process.stdout))
        boards = {board for board, _ in steps}
        if process.returncode or boards != set(fleet.boards) or not fleets.apart(steps):
            raise SandboxError(f"the roll went wrong: exit status {process.returncode}, {steps}")

    async def meanwhile(got: list[Asked]) -> None:
        await asyncio.to_thread(change)
        await more(got, PERSONS)

    return asyncio.run(load(str(declared["page"]), str(declared["model"]), PERSONS, meanwhile))


def first(fleet: Fleet, rounds: int) -> dict[str, list[float]]:
    """Seconds of a first `up` of fresh hosts, both ways in turn; what they compile lies in the cache."""
    ways: dict[str, tuple[str, ...]] = {SIDE_BY_SIDE: (), IN_TURN: ("--parallel", "1")}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in list(ways) if turn % 2 else list(ways)[::-1]:
            with fresh(fleet) as url:
                fleet.declare(url, context=CONTEXTS[0])
                taken[way].append(run(fleet, *ways[way]).seconds)
            say(f"first up of three hosts and a gateway, {way}: {taken[way][-1]:.1f} s")
    return taken


def measured(rounds: int, runs: int) -> dict[str, Any]:
    """Everything that is measured of `up`.

    Args:
        rounds: first `up`s of fresh hosts, each way.
        runs: of each `up` that changes nothing.

    Raises:
        SandboxError: an `up` failed.
    """
    with tempfile.TemporaryDirectory(prefix="pollex-bench-") as folder:
        names = tuple(f"bench-fleet-{number}" for number in (1, 2, 3))
        fleet = Fleet(stack="sandbox-bench-fleet", boards=names, gateway="bench-fleet-gateway", folder=Path(folder))
        with fresh(fleet) as url:
            compiled, received = built(fleet, url)
            key = fleet.pulumi.outputs()["boards"][names[0]]["key"]
            keep_build(Board(names[0]), f"{key}-llama-server")
            settled = unchanged(fleet, runs)
            asked = rolled(fleet)
        begun = first(fleet, rounds)
    plain, refreshed = ({way: found for way, found in settled.items() if way.endswith(f", {n}")} for n in _UPS)
    return {
        "roll": {
            f"roll by up, {'streamed' if streamed else 'not streamed'}": row(asked, streamed=streamed)
            for streamed in (False, True)
        },
        "up": {
            "llama-server of the first host, which compiles": {"seconds": record.spread([compiled], 2), "runs": 1},
            "llama-server of a further host, from the cache": {
                "seconds": record.spread(received, 2),
                "runs": len(received),
                "ratio": record.spread([one / compiled for one in received], 4),
                "goal": GOAL_SECOND,
            },
            **{
                f"first up of three hosts and a gateway, {way}": {
                    "seconds": record.spread(found, 2),
                    "runs": len(found),
                    **({"ratio": record.spread(ratios(begun))} if way == IN_TURN else {}),
                }
                for way, found in begun.items()
            },
            **_compared(plain),
            **_compared(refreshed),
        },
    }


_UPS: Final = ("up", "up --refresh")


def _compared(taken: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Rows of what changed nothing, the second with its ratio to the first."""
    rows = {
        f"{way}, nothing to change": {"seconds": record.spread(found, 2), "runs": len(found)}
        for way, found in taken.items()
    }
    list(rows.values())[-1] |= {"ratio": record.spread(ratios(taken)), "goal": GOAL_UNCHANGED}
    return rows
