"""How llama-server's threads wait for each other: what each way costs alone, and beside others that want the cores.

    python -m bench.busy [--starts N] [--rounds N] [--seconds S]

Prints a table and writes build/bench/busy.json: vectors a second (all-MiniLM-L6-v2, one sentence after the other) and
tokens a second (SmolLM2-135M), pinned to one and two cores beside 0, 2 and 8 processes that only compute on the same
cores, and on two cores within 0.5, 1 and 1.5 cores' time, as `docker run --cpus` gives it. Each setting is measured for
a moment at a time, in turn with the others: a disturbance hits all settings alike. Where a server's memory comes to lie
is up to a tenth of its speed, so each setting has several servers, one after the other: a start. A start's servers
serve all columns of their number of threads, so what luck they have is the same in all of these.

How far the default is behind the best setting of a column: the best of several equal settings that are measured with
noise looks better than it is, by luck alone (selection bias, also called the winner's curse), and whoever is compared
with it looks worse. So choice and figure do not share their turns (leave-one-out cross-validation): for every start,
the best of the other settings is chosen by the other starts, and the default is compared with it in this one; the
median over the starts counts. Equals come out at about 0, and a default that is ahead of all others below it. What is
left of a bias is in the default's favour: a setting chosen wrongly is behind the best one. The figure without all this
stands beside it, biased the other way; the truth is expected between the two. Of many columns the worst is still chosen
by its luck, too, which is why each has an interval.

The interval of a column goes from one start's figure to another one's: from the smallest to the largest of five to
seven starts, from the second smallest to the second largest of eight. It holds the median in at least 90 % of all cases
whatever the figures' distribution (that of the sign test), which a bootstrap of so few starts does not: it is too
narrow. This is nominal: that the starts choose for each other is not counted. Of six equal settings, eight starts and
5 % of noise it holds 0 in 85 of 100 simulated cases.

The default has two servers in each start, which count as one setting with twice the turns. By how much these two differ
is what this machine cannot tell apart.

The programs are those of the sandbox's source, built for this machine with and without 0014. The image has a program of
a later source, with 0014 in it and nothing to turn it off by; to compare it, the same would have to be compiled again
without.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import comb
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any, Final

import httpx

from bench import quota, record
from bench.embeddings import inputs
from bench.programs import programs
from bench.servers import running
from sandbox import fetch, minilm
from sandbox.machine import SandboxError, require_root, say
from sandbox.serving import PASSIVE, free_port

PATCH: Final = "0014-cpu-threads-look-then-sleep.patch"
"""What decides how threads wait within a computation; without it libgomp does."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A way to wait."""

    environment: Mapping[str, str]
    patched: bool = False

    def __str__(self) -> str:
        """As the record tells it."""
        words = ["with 0014" if self.patched else "without 0014", *map("=".join, self.environment.items())]
        return ", ".join(words)

    def served(self, threads: int) -> dict[str, str]:
        """A server's environment where the image takes so many threads."""
        return {"LLAMA_ARG_THREADS": str(threads), **self.environment}


DEFAULT: Final = "default"
"""The setting that image, units and measurements have."""
TWINS: Final = "default, once", "default, again"
"""The two servers of it."""
UPSTREAM: Final = "libgomp's own"
SETTINGS: Final[Mapping[str, Setting]] = {
    DEFAULT: Setting(PASSIVE, patched=True),
    UPSTREAM: Setting({}),
    "asleep at once": Setting(PASSIVE),
    "spin 1000": Setting({"GOMP_SPINCOUNT": "1000"}),
    "spin 10000": Setting({"GOMP_SPINCOUNT": "10000"}),
    "1 thread": Setting({**PASSIVE, "LLAMA_ARG_THREADS": "1"}, patched=True),
}
"""What is compared."""
ENOUGH: Final = 0.05
"""How far behind the best the default may be."""


def served(threads: int) -> dict[str, Setting]:
    """What has a server where the image takes so many threads: the default twice, and no setting that is it there."""
    default = SETTINGS[DEFAULT]
    same = [
        name
        for name, each in SETTINGS.items()
        if (each.patched, each.served(threads)) == (default.patched, default.served(threads))
    ]
    return dict.fromkeys(TWINS, default) | {name: each for name, each in SETTINGS.items() if name not in same}


