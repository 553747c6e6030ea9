"""What the service makes of texts: GLEU on sentences of learners, of each way to polish them.

    python -m bench.words [--sentences N | --all] [--from N] [--ways NAME…] [--threads N]

Prints a table and writes build/bench/words.json. POLLEX_JFLEG names a folder with JFLEG's development part, which is
measured and never published. Every way asks the sandbox's small model for its likeliest words:

- source: the sentences as they are;
- original: the original arrangement, one bare call with its prompt, which POLLEX_ORIGINAL_PROMPT names a file of;
- the service in its modes `polish` and `correct`, with the prompts for small models;
- the same answers with one part of the judgement left out, or added that is not asked for by default.

Answers are kept in build/bench, so that a second run only judges anew; `seconds` is what an answer took the model when
it was new. A sentence that the service failed to polish counts as left alone.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench import record
from bench.programs import programs
from bench.servers import llama_server
from bench.words_answers import Answers
from bench.words_gleu import Corpus, Estimate
from bench.words_jfleg import Sentence, load, tokens
from infra.core.derivation import sha256
from pollex import prompts, words
from pollex.metrics import Metrics
from pollex.polish import Polished, Polisher
from pollex.settings import Decoding, Settings
from pollex.upstream import UpstreamError, adapters
from pollex.words import Change, Judged, Options, Verdict
from pollex.words import judge as judged  # before anything stands in its place
from pollex.words.clean import Cleaned
from pollex.words.tokens import tokens as tokens_of
from sandbox import fetch
from sandbox.machine import SandboxError, say

MODEL = "smollm2:135m"
CONTEXT = 2048
SENTENCES = 120
"""By default: enough to see what helps, and a matter of minutes."""
LIMIT = 200
"""Tokens of an answer to the bare call, which would else go round in circles until the context is full."""
GOAL = 1.15
"""What the service's default makes of a text over the text itself, at least."""
PROBABILITIES = 3
"""That the model tells with each token, for the row that uses them; its words are the same without."""
SIZE = "polish-small"
"""The shipped prompt for models of this one's size."""
EXAMPLES = (
    prompts.Example("She have two brother and they lives in London.", "She has two brothers and they live in London."),
    prompts.Example(
        "Yesterday I go to the market for buy some fruits.", "Yesterday I went to the market to buy some fruit."
    ),
    prompts.Example("Where you have put the key's of the car?", "Where have you put the keys of the car?"),
    prompts.Example("The weather is nice today.", "The weather is nice today."),
)
"""For the row that shows the model some; no shipped prompt does."""
MODES = ("polish", "correct")
"""Those that leave a right sentence as it is; the others are meant to say it differently, which GLEU cannot judge."""
OURS = "service, polish"
TUNED = f"the corpus's first {SENTENCES} sentences: other texts may gain less"
"""What the thresholds and rules of the judgement were chosen on."""
ORIGINAL = "POLLEX_ORIGINAL_PROMPT"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sentence."""

    text: str
    seconds: float
    """Of the model, when the answer was new, and of the service now."""
    failed: bool = False
    changes: tuple[Change, ...] = ()
    kept: int = 0
    """Parts that stayed because their answer was bad."""


Judge = Callable[..., Judged]
Way = Callable[[str], Outcome]


class Lab:
    """The model behind every way."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def bare(self, prompt: str) -> Way:
        """One call with a system prompt, whose answer is believed as it is."""

        def ask(text: str) -> Outcome:
            self._answers.seconds = 0.0
            messages = [{"role": "system", "content": prompt}, {"role": "user", "content": text}]
            body = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": LIMIT}
            answer = self._answers.ask("/v1/chat/completions", body)
            return Outcome(answer["choices"][0]["message"]["content"].strip(), self._answers.seconds)

        return ask

    def service(self, mode: str, judge: Judge, examples: Sequence[prompts.Example] = ()) -> Way:
        """The service's own way of a text through the model, with a judgement of the answer.

        Args:
            mode: the mode asked for.
            judge: what stands in the place of the judgement.
            examples: what the model is shown besides the prompt, which comes without.
        """
        settings = Settings.model_validate(
            {
                "llamacpp_url": self._answers.url,
                "llamacpp_model": MODEL,
                "llamacpp_probabilities": PROBABILITIES,
                "decoding": {MODEL: Decoding()},
                "connect_timeout": 60,  # the model's server is started by the first question
            }
        )

        told = {name: replace(prompt, examples=tuple(examples)) for name, prompt in prompts.of_modes(SIZE).items()}

        async def run(text: str) -> Polished | None:
            polisher = Polisher(adapters(settings), settings, told, Metrics())
            try:
                return await polisher.polish(text, MODEL, options=Options(mode=mode))
            except UpstreamError:
                return None
            finally:
                await polisher.close()

        def ask(text: str) -> Outcome:
            self._answers.seconds, fresh, begun = 0.0, self._answers.fresh, time.perf_counter()
            with patch.object(words, "judge", judge):
                polished = asyncio.run(run(text))
            seconds = time.perf_counter() - begun
            if self._answers.fresh == fresh:
                seconds += self._answers.seconds  # what was answered from the file took no time now
            if polished is None:
                return Outcome(text, seconds, failed=True)
            return Outcome(polished.text, seconds, changes=polished.changes, kept=len(polished.kept))

        return ask


