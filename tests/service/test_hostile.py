"""Hostile pairs: an author's text, what a model said to it, and what must come out; one file for each kind of trouble.

A pair in `hostile/*.toml` has `text`, `answer` (one for each part that is sent, where there are several) and `result`.
`mode`, `keep` and `prompt` are the request's. `kept`, `refused` and `offered` name the reasons of what stayed, the
reasons of what was refused and the kinds of what was offered, where the pair is about them.
"""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pollex.words import Change, Judged, Kept, Options, Stream, Verdict, judge, pieces

FOLDER = Path(__file__).parent / "hostile"


def all_pairs() -> list[tuple[str, dict[str, Any]]]:
    """Every pair with its name."""
    return [
        (f"{file.stem}-{number}", pair)
        for file in sorted(FOLDER.glob("*.toml"))
        for number, pair in enumerate(tomllib.loads(file.read_text())["pair"], 1)
    ]


PAIRS = [pytest.param(pair, id=name) for name, pair in all_pairs()]


def polished(pair: dict[str, Any], rng: random.Random | None = None) -> Judged:
    """The pair's text after judgement; the answer whole, or streamed in pieces of random length."""
    options = Options(mode=pair.get("mode", "polish"), keep=frozenset(pair.get("keep", ())))
    answers = iter([pair["answer"]] if isinstance(pair["answer"], str) else pair["answer"])
    text, changes, kept = "", list[Change](), list[Kept]()
    for piece in pieces(pair["text"], 2000):
        if piece.prose:
            answer = next(answers)
            raw = answer if rng is None else streamed(piece.sent, answer, pair.get("prompt", ""), rng)
            judged = judge(piece.sent, raw, options, prompt_sent=pair.get("prompt", ""))
        else:
            judged = Judged(piece.sent)
        moved = judged.moved(len(text))
        text += piece.before + judged.text + piece.after
        changes += moved.changes
        kept += moved.kept
    assert next(answers, None) is None, "the text has fewer parts than there are answers"
    return Judged(text, tuple(changes), tuple(kept))


def streamed(sent: str, answer: str, prompt: str, rng: random.Random) -> str:
    """What is left of an answer that came piece by piece."""
    stream, at = Stream(sent, prompt), 0
    while at < len(answer) and not stream.complete:
        size = rng.randint(1, 9)
        stream.feed(answer[at : at + size])
        at += size
    stream.finish()
    return stream.raw


@pytest.mark.parametrize("pair", PAIRS)
def test_a_hostile_pair(pair: dict[str, Any]) -> None:
    """If this fails, a writer gets back a text in which something is lost, invented or altered behind their back."""
    judged = polished(pair)
    assert judged.text == pair["result"]
    told = verdicts_of(judged)
    assert {name: told[name] for name in told if name in pair} == {name: pair[name] for name in told if name in pair}


def verdicts_of(judged: Judged) -> dict[str, list[str]]:
    """What a pair may say of its judgement."""
    return {
        "kept": [one.reason.value for one in judged.kept],
        "refused": [c.reason.value for c in judged.changes if c.verdict is Verdict.REFUSED],
        "offered": [c.kind.value for c in judged.changes if c.verdict is Verdict.OFFERED],
    }


def right(pair: dict[str, Any]) -> bool:
    """Whether a pair comes out as it must."""
    judged = polished(pair)
    told = verdicts_of(judged)
    return judged.text == pair["result"] and all(told[name] == pair[name] for name in told if name in pair)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_hostile_pair_streamed(pair: dict[str, Any]) -> None:
    """If this fails, a text becomes another one because of how its answer was cut on the way."""
    rng = random.Random(pair["text"])
    for _ in range(3):
        assert polished(pair, rng).text == pair["result"]


def test_there_are_enough() -> None:
    """If this fails, pairs were lost, and with them kinds of trouble that nobody looks for any more."""
    assert len(PAIRS) >= 150
    pairs = [pair for _, pair in all_pairs()]
    assert len({(pair["text"], str(pair["answer"]), pair.get("mode")) for pair in pairs}) == len(pairs)
