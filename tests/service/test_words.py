"""What of an answer is believed: nothing of the author's is lost, and what is protected stands where it stood."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import ROOT
from pollex.words import Kind, Options, Reason, Stream, Verdict, judge, pieces
from pollex.words.tokens import tokens
from tests.service.test_text import texts

REAL = json.loads((Path(__file__).parent / "real_answers.json").read_text())
"""Answers of SmolLM2-135M-Instruct (Q4_1, temperature 0, at most 120 tokens) to several prompts, as they came."""

POLISH = Options()
answers = st.one_of(
    texts,
    st.lists(
        st.sampled_from(
            ["Here is", "Sure!", " the text", ": ", '"', "”", "'", "\n", "\n\n", "Note", "<think>", "</think>"]
        )
        | st.text(max_size=5),
        max_size=12,
    ).map("".join),
)


@settings(max_examples=150)
@given(texts, st.sampled_from([0, 20, 100]))
def test_an_unchanged_answer_changes_nothing(text: str, limit: int) -> None:
    """If this fails, a text in which there is nothing to mend loses white space, markers or code."""
    done = ""
    for piece in pieces(text, limit):
        judged = judge(piece.sent, piece.sent, POLISH) if piece.prose else None
        assert judged is None or (judged.changes, judged.kept) == ((), ())
        done += piece.before + (judged.text if judged else piece.sent) + piece.after
    assert done == text


@settings(max_examples=150)
@given(texts, answers, st.sampled_from(["correct", "polish", "shorten", "formal", "plain", "mine"]))
def test_what_is_protected_stays(text: str, answer: str, mode: str) -> None:
    """If this fails, a link, some code or a number is lost or moved, whatever the model says."""
    for piece in pieces(text, 0):
        if not piece.prose:
            continue
        judged = judge(piece.sent, answer, Options(mode=mode))
        at = 0
        for token in tokens(piece.sent):
            if token.fixed:
                at = judged.text.find(token.text, at)
                assert at >= 0, token
                at += len(token.text)


@settings(max_examples=150)
@given(texts, answers)
def test_changes_name_their_places(text: str, answer: str) -> None:
    """If this fails, the page marks other words than the ones that changed."""
    for piece in pieces(text, 0):
        judged = judge(piece.sent, answer, POLISH)
        for change in judged.changes:
            assert piece.sent[change.start : change.end] == change.before != change.after
        places = [(change.start, change.end) for change in judged.changes]
        assert all(one[1] <= other[0] for one, other in pairwise(places))


@settings(max_examples=100)
@given(answers, answers, st.lists(st.integers(1, 7), max_size=30))
def test_pieces_do_not_matter(source: str, answer: str, cuts: list[int]) -> None:
    """If this fails, the result depends on how the network cut the answer."""
    whole, cut = Stream(source), Stream(source)
    whole.feed(answer)
    ends = [*accumulate(cuts), len(answer)]
    for start, end in pairwise([0, *ends]):
        cut.feed(answer[start:end])
    assert (cut.raw, cut.complete) == (whole.raw, whole.complete)


@pytest.mark.parametrize("case", REAL, ids=range(len(REAL)))
def test_real_answers(case: dict[str, str]) -> None:
    """If this fails, users copy a model's talk about their text into their mails, or the board writes on for nobody."""
    stream = Stream(case["source"])
    shown = ""
    for letter in case["answer"]:
        shown += stream.feed(letter)
        if stream.complete:
            break
    judged = judge(case["source"], stream.raw, POLISH)
    assert judged.text == judge(case["source"], case["answer"], POLISH).text
    assert "\n" not in judged.text
    assert len(judged.text) < 1.5 * len(case["source"]) + 10


def test_talk_is_cut_off_early() -> None:
    """If this fails, the board writes explanations that nobody reads."""
    read = 0
    for case in REAL:
        stream = Stream(case["source"])
        stream.feed(case["answer"])
        read += len(stream.raw)
    assert read < 0.75 * sum(len(case["answer"]) for case in REAL)


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("We choose only a few.", "We choose only one few.", "We choose only a few."),
        ("We met 12 studnets in Bonn.", "We met 13 students in Bonn.", "We met 12 students in Bonn."),
        # The opening is not the model's to drop, so the capital that would come after it stays away too.
        ("Unfortunately the trains was late.", "The trains were late.", "Unfortunately the trains were late."),
    ],
)
def test_one_change_falls_without_the_others(text: str, answer: str, expected: str) -> None:
    """If this fails, a number changes in silence, or a capital stands in the middle of a sentence."""
    assert judge(text, answer, POLISH).text == expected


@pytest.mark.parametrize("code", [*Reason, *Kind, *Verdict])
def test_every_code_is_explained(code: Reason | Kind | Verdict) -> None:
    """If this fails, a writer meets a word on the page or in an answer that no page explains."""
    assert f"`{code.value}`" in (ROOT / "docs/reference/changes.md").read_text()
    assert not isinstance(code, Reason) or code.message.endswith(".")
