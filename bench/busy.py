"""How llama-server's threads wait for each other: what each way costs alone, and beside others that want the cores.

    python -m bench.busy [--starts N] [--rounds N] [--seconds S]

Prints a table and writes build/bench/busy.json: vectors a second (all-MiniLM-L6-v2, one sentence after the other) and
tokens a second (SmolLM2-135M), pinned to one and two cores beside 0, 2 and 8 processes that only compute on the same
cores, and on two cores within 0.5, 1 and 1.5 cores' time, as `docker run --cpus` gives it. Each setting is measured for
a moment at a time, in turn with the others, and the median of its rounds counts: a disturbance hits all settings alike,
and the best round of several is luck. So is where a server's memory comes to lie, which is up to a tenth of its speed:
each setting has several servers, one after the other, and the default has its turn twice, as if it were two. By how
much these two differ is what this machine cannot tell apart.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

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


DEFAULT: Final = "default"
"""The setting that image, units and measurements have."""
TWIN: Final = "default, again"
"""The same once more."""
UPSTREAM: Final = "libgomp's own"
SETTINGS: Final[Mapping[str, Setting]] = {
    DEFAULT: Setting(PASSIVE, patched=True),
    TWIN: Setting(PASSIVE, patched=True),
    UPSTREAM: Setting({}),
    "asleep at once": Setting(PASSIVE),
    "spin 1000": Setting({"GOMP_SPINCOUNT": "1000"}),
    "spin 10000": Setting({"GOMP_SPINCOUNT": "10000"}),
    "1 thread": Setting({**PASSIVE, "LLAMA_ARG_THREADS": "1"}, patched=True),
}
"""What is compared."""


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


PLACES: Final = (
    *(Place(cores, busy) for cores in (1, 2) for busy in (0, 2, 8)),
    *(Place(2, quota=quota) for quota in (0.5, 1, 1.5)),
)


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


@contextmanager
def server(model: Path, place: Place, group: Path | None, setting: Setting, *options: str) -> Iterator[str]:
    """The URL of a server in its place."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def enter() -> None:
        os.sched_setaffinity(0, range(place.cores))
        if group is not None:
            quota.enter(group)

    program = programs("llama-server", without=() if setting.patched else (PATCH,)) / "llama-server"
    command: list[str | Path] = [program, "-m", model, "--port", str(port), "--log-disable", *options]
    with running(command, f"{url}/health", {"LLAMA_ARG_THREADS": str(place.threads), **setting.environment}, enter):
        yield url


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


Rates = dict[str, dict[str, dict[str, float]]]
"""Things done a second, by load, setting and place."""


def measure(place: Place, rates: Rates, starts: int, rounds: int, seconds: float) -> None:
    """Add a place's median rate of each setting and load."""
    models = {"vectors": minilm.model("F16"), "tokens": fetch.fetch(fetch.MODEL)}
    options = {"vectors": ["--embeddings"], "tokens": ["-c", "512"]}
    for load, ask in LOADS.items():
        turns: dict[str, list[float]] = {name: [] for name in SETTINGS}
        for start in range(starts):
            with ExitStack() as stack:
                group = None if place.quota is None else stack.enter_context(quota.quota(place.quota))
                clients = {}
                for name in (*list(SETTINGS)[start:], *list(SETTINGS)[:start]):
                    url = stack.enter_context(server(models[load], place, group, SETTINGS[name], *options[load]))
                    clients[name] = stack.enter_context(httpx.Client(base_url=url, timeout=300, trust_env=False))
                    ask(clients[name], 0.01)
                with others(place):
                    for _ in range(rounds):
                        for name, client in clients.items():
                            turns[name].append(ask(client, seconds))
        for name, measured in turns.items():
            rates.setdefault(load, {}).setdefault(name, {})[str(place)] = round(median(measured), 1)


def behind(rates: Rates, name: str) -> dict[str, float]:
    """By how much a setting falls behind the best one, by load and place: 0.05 is 5 %."""
    return {
        f"{load}, {place}": 1 - row[place] / max(others[place] for other, others in rows.items() if other != TWIN)
        for load, rows in rates.items()
        for row in [rows[name]]
        for place in row
    }


def apart(rates: Rates) -> float:
    """By how much the default differs from itself, at most: 0.05 is 5 %."""
    pairs = [(rows[DEFAULT][place], rows[TWIN][place]) for rows in rates.values() for place in rows[DEFAULT]]
    return max(1 - min(pair) / max(pair) for pair in pairs)


def table(rates: Rates) -> Iterator[str]:
    """The report for people."""
    for load, rows in rates.items():
        yield f"{load + ' a second':18}" + "".join(f"{place:>15}" for place in rows[DEFAULT])
        for name, row in rows.items():
            yield f"{name:18}" + "".join(f"{rate:15.1f}" for rate in row.values())
    for name in SETTINGS:
        share, where = max((share, where) for where, share in behind(rates, name).items())
        yield f"{name}: at worst {share:.1%} behind the best of a column ({where})"
    yield f"the default and itself, measured alike: up to {apart(rates):.1%} apart"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.busy", description="Measure how threads wait.")
    parser.add_argument("--starts", type=int, default=3, help="servers of each setting, one after the other")
    parser.add_argument("--rounds", type=int, default=6, help="times that each of them has its turn")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn")
    options = parser.parse_args()
    before = record.load()
    rates: Rates = {}
    try:
        require_root()
        for place in PLACES:
            measure(place, rates, options.starts, options.rounds, options.seconds)
            say(f"{place}: measured")
    except SandboxError as error:
        sys.exit(f"error: {error}")
    print("\n".join(table(rates)))
    column = str(Place(2, 8))
    record.write(
        {
            "name": "busy",
            "unit": "vectors a second on two cores beside 8 others; peer: libgomp's own way of waiting",
            "ours": rates["vectors"][DEFAULT][column],
            "peer": rates["vectors"][UPSTREAM][column],
            "runs": options.starts * options.rounds,
            "settings": {name: str(each) for name, each in SETTINGS.items()},
            "behind_the_best_at_worst": {name: round(max(behind(rates, name).values()), 3) for name in SETTINGS},
            "twins_apart_at_most": round(apart(rates), 3),
            **{f"{load}_a_second": rates[load] for load in LOADS},
            "load_before": before,
        }
    )


if __name__ == "__main__":
    main()
