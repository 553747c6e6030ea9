"""The search for the fastest candidate: one setting after the other is varied, and the best so far is kept."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, Callable

from . import alike, files, places, proof, run, say, store, variants
from .candidate import KERNELS, READS, WRITES, Candidate, Measurement, Speed, option, speed_of
from .completions import Token
from .errors import Exit, HostToolError
from .follow import host_name
from .manifest import Build, Serves
from .trial import Trial, TrialError

WAIT = float(os.environ.get("POLLEX_TUNE_WAIT", "1200"))
"""Seconds of one measurement: nobody is served meanwhile, so what hangs must end."""
LOG = f"{places.LOGS}/tune.log"
VARIED: tuple[dict[str, Any], ...] = (
    *({"micro_batch": tokens} for tokens in (512, 256, 128)),
    # One that holds the whole prompt is as good as any larger one, so the unit's own stands for those.
    *({"batch": tokens} for tokens in (256, 128)),
    {"flash_attention": True},
)
"""What is changed in the best so far, in this order, after the threads."""


@dataclass(frozen=True)
class Best:
    """A candidate that computes rightly, with what makes sure of that, for people."""

    candidate: Candidate
    speed: Speed
    verdict: str


@dataclass(frozen=True)
class Outcome:
    """What was measured, and what follows from it."""

    live: Serves
    before: Speed
    best: Best
    measured: Sequence[Measurement]
    fastest: str
    """The name of the fastest file."""
    faster: float = 1
    """How many times as fast as the live one."""
    advice: str = ""
    """What to declare, so that the fastest is served; empty where it is."""

    @property
    def verdict(self) -> str:
        """On the files, for people."""
        if not self.advice:
            return f"{self.live.file}, which is served, of {len({each.file for each in self.measured})} measured"
        return (
            f"{self.fastest}, {self.faster:.2f} times as fast as {self.live.file}, which is served: "
            f"to change that, {self.advice}"
        )

    def environment(self) -> str:
        """For the unit that adopts the options; what follows a # is for people, and for `status`."""
        options = " ".join(self.best.candidate.options)
        lines = (f"# fastest model: {self.verdict}", f"POLLEX_TUNED={options}", *self.best.candidate.kernels)
        return "".join(f"{line}\n" for line in lines)

    def facts(self) -> dict[str, object]:
        """The whole of it."""
        return {
            "winner": str(self.best.candidate),
            "milliseconds": self.best.speed.milliseconds,
            "before": self.before.milliseconds,
            "text": self.best.verdict,
            "server": self.live.program,
            "model": self.live.file,
            "fastest": self.fastest,
            "faster": self.faster,
            "advice": self.advice,
            "table": {each.label: each.outcome for each in self.measured},
        }

    def table(self) -> str:
        """The whole of it as JSON."""
        return json.dumps(self.facts(), ensure_ascii=False, separators=(",", ":")) + "\n"

    def lines(self, seconds: float) -> Iterator[str]:
        """What people are told at the end."""
        after = f"instead of {self.before.milliseconds} ms, after {say.duration(seconds)}"
        yield f"fastest options: {self.best.candidate}, {self.best.speed.milliseconds} ms for a polish {after}"
        yield f"fastest model: {self.verdict}"
        if self.advice:
            yield "what it writes is for people to judge: read some of its texts before it is served for good"


