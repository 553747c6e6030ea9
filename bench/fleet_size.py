"""How many boards for so many polishes an hour: the wait in one queue, simulated.

    python -m bench.fleet_size --per-hour N [--page URL | --seconds S] [--spread CV] [--wait S] [--count N]

Requests come at random (exponential pauses) and each takes one board for a time that is lognormal; whoever has waited
longest gets the next free board, as the service does it. The mean of that time comes from a service that runs
(`--page`: what its /metrics say of all polishes since it started) or is given. Prints a table and writes
build/bench/fleet-size.json.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import re
import sys
from dataclasses import asdict, dataclass
from typing import Final

import httpx

from bench import record

SPREAD: Final = 0.6
"""Standard deviation over mean of the time that a polish takes: texts are of very different lengths."""
WAIT: Final = 15.0
"""Seconds that 95 of 100 may wait at most."""
COUNT: Final = 60_000
"""Requests of a simulation; the first tenth is not counted."""
_SUM: Final = re.compile(r"^pollex_polish_duration_seconds_(sum|count)(?:{[^}]*})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What so many boards mean."""

    boards: int
    load: float
    """Share of the time that a board works."""
    p50: float
    """Seconds of waiting that half of the requests do not exceed."""
    p95: float
    p99: float


def waits(boards: int, per_hour: float, seconds: float, spread: float, count: int) -> list[float]:
    """Seconds that each request waits, sorted.

    Args:
        boards: that answer one request at a time.
        per_hour: requests.
        seconds: that one takes, in the mean.
        spread: their standard deviation over the mean.
        count: requests that are simulated.
    """
    chance = random.Random(1)  # noqa: S311 - the same table each time
    variance = math.log(1 + spread * spread)
    centre = math.log(seconds) - variance / 2
    free = [0.0] * boards
    now, waited = 0.0, list[float]()
    for _ in range(count):
        now += chance.expovariate(per_hour / 3600)
        start = max(now, heapq.heappop(free))
        waited.append(start - now)
        heapq.heappush(free, start + chance.lognormvariate(centre, math.sqrt(variance)))
    return sorted(waited[count // 10 :])


def row(boards: int, per_hour: float, seconds: float, spread: float, count: int) -> Row:
    """What so many boards mean; where they cannot keep up, nobody knows how long one waits."""
    load = per_hour * seconds / 3600 / boards
    if load >= 1:
        return Row(boards=boards, load=load, p50=math.inf, p95=math.inf, p99=math.inf)
    sorted_ = waits(boards, per_hour, seconds, spread, count)
    p50, p95, p99 = (sorted_[int(share * len(sorted_))] for share in (0.5, 0.95, 0.99))
    return Row(boards=boards, load=load, p50=p50, p95=p95, p99=p99)


def needed(per_hour: float, seconds: float, spread: float, count: int, wait: float) -> list[Row]:
    """From one board fewer than are needed, which is what remains when one is away, to one more."""
    boards = max(1, math.floor(per_hour * seconds / 3600) + 1)
    while (enough := row(boards, per_hour, seconds, spread, count)).p95 > wait:
        boards += 1
    fewer = [row(boards - 1, per_hour, seconds, spread, count)] if boards > 1 else []
    return [*fewer, enough, row(boards + 1, per_hour, seconds, spread, count)]


def measured(metrics: str) -> float:
    """Mean seconds of a polish, from what /metrics says.

    Raises:
        ValueError: nothing was polished yet.
    """
    found = [(kind, float(value)) for kind, value in _SUM.findall(metrics)]
    total, count = (sum(value for kind, value in found if kind == wanted) for wanted in ("sum", "count"))
    if not count:
        raise ValueError("nothing was polished there yet, so there is no time to go by")
    return total / count


def main() -> None:
    """Read the command line, simulate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--per-hour", type=float, default=300, metavar="N", help="polishes an hour (300)")
    time = parser.add_mutually_exclusive_group()
    time.add_argument("--page", help="address of a service that runs, whose mean is taken")
    time.add_argument("--seconds", type=float, default=10.0, help="mean of a polish (10)")
    parser.add_argument("--spread", type=float, default=SPREAD, help=f"its deviation over its mean ({SPREAD})")
    parser.add_argument("--wait", type=float, default=WAIT, help=f"seconds that 95 of 100 may wait ({WAIT:g})")
    parser.add_argument("--count", type=int, default=COUNT, help=f"requests that are simulated ({COUNT})")
    given = parser.parse_args()
    seconds = given.seconds
    if given.page:
        try:
            answer = httpx.get(f"{given.page.rstrip('/')}/metrics", timeout=10, trust_env=False).raise_for_status()
            seconds = measured(answer.text)
        except (httpx.HTTPError, ValueError) as error:
            sys.exit(f"error: {given.page}: {error}")
    rows = needed(given.per_hour, seconds, given.spread, given.count, given.wait)
    print(f"{given.per_hour:g} polishes an hour of {seconds:.1f} s each; 95 of 100 wait {given.wait:g} s at most\n")
    print("| boards | load | wait p50 | p95 | p99 | |\n|---|---|---|---|---|---|")
    for each in rows:
        what = "enough" if each.p95 <= given.wait else "too few"
        times = " | ".join(
            f"{value:.1f} s" if value < math.inf else "grows" for value in (each.p50, each.p95, each.p99)
        )
        print(f"| {each.boards} | {each.load:.0%} | {times} | {what} |")
    asked = {"perHour": given.per_hour, "seconds": seconds, "spread": given.spread, "wait": given.wait}
    # what grows without end is null: JSON knows no infinity
    told = [{key: value if value < math.inf else None for key, value in asdict(each).items()} for each in rows]
    record.write({"name": "fleet-size", "asked": asked, "rows": told})


if __name__ == "__main__":
    main()