def by_default(text: str, answer: str, options: Options, *, prompt_sent: str = "", **_: object) -> Judged:
    """As the service judges unless it is set to ask for probabilities."""
    return judged(text, answer, options, prompt_sent=prompt_sent)


def believed(_: str, answer: str, *__: object, **___: object) -> Judged:
    """No judgement at all."""
    return Judged(answer.strip())


def without(*parts: tuple[str, str, object]) -> Judge:
    """The judgement with something else in the place of parts of it: module, name, what stands there instead."""

    def judge(text: str, answer: str, options: Options, **told: Any) -> Judged:
        with ExitStack() as stack:
            for module, name, instead in parts:
                stack.enter_context(patch.object(importlib.import_module(f"pollex.words.{module}"), name, instead))
            return by_default(text, answer, options, **told)

    return judge


def _uncleaned(raw: str, _: str, __: object, ___: str = "", keep: Collection[str] = ()) -> Cleaned:
    return Cleaned(raw, tokens_of(raw, keep), None)


def _nothing(*_: object, **__: object) -> None:
    return None


ABLATIONS: dict[str, Judge] = {
    "with probabilities": judged,
    "without wrappers": without(("judge", "clean", _uncleaned)),
    "without protection": without(("verdicts", "_against", _nothing)),
    "without faithfulness": without(("judge", "whole_reason", _nothing), ("judge", "part_reason", _nothing)),
    "without judgement": believed,
}
"""Of the service's default mode."""


def ways(lab: Lab) -> dict[str, Way]:
    """By name; the original only where its prompt can be had."""
    found: dict[str, Way] = {}
    if named := os.environ.get(ORIGINAL):
        found["original"] = lab.bare(Path(named).read_text(encoding="utf-8").strip())
    else:
        say(f"{ORIGINAL} names no file with the original program's prompt: that row is left out")
    found |= {f"service, {mode}": lab.service(mode, by_default) for mode in MODES}
    found |= {f"{MODES[0]}, {name}": lab.service(MODES[0], judge) for name, judge in ABLATIONS.items()}
    return found | {f"{MODES[0]}, with examples": lab.service(MODES[0], by_default, EXAMPLES)}


def follow(way: Way, name: str, sentences: Sequence[Sentence]) -> list[Outcome]:
    """The outcomes of a way for every sentence."""
    outcomes: list[Outcome] = []
    for number, sentence in enumerate(sentences, 1):
        outcomes.append(way(sentence.text))
        if number % 40 == 0 or number == len(sentences):
            say(f"{name}: {number} of {len(sentences)} sentences")
    return outcomes


def corrected(sentence: Sentence, outcome: Outcome) -> tuple[str, ...]:
    """The outcome in tokens; a sentence that was left alone keeps its author's."""
    return sentence.source if outcome.text == sentence.text else tokens(outcome.text)


