"""`pollex bench`: the same texts through several models or servers in turn, and what the times say.

A machine gets warm, throttles and has other things to do, so contestants take turns within every round. A server
remembers the text that it saw last, so no text is sent twice in a row: while one contestant polishes a sample the next
polishes another one.
"""

from __future__ import annotations

import os
import platform
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from pollex.client import Client, Delta, Polished, connection
from pollex.exits import Exit, PollexError

BUSY_SECONDS = 6.0
"""Wait before another try where a busy server names no time: ten requests a minute are one every six seconds."""
BUSY_TRIES = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """A text to polish."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model at a server."""

    label: str
    model: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured request; times in seconds as the client saw them."""

    contestant: str
    sample: str
    round: int
    seconds: float = 0.0
    first: float | None = None
    """Until the first piece of text; None where the server does not stream."""
    decoding: float | None = None
    """From the first piece to the last."""
    elapsed_ms: int = 0
    """As the service measured it."""
    answered_by: str = ""
    tokens: int | None = None
    characters: int = 0
    """Length of the polished text."""
    error: str | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of decoding: the tokens after the first over the time from the first to the last."""
        if not self.decoding or self.tokens is None or self.tokens < 2:  # noqa: PLR2004 - two ends of an interval
            return None
        return (self.tokens - 1) / self.decoding


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """The spread of `values`; None without any."""
        if not values:
            return None
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one contestant did with one sample."""

    contestant: str
    sample: str
    characters: int
    runs: int
    failed: int
    seconds: Spread | None
    ms_per_character: float | None
    """Of the text that was sent, by the median time."""
    first: Spread | None
    tokens_per_second: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured, ready to be written as JSON."""

    machine: dict[str, Any]
    """The machine that measured; a server may be another one."""
    contestants: list[Contestant]
    token_count: str
    """What a token was taken to be."""
    cells: list[Cell]
    ratios: dict[str, Spread]
    """By contestant: its time over the first contestant's, for the same sample in the same round."""
    runs: list[Run]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def packaged_samples() -> list[Sample]:
    """The texts that come with the program, shortest first."""
    texts = tomllib.loads(resources.files("pollex").joinpath("samples.toml").read_text("utf-8"))
    return [Sample(name, text.strip()) for name, text in texts.items()]


def read_samples(paths: Sequence[str]) -> list[Sample]:
    """Each file as a sample named as the file."""
    try:
        return [Sample(Path(path).stem, Path(path).read_text("utf-8").strip()) for path in paths]
    except (OSError, ValueError) as error:
        raise PollexError(Exit.INPUT, f"a sample cannot be read: {error}") from None


def schedule(
    contestants: Sequence[Contestant], samples: Sequence[Sample], rounds: int
) -> Iterator[tuple[int, Contestant, Sample]]:
    """Every contestant with every sample once a round: there and back again, each one sample ahead of the one before.

    So nobody has the better turn, and neither neighbours nor a contestant's own two requests in a row share a sample.
    """
    places = list(enumerate(contestants))
    for step in range(rounds * len(samples)):
        for place, contestant in places if step % 2 == 0 else reversed(places):
            yield step // len(samples), contestant, samples[(step + place) % len(samples)]


def measure(
    contestants: Sequence[Contestant],
    samples: Sequence[Sample],
    rounds: int,
    *,
    connect: Callable[[str], Client],
    tokenizer: str | None,
    tell: Callable[[str], None],
) -> Report:
    """Warm every contestant up, then run the schedule; a request that fails there is a run with an error.

    `connect` makes a client of an address, `tokenizer` is the address of a llama-server that counts tokens, and `tell`
    hears of each step.

    Raises:
        PollexError: a contestant failed while it was warmed up.
    """
    runs = []
    with ExitStack() as stack:
        clients = {url: stack.enter_context(connect(url)) for url in {one.url for one in contestants}}
        course = _Course(clients, _counter(stack, tokenizer), tell)
        for contestant in contestants:
            tell(f"warming up {contestant.label}")
            failure = course.run(contestant, samples[0], 0).error
            if failure is not None:
                raise PollexError(Exit.FAILED, f"{contestant.label} cannot be measured: {failure}")
        total = rounds * len(contestants) * len(samples)
        for number, (turn, contestant, sample) in enumerate(schedule(contestants, samples, rounds), start=1):
            tell(f"{number}/{total} {contestant.label} {sample.name}")
            run = course.run(contestant, sample, turn)
            if run.error is not None:
                tell(f"{contestant.label} {sample.name} failed: {run.error}")
            runs.append(run)
    return report(contestants, samples, runs, "counted by /tokenize" if tokenizer else "pieces as streamed")