@dataclass(frozen=True, slots=True)
class Place:
    """What a server has to compute on."""

    cores: int
    busy: int = 0
    """Processes that compute on the same cores."""
    quota: float | None = None
    """Cores' time that the server may use."""

    def __str__(self) -> str:
        """A column's head."""
        return f"--cpus {self.quota}" if self.quota is not None else f"{self.cores} core, {self.busy} busy"

    @property
    def threads(self) -> int:
        """As the image chooses them."""
        return max(1, min(self.cores, self.cores if self.quota is None else int(self.quota)))


COLUMN: Final = Place(2, 8)
"""The one of the summary."""
PLACES: Final = (
    *(Place(cores, busy) for cores in (1, 2) for busy in (0, 2, 8)),
    *(Place(2, quota=quota) for quota in (0.5, 1, 1.5)),
)
"""Those with a quota last: a server that is in one leaves it only for the next one."""


@contextmanager
def others(place: Place) -> Iterator[None]:
    """Processes that only compute, on the server's cores."""
    loop = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        for _ in range(place.busy):
            process = subprocess.Popen(loop, preexec_fn=partial(os.sched_setaffinity, 0, range(place.cores)))  # noqa: PLW1509 - one thread here
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs."""

    process: int
    client: httpx.Client

    def go(self, place: Place, group: Path | None) -> None:
        """Compute there from now on."""
        for thread in Path(f"/proc/{self.process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), range(place.cores))
        if group is not None:
            quota.enter(group, self.process)


@contextmanager
def server(model: Path, place: Place, setting: Setting, *options: str) -> Iterator[Server]:
    """A server of a setting, with the threads and on the cores of a place."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = programs("llama-server", without=() if setting.patched else (PATCH,)) / "llama-server"
    command: list[str | Path] = [program, "-m", model, "--port", str(port), "--log-disable", *options]
    cores = partial(os.sched_setaffinity, 0, range(place.cores))
    with (
        running(command, f"{url}/health", setting.served(place.threads), cores) as (process, _),
        httpx.Client(base_url=url, timeout=300, trust_env=False) as client,
    ):
        yield Server(process.pid, client)


def vectors(client: httpx.Client, seconds: float) -> float:
    """Sentences embedded a second."""
    sentences = inputs()["sentence"]
    begun, done = time.monotonic(), 0
    while (taken := time.monotonic() - begun) < seconds:
        client.post("/v1/embeddings", json={"input": sentences[done % len(sentences)]}).raise_for_status()
        done += 1
    return done / taken


def tokens(client: httpx.Client, seconds: float) -> float:
    """Tokens written a second."""
    done, taken = 0, 0.0
    while taken < seconds:
        asked = {"prompt": "Once upon a time", "n_predict": 8, "ignore_eos": True, "cache_prompt": True}
        timings = client.post("/completion", json=asked).raise_for_status().json()["timings"]
        done += timings["predicted_n"]
        taken += timings["predicted_ms"] / 1000
    return done / taken


LOADS: Final = {"vectors": vectors, "tokens": tokens}


Column = dict[str, list[float]]
"""Things done a second, by setting: the median of each start's turns. The default has all turns of its twins."""
Columns = dict[str, dict[str, Column]]
"""By load and place."""


def measure(
    load: str, places: Sequence[Place], start: int, rounds: int, seconds: float
) -> Iterator[tuple[str, Column]]:
    """A start's column of each of these places, which all want the same number of threads: they share their servers."""
    model, options = {
        "vectors": (minilm.model("F16"), ["--embeddings"]),
        "tokens": (fetch.fetch(fetch.MODEL), ["-c", "512"]),
    }[load]
    settings = served(places[0].threads)
    first = start % len(settings)
    with ExitStack() as stack:
        groups = {
            place: stack.enter_context(quota.quota(place.quota, f"-{place.quota}"))
            for place in places
            if place.quota is not None
        }
        servers = {
            name: stack.enter_context(server(model, places[0], settings[name], *options))
            for name in [*list(settings)[first:], *list(settings)[:first]]
        }
        for each in servers.values():
            LOADS[load](each.client, 0.01)
        for place in places:
            for each in servers.values():
                each.go(place, groups.get(place))
            turns: dict[str, list[float]] = {name: [] for name in settings}
            with others(place):
                for _ in range(rounds):
                    for name, each in servers.items():
                        turns[name].append(LOADS[load](each.client, seconds))
            turns = {DEFAULT: [turn for name in TWINS for turn in turns[name]], **turns}
            yield str(place), {name: [round(median(each), 2)] for name, each in turns.items()}