class Search:
    """A search with the live program and model, while neither is in service."""

    def __init__(self, live: Serves, program: Build, bench: str, log: IO[bytes]) -> None:
        """`bench` is the path of llama-bench, `log` takes what the programs complain of."""
        self._live = live
        self._proof = program.proof
        self._program = f"{store.path(program.item)}/bin/{program.target}"
        self._bench = bench
        self._log = log
        self._model = f"{store.path(live.model)}/{live.file}"
        self._layers = option(live.options, ("-ngl", "--gpu-layers", "--n-gpu-layers"), "0")
        self._context = option(live.options, ("-c", "--ctx-size"), "2048")
        # Each path by itself, since either may be a loss, and both together; there are none without a GPU.
        each: tuple[tuple[str, ...], ...] = (*((kernel,) for kernel in KERNELS), KERNELS)
        self._kernels = each if self._layers != "0" else ()
        self._others = {variants.path(model): model for model in variants.others(live)}
        self._measured: list[Measurement] = []
        self._text: list[Token] = []

    def run(self) -> Outcome:
        """Measure, and judge whatever is faster.

        Raises:
            HostToolError: nothing can be measured, or the program computes wrongly as it is.
        """
        own = Candidate.of_command(self._live.options, run.cores())
        first = self._measure(self._model, own)
        if first is None:
            raise HostToolError(Exit.FAILED, "nothing could be measured", f"whole log: {host_name()}:{LOG}")
        self._own = self._best = Best(own, first, "these are the unit's own options")
        try:
            self._prove(own)
        except TrialError as error:
            self._note(error)
            raise HostToolError(Exit.BUILD, f"it computes wrongly as it is: {error}") from error
        cores = run.cores()
        for change in (*({"threads": threads} for threads in (cores, cores // 2) if threads), *VARIED):
            self._try(replace(self._best.candidate, **change))
        plain = self._best.candidate
        right = [kernels for kernels in self._kernels if self._try(replace(plain, kernels=kernels))]
        # With the options that are best for the live model, and the kernels anew.
        for path in self._others:
            for kernels in ((), *right):
                self._measure(path, replace(self._best.candidate, kernels=kernels))
        return self._conclude()

    def _try(self, candidate: Candidate) -> bool:
        """Let it become the best if it is faster; whether it computes rightly, as far as that was asked."""
        if any(each.candidate == candidate for each in self._measured):
            return True
        speed = self._measure(self._model, candidate)
        if speed is None or not speed.faster_than(self._best.speed):
            return True
        try:
            self._prove(candidate)
            verdict = self._reads_alike(candidate)
        except TrialError as error:
            self._note(error)
            say.say(f"  wrong, so it cannot win: {error}")
            self._measured[-1] = Measurement(self._model, candidate, speed, f"wrong: {error}")
            return False
        say.say(f"  right: {verdict}")
        self._best = Best(candidate, speed, verdict)
        return True

    def _measure(self, file: str, candidate: Candidate) -> Speed | None:
        """How fast it is; None where it cannot be used here."""
        tokens = ("-p", str(READS), "-n", str(WRITES), "-r", "3", "-o", "jsonl")
        command = [self._bench, "-m", file, "-ngl", self._layers, *candidate.bench_options, *tokens]
        speed = speed_of(self._run(command, candidate))
        fault = "" if speed is not None else f"cannot be used here ({self._last_complaint()})"
        measured = Measurement(file, candidate, speed, fault)
        self._measured.append(measured)
        say.say(f"{file.rpartition('/')[2]}, {candidate}: {fault or speed}")
        return speed

    def _run(self, command: Sequence[str], candidate: Candidate) -> str:
        """What llama-bench prints; nothing where it did not end, or not well."""
        environment = {**os.environ, **candidate.variables}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, env=environment
        )
        try:
            printed, _ = process.communicate(timeout=WAIT)
        except subprocess.TimeoutExpired:
            self._log.write(f"it did not end within {WAIT:.0f} s\n".encode())
            return ""
        finally:
            run.end(process)
        return printed.decode("utf-8", "replace") if process.returncode == 0 else ""

    def _last_complaint(self) -> str:
        return "".join(say.last_lines(files.read(LOG) or "", 1))

    def _prove(self, candidate: Candidate) -> None:
        """Let the program give the known answers with a candidate.

        Raises:
            TrialError: it does not.
        """
        proof.computes(self._program, self._proof, candidate.options, candidate.variables)

    def _reads_alike(self, candidate: Candidate) -> str:
        """Let the live model write with a candidate what it writes with the unit's own options.

        Raises:
            TrialError: it writes something else.
        """
        if not self._text:
            try:
                self._text = self._ask(self._own.candidate, alike.written)
            except TrialError as error:
                self._note(error)
                raise HostToolError(Exit.BUILD, f"the live model cannot be asked: {error}") from error
        return alike.compare(self._text, self._ask(candidate, lambda trial: alike.led(trial, self._text)))

    def _ask(self, candidate: Candidate, question: Callable[[Trial], list[Token]]) -> list[Token]:
        """The live program and model, with what of the unit's options decides a text, are asked something."""
        base = ("-m", self._model, "-ngl", self._layers, "-c", self._context, "-np", "1")
        with Trial() as trial:
            trial.serve(self._program, (*base, *candidate.options), loads="the model", variables=candidate.variables)
            return question(trial)

    def _note(self, error: TrialError) -> None:
        """What the program said last, for the log."""
        self._log.write("".join(f"{line}\n" for line in (str(error), *error.log)).encode())

    def _conclude(self) -> Outcome:
        """What follows, once all is measured."""
        fastest, speed = self._model, self._best.speed
        for each in self._measured:
            if each.speed is not None and not each.fault and each.speed.milliseconds < speed.milliseconds:
                fastest, speed = each.file, each.speed
        outcome = Outcome(self._live, self._own.speed, self._best, self._measured, self._live.file)
        if fastest == self._model or not speed.faster_than(self._best.speed):
            return outcome
        return replace(
            outcome,
            fastest=self._others[fastest].file,
            faster=round(self._best.speed.milliseconds / speed.milliseconds, 2),
            advice=variants.how_to_serve(self._others[fastest], variants.live(self._live)),
        )