def report(contestants: Sequence[Contestant], samples: Sequence[Sample], runs: list[Run], token_count: str) -> Report:
    """What the runs say."""
    return Report(
        machine=machine(),
        contestants=list(contestants),
        token_count=token_count,
        cells=[_cell(one.label, sample, runs) for sample in samples for one in contestants],
        ratios=_ratios([one.label for one in contestants], runs),
        runs=runs,
    )


def machine() -> dict[str, Any]:
    """The machine that this runs on, as far as it matters for times."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}


def _counter(stack: ExitStack, tokenizer: str | None) -> Callable[[str], int] | None:
    if tokenizer is None:
        return None
    http = stack.enter_context(connection(tokenizer)[0])

    def count(text: str) -> int:
        try:
            return len(http.post("/tokenize", json={"content": text}).raise_for_status().json()["tokens"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise PollexError(Exit.UNREACHABLE, f"{tokenizer} cannot count tokens: {error}") from None

    return count


@dataclass(frozen=True, slots=True)
class _Course:
    """What a measured request needs."""

    clients: Mapping[str, Client]
    count: Callable[[str], int] | None
    tell: Callable[[str], None]

    def run(self, contestant: Contestant, sample: Sample, turn: int) -> Run:
        """A measured request; a busy server is asked again when it says so, and the wait is not part of the time."""
        for tries_left in reversed(range(BUSY_TRIES)):
            try:
                return self._once(contestant, sample, turn)
            except PollexError as problem:
                if problem.exit is not Exit.BUSY or not tries_left:
                    return Run(contestant=contestant.label, sample=sample.name, round=turn, error=str(problem.args[0]))
                pause = problem.retry_after or BUSY_SECONDS
                self.tell(f"waiting {pause:.0f} s: {problem.args[0]}")
                time.sleep(pause)
        raise AssertionError("the last try returns")

    def _once(self, contestant: Contestant, sample: Sample, turn: int) -> Run:
        start = time.perf_counter()
        pieces: list[float] = []
        for event in self.clients[contestant.url].polish(sample.text, contestant.model):
            now = time.perf_counter() - start
            if isinstance(event, Delta):
                pieces.append(now)
            if isinstance(event, Polished):
                return Run(
                    contestant=contestant.label,
                    sample=sample.name,
                    round=turn,
                    seconds=now,
                    first=pieces[0] if pieces else None,
                    decoding=pieces[-1] - pieces[0] if pieces else None,
                    elapsed_ms=event.elapsed_ms,
                    answered_by=event.model,
                    tokens=self.count(event.text) if self.count else len(pieces) or None,
                    characters=len(event.text),
                )
        raise AssertionError("the client's last event is Polished")


def _cell(label: str, sample: Sample, runs: Sequence[Run]) -> Cell:
    mine = [run for run in runs if run.contestant == label and run.sample == sample.name]
    good = [run for run in mine if run.error is None]
    seconds = Spread.of([run.seconds for run in good])
    return Cell(
        contestant=label,
        sample=sample.name,
        characters=len(sample.text),
        runs=len(mine),
        failed=len(mine) - len(good),
        seconds=seconds,
        ms_per_character=seconds.median * 1000 / len(sample.text) if seconds else None,
        first=Spread.of([run.first for run in good if run.first is not None]),
        tokens_per_second=Spread.of([run.tokens_per_second for run in good if run.tokens_per_second is not None]),
    )


def _ratios(labels: Sequence[str], runs: Sequence[Run]) -> dict[str, Spread]:
    """Each contestant's time over the first one's, paired by sample and round, so that a slow phase hits both."""
    times = {(run.contestant, run.sample, run.round): run.seconds for run in runs if run.error is None}
    found = {}
    for label in labels[1:]:
        pairs = [
            times[label, sample, turn] / seconds
            for (name, sample, turn), seconds in times.items()
            if name == labels[0] and (label, sample, turn) in times and seconds > 0
        ]
        spread = Spread.of(pairs)
        if spread is not None:
            found[label] = spread
    return found