@dataclass(frozen=True, slots=True)
class Lag:
    """By how much a setting is behind the best of the others in a column: 0.05 is 5 %, below 0 is ahead of them."""

    value: float
    low: float
    high: float
    choices: tuple[str, ...]
    """The best of the others, as the others of each start have it."""
    naive: float
    """Behind the best of all, itself included, by the turns that chose it."""

    @property
    def best(self) -> str:
        """Who was chosen most often."""
        return Counter(self.choices).most_common(1)[0][0]

    def percent(self) -> dict[str, float]:
        """As the record tells it."""
        return {key: round(100 * getattr(self, key), 1) for key in ("value", "low", "high")}


def lag(column: Mapping[str, Sequence[float]], name: str) -> Lag:
    """Choose the best of the others by all starts but one and compare with it in that one; each start once.

    Args:
        column: things done a second in each start, by setting; at least two starts.
        name: the setting that is compared.
    """
    settings = {each: list(rates) for each, rates in column.items() if each not in TWINS}
    own = settings[name]

    def chosen(start: int) -> str:
        rest = {each: median(rates[:start] + rates[start + 1 :]) for each, rates in settings.items() if each != name}
        return max(rest, key=rest.__getitem__)

    choices = tuple(map(chosen, range(len(own))))
    lags = sorted(1 - own[start] / settings[choice][start] for start, choice in enumerate(choices))
    cut = outside(len(lags))
    naive = 1 - median(own) / max(map(median, settings.values()))
    return Lag(median(lags), lags[cut], lags[-1 - cut], choices, naive)