def report(sentences: Sequence[Sentence], outcomes: Mapping[str, Sequence[Outcome]], first: int = 1) -> dict[str, Any]:
    """What the outcomes say, in the fields of build/bench/words.json; the sentences begin with the corpus's `first`."""
    sources = [sentence.source for sentence in sentences]
    corpus = Corpus(sources, [sentence.references for sentence in sentences])
    rows: dict[str, dict[str, Any]] = {"source": {"GLEU": _shown(corpus.estimate(sources))}}
    for name, some in outcomes.items():
        result = [corrected(sentence, outcome) for sentence, outcome in zip(sentences, some, strict=True)]
        rows[name] = {
            "GLEU": _shown(corpus.estimate(result)),
            "over the source": _shown(corpus.ratio(result, sources)),
            **_verdicts(some),
            "left alone": sum(outcome.text == sentence.text for sentence, outcome in zip(sentences, some, strict=True)),
            "failed": sum(outcome.failed for outcome in some),
            "seconds": round(statistics.mean(outcome.seconds for outcome in some), 2),
        }
    ours, source = rows.get(OURS, {}), rows["source"]["GLEU"]["value"]
    return {
        "name": "words",
        "unit": "GLEU of JFLEG's sentences polished; peer: the same sentences as they are; more is better",
        "ours": ours.get("GLEU", {}).get("value"),
        "peer": source,
        "ratio": ours.get("over the source", {}).get("value"),
        "runs": len(sentences),
        "goal of the ratio": GOAL,
        "sentences": f"{first} to {first + len(sentences) - 1}",
        "tuned on": TUNED,
        "ways": rows,
    }


def _verdicts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many changes were taken, offered and refused, and how many parts stayed as they were."""
    count = Counter(change.verdict for outcome in outcomes for change in outcome.changes)
    return {verdict.value: count[verdict] for verdict in Verdict} | {"kept": sum(one.kept for one in outcomes)}


def _shown(estimate: Estimate) -> dict[str, float]:
    return {"value": round(estimate.value, 3), "low": round(estimate.low, 3), "high": round(estimate.high, 3)}


def table(said: Mapping[str, Any]) -> Iterator[str]:
    """The report for people."""
    columns = list(dict.fromkeys(column for row in said["ways"].values() for column in row))
    wide = {column: 22 if column in ("GLEU", "over the source") else len(column) + 2 for column in columns}
    yield f"{said['runs']:3} sentences{'':<19}" + "".join(f"{column:>{wide[column]}}" for column in columns)
    for name, row in said["ways"].items():
        yield f"{name:32}" + "".join(f"{_cell(row.get(column, '')):>{wide[column]}}" for column in columns)
    yield f"in brackets: where 95 of 100 such samples lie; goal: at least {said['goal of the ratio']} over the source"


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f})"
    return str(value)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.words", description="Measure what becomes of texts.")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help=f"the first so many ({SENTENCES})")
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="N", help="begin at the Nth")
    parser.add_argument("--all", action="store_true", help="all 754 of them")
    parser.add_argument("--ways", nargs="+", metavar="NAME", help="only those whose name holds one of these")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) - 1), help="of the model's server")
    options = parser.parse_args()
    try:
        sentences = load()[options.first - 1 :][: None if options.all else options.sentences]
        tools, model = programs("llama-server"), fetch.fetch(fetch.MODEL)
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait in circles starve each other
        server = ["-c", str(CONTEXT), "-np", "1", "-t", str(options.threads), "--no-context-shift", "--slots"]
        start = llama_server(tools / "llama-server", model, *server)
        with Answers(f"{sha256(model.read_bytes())} {tools.tag} {' '.join(server[:4])}", start) as answers:
            chosen = {
                name: way
                for name, way in ways(Lab(answers)).items()
                if not options.ways or any(part in name for part in options.ways)
            }
            outcomes = {name: follow(way, name, sentences) for name, way in chosen.items()}
    except (SandboxError, OSError) as error:
        sys.exit(f"error: {error}")
    said = report(sentences, outcomes, options.first)
    print("\n".join(table(said)))
    print(f"written to {record.write(said)}")


if __name__ == "__main__":
    main()
