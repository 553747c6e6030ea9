"""What the service makes of texts: GLEU on sentences of learners, of each way to polish them.

    python -m bench.words [--sentences N | --all] [--ways NAME…] [--threads N]

Prints a table and writes build/bench/words.json. POLLEX_JFLEG names a folder with JFLEG's development part, which is
measured and never published. Every way asks the sandbox's small model for its likeliest words:

- source: the sentences as they are;
- original: the original arrangement, one bare call with its prompt, which POLLEX_ORIGINAL_PROMPT names a file of;
- the service with each prompt.

Answers are kept in build/bench, so that a second run only judges anew; `seconds` is what an answer took the model when
it was new. A sentence that the service failed to polish counts as left alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import record
from bench.programs import programs
from bench.servers import llama_server
from bench.words_answers import Answers
from bench.words_gleu import Corpus, Estimate
from bench.words_jfleg import Sentence, load, tokens
from infra.core.derivation import sha256
from pollex import prompts
from pollex.metrics import Metrics
from pollex.polish import Polisher
from pollex.settings import Decoding, Settings
from pollex.upstream import UpstreamError, adapters
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
DEFAULT = "service, polish-small"
ORIGINAL = "POLLEX_ORIGINAL_PROMPT"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sentence."""

    text: str
    seconds: float
    """Of the model, when the answer was new, and of the service now."""
    failed: bool = False


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

    def service(self, prompt: str) -> Way:
        """The service's own way of a text through the model."""
        settings = Settings.model_validate(
            {"llamacpp_url": self._answers.url, "llamacpp_model": MODEL, "decoding": {MODEL: Decoding()}}
        )

        async def polish(text: str) -> tuple[str, bool]:
            polisher = Polisher(adapters(settings), settings, prompts.of_modes(prompt), Metrics())
            try:
                return (await polisher.polish(text, MODEL)).text, False
            except UpstreamError:
                return text, True
            finally:
                await polisher.close()

        def ask(text: str) -> Outcome:
            self._answers.seconds, begun = 0.0, time.perf_counter()
            fresh = self._answers.fresh
            polished, failed = asyncio.run(polish(text))
            # what was answered from the file took no time now
            whole = time.perf_counter() - begun
            seconds = whole if self._answers.fresh > fresh else whole + self._answers.seconds
            return Outcome(polished, seconds, failed)

        return ask


def ways(lab: Lab) -> dict[str, Way]:
    """By name; the original only where its prompt can be had."""
    found: dict[str, Way] = {}
    if named := os.environ.get(ORIGINAL):
        found["original"] = lab.bare(Path(named).read_text(encoding="utf-8").strip())
    else:
        say(f"{ORIGINAL} names no file with the original program's prompt: that row is left out")
    return found | {f"service, {name}": lab.service(name) for name in prompts.SHIPPED}


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


def report(sentences: Sequence[Sentence], outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """What the outcomes say, in the fields of build/bench/words.json."""
    sources = [sentence.source for sentence in sentences]
    corpus = Corpus(sources, [sentence.references for sentence in sentences])
    rows: dict[str, dict[str, Any]] = {"source": {"GLEU": _shown(corpus.estimate(sources))}}
    for name, some in outcomes.items():
        words = [corrected(sentence, outcome) for sentence, outcome in zip(sentences, some, strict=True)]
        rows[name] = {
            "GLEU": _shown(corpus.estimate(words)),
            "over the source": _shown(corpus.ratio(words, sources)),
            "left alone": sum(outcome.text == sentence.text for sentence, outcome in zip(sentences, some, strict=True)),
            "failed": sum(outcome.failed for outcome in some),
            "seconds": round(statistics.mean(outcome.seconds for outcome in some), 2),
        }
    ours, source = rows.get(DEFAULT, {}), rows["source"]["GLEU"]["value"]
    return {
        "name": "words",
        "unit": "GLEU of JFLEG's sentences polished; peer: the same sentences as they are; more is better",
        "ours": ours.get("GLEU", {}).get("value"),
        "peer": source,
        "ratio": ours.get("over the source", {}).get("value"),
        "runs": len(sentences),
        "goal of the ratio": GOAL,
        "ways": rows,
    }


def _shown(estimate: Estimate) -> dict[str, float]:
    return {"value": round(estimate.value, 3), "low": round(estimate.low, 3), "high": round(estimate.high, 3)}


def table(said: Mapping[str, Any]) -> Iterator[str]:
    """The report for people."""
    columns = list(dict.fromkeys(column for row in said["ways"].values() for column in row))
    yield f"{said['runs']} sentences{'':<22}" + "".join(f"{column:>24}" for column in columns)
    for name, row in said["ways"].items():
        yield f"{name:36}" + "".join(f"{_cell(row.get(column, '')):>24}" for column in columns)
    yield f"in brackets: where 95 of 100 such samples lie; goal: at least {said['goal of the ratio']} over the source"


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f})"
    return str(value)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.words", description="Measure what becomes of texts.")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help=f"the first so many ({SENTENCES})")
    parser.add_argument("--all", action="store_true", help="all 754 of them")
    parser.add_argument("--ways", nargs="+", metavar="NAME", help="only those whose name holds one of these")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) - 1), help="of the model's server")
    options = parser.parse_args()
    try:
        sentences = load()[: None if options.all else options.sentences]
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
    said = report(sentences, outcomes)
    print("\n".join(table(said)))
    print(f"written to {record.write(said)}")


if __name__ == "__main__":
    main()