def outside(starts: int) -> int:
    """How many of so many sorted figures lie beyond each end of their median's interval: as many as leave it 90 %."""
    return max((cut for cut in range(starts // 2) if coverage(starts, cut) >= 0.9), default=0)  # noqa: PLR2004 - says the docstring


def coverage(starts: int, cut: int) -> float:
    """How sure it is that the median of a distribution is not beyond the figures that are left when so many are cut."""
    beyond: int = sum(comb(starts, each) for each in range(cut + 1))
    return 1 - beyond / 2.0 ** (starts - 1)


def sure_of(starts: int) -> float:
    """How often an interval of so many starts would hold the median if they did not choose for each other."""
    return coverage(starts, outside(starts))


def lags(columns: Columns, name: str) -> dict[str, Lag]:
    """A setting's lag in each column that has it, by load and place."""
    return {
        f"{load}, {place}": lag(column, name)
        for load, row in columns.items()
        for place, column in row.items()
        if name in column
    }


def apart(columns: Columns) -> list[float]:
    """By how much the default differs from itself in each column: 0.05 is 5 %."""
    pairs = [[median(column[name]) for name in TWINS] for row in columns.values() for column in row.values()]
    return [1 - min(pair) / max(pair) for pair in pairs]


def verdict(found: Mapping[str, Lag]) -> str:
    """Whether the default is as near to the best as it should be, in a sentence; from its lags by column."""
    near = [each for each in found.values() if each.value <= ENOUGH]
    sure = [each for each in found.values() if each.high <= ENOUGH]
    where, worst = max(found.items(), key=lambda item: item[1].value)
    low, high = (worst.percent()[end] for end in ("low", "high"))
    return (
        f"within {100 * ENOUGH:.0f} % of the best of the others in {len(near)} of {len(found)} columns, and with the"
        f" whole interval in {len(sure)}; at worst {100 * worst.value:.1f} % behind ({low} to {high},"
        f" nominally {100 * sure_of(len(worst.choices)):.0f} %): {where}, where {worst.best} is best"
    )


def table(said: Mapping[str, Any]) -> Iterator[str]:
    """The report for people."""
    for load in LOADS:
        rows = said[f"{load}_a_second"]
        yield f"{load + ' a second':18}" + "".join(f"{place:>15}" for place in rows[DEFAULT])
        for name, row in rows.items():
            yield f"{name:18}" + "".join(f"{row.get(place, '–'):>15}" for place in rows[DEFAULT])
    sure = f"{said['intervals_hold_nominally']:.0%}"
    yield f"{'% behind the best of the others':34}{f'default ({sure} interval)':>24}   who is that (by the same turns)"
    for column, row in said[BEHIND].items():
        value, low, high = row[DEFAULT].values()
        yield f"{column:34}{f'{value} ({low} to {high})':>24}   {row[BEST]} ({row[NAIVE]})"
    for name, share in said["behind_the_best_at_worst"].items():
        yield f"{name}: at worst {share:.1%} behind the best of the others in a column"
    yield f"the default and itself, measured alike: up to {said['twins_apart_at_most']:.1%} apart"
    yield f"the default: {said['verdict']}"


BEHIND: Final = "percent_behind_the_best_of_the_others"
BEST: Final = "the best of the others"
NAIVE: Final = "by the same turns"


def report(columns: Columns) -> dict[str, Any]:
    """What was measured, in the fields of build/bench/busy.json."""
    found = lags(columns, DEFAULT)
    starts = len(columns["tokens"][str(COLUMN)][DEFAULT])
    ours, peer = (median(columns["vectors"][str(COLUMN)][name]) for name in (DEFAULT, UPSTREAM))
    behind = {
        column: {
            DEFAULT: each.percent(),
            BEST: f"{each.best} in {each.choices.count(each.best)} of {starts}",
            NAIVE: round(100 * each.naive, 1),
        }
        for column, each in found.items()
    }
    medians = {
        f"{load}_a_second": {
            name: {place: round(median(column[name]), 1) for place, column in row.items() if name in column}
            for name in (*SETTINGS, *TWINS)
        }
        for load, row in columns.items()
    }
    return {
        "name": "busy",
        "unit": "vectors a second on two cores beside 8 others; peer: libgomp's own way of waiting",
        "ours": round(ours, 1),
        "peer": round(peer, 1),
        "settings": {name: str(each) for name, each in SETTINGS.items()},
        "verdict": verdict(found),
        "intervals_hold_nominally": round(sure_of(starts), 3),
        "behind_the_best_at_worst": {
            name: round(max(each.value for each in lags(columns, name).values()), 3) for name in SETTINGS
        },
        "twins_apart_at_most": round(max(apart(columns)), 3),
        BEHIND: behind,
        **medians,
        **{f"{load}_a_second_by_start": row for load, row in columns.items()},
    }


def paragraph(said: Mapping[str, Any]) -> str:
    """What docs/reference/image.md says of a record."""
    rows = said["tokens_a_second"]
    columns = {f"2 core, {busy} busy": head for busy, head in ((0, "alone"), (2, "beside 2"), (8, "beside 8"))}
    lines = [
        f"| tokens a second, {said['date']}, {said['versions'][0]} | {' | '.join(columns.values())} |",
        "|---|---|---|---|",
    ]
    for name, row in rows.items():
        how = f": {said['settings'][name]}" if name in said["settings"] else ""
        lines.append(f"| {name}{how} | {' | '.join(str(row[column]) for column in columns)} |")
    worst = ", ".join(
        f"{name} {100 * share:.0f} %"
        for name, share in said["behind_the_best_at_worst"].items()
        if not name.startswith(DEFAULT)
    )
    text = (
        f"Medians of {said['starts']} starts with {said['runs'] // said['starts']} turns each. The default is"
        f" {said['verdict']}. The default's two servers were up to {100 * said['twins_apart_at_most']:.1f} % apart,"
        f" which is what this machine cannot tell. At worst behind the best of a column were: {worst}."
    )
    return "\n".join([*lines, "", fill(text, 120), ""])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.busy", description="Measure how threads wait.")
    parser.add_argument("--starts", type=int, default=8, help="servers of each setting, one after the other")
    parser.add_argument("--rounds", type=int, default=3, help="times that each of them has its turn")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    options = parser.parse_args()
    if options.starts < 2:  # noqa: PLR2004 - says the message
        parser.error("--starts: at least 2, one of which chooses the best for the other")
    before = record.load()
    columns: Columns = {load: {str(place): {} for place in PLACES} for load in LOADS}
    try:
        require_root()
        for start in range(options.starts):
            begun = time.monotonic()
            for load, threads in product(LOADS, dict.fromkeys(place.threads for place in PLACES)):
                places = [place for place in PLACES if place.threads == threads]
                for place, column in measure(load, places, start, options.rounds, options.seconds):
                    for name, rates in column.items():
                        columns[load][place].setdefault(name, []).extend(rates)
            say(f"start {start + 1} of {options.starts}: {time.monotonic() - begun:.0f} s")
    except SandboxError as error:
        sys.exit(f"error: {error}")
    said = {
        **report(columns),
        "runs": options.starts * options.rounds,
        "starts": options.starts,
        "seconds_a_turn": options.seconds,
        "versions": [f"llama.cpp {programs('llama-server').tag}"],
        "load_before": before,
    }
    print("\n".join(table(said)))
    record.write(said)


if __name__ == "__main__":
    main()
