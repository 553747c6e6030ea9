"""What of a text is sent, and what of an answer is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollex.text import Cleaner, blocks, clean, pieces

REAL = json.loads((Path(__file__).parent / "real_answers.json").read_text())
"""Answers of SmolLM2-135M-Instruct (Q4_1, temperature 0, at most 120 tokens) to several prompts, as they came."""

line = st.one_of(
    st.sampled_from(
        ["", "  ", "# Title", "- item", "  - [x] done", "1. one", "> said", "```", "~~~", "| a | b |", "---"]
    ),
    st.sampled_from(["    code()", "A sentence. And one more! Really?", "she dont like it", "\tx = 1", "* star", "\r"]),
    st.text(max_size=30),
)
said = [
    "Here is",
    "Sure!",
    " the corrected",
    " text",
    ": ",
    '"',
    "“",
    "”",
    "'",
    "\n",
    "\n\n",
    "Note",
    "(Note",
    "I changed",
    " so",
]
talk = st.lists(st.one_of(st.sampled_from(said), st.text(max_size=5)), max_size=12).map("".join)
markdown = st.lists(line, max_size=20).map("\n".join)


@given(st.one_of(markdown, st.text()))
def test_blocks_join_to_the_text(text: str) -> None:
    """If this fails, polishing a text loses or changes parts that no model has seen."""
    assert "".join(block.whole for block in blocks(text)) == text


@given(st.one_of(markdown, st.text()), st.integers(0, 60))
def test_pieces_join_to_the_text(text: str, limit: int) -> None:
    """If this fails, a long text comes back with something missing or twice."""
    found = pieces(text, limit)
    assert "".join(piece.whole for piece in found) == text
    for piece in found:
        assert piece.before + piece.sent + piece.after == piece.whole


@given(st.one_of(markdown, st.text()), st.integers(0, 60))
def test_an_unchanged_answer_changes_nothing(text: str, limit: int) -> None:
    """If this fails, a text in which there is nothing to mend loses white space, markers or code."""
    for piece in pieces(text, limit):
        if piece.prose:
            joined = piece.join(piece.sent)
            parts = "".join(part.join(part.sent) or "lost" for part in piece.parts())
            assert parts == piece.whole
            assert joined in (piece.whole, None)


@given(markdown, st.integers(1, 60))
def test_no_piece_is_longer_than_it_must_be(text: str, limit: int) -> None:
    """If this fails, a text that could have been cut to fit the context is refused."""
    for piece in pieces(text, limit):
        if piece.prose and len(piece.sent) > limit:
            assert len(piece.blocks) == 1
            assert len(piece.sent.split()) == 1 or len(piece.sent.split()[0]) > limit


@settings(max_examples=500)
@given(talk, talk, st.lists(st.integers(1, 7), max_size=30))
def test_a_stream_is_cleaned_like_a_whole(answer: str, source: str, cuts: list[int]) -> None:
    """If this fails, what the page shows while it streams is another text than the one it gets in the end."""
    cleaner, heard, at = Cleaner(source), "", 0
    for cut in cuts:
        heard += cleaner.feed(answer[at : at + cut])
        at += cut
    heard += cleaner.feed(answer[at:]) + cleaner.finish()
    assert heard == clean(answer, source)


@pytest.mark.parametrize("case", REAL, ids=range(len(REAL)))
def test_real_answers(case: dict[str, str]) -> None:
    """If this fails, users copy a model's talk about their text into their mails."""
    cleaner = Cleaner(case["source"])
    streamed = "".join(map(cleaner.feed, case["answer"])) + cleaner.finish()
    assert streamed == clean(case["answer"], case["source"]) == case["polished"]


@pytest.mark.parametrize("case", REAL, ids=range(len(REAL)))
def test_talk_is_cut_off_early(case: dict[str, str]) -> None:
    """If this fails, the board generates explanations that nobody reads, or a polished text is cut with them."""
    cleaner, heard = Cleaner(case["source"]), ""
    for letter in case["answer"]:
        heard += cleaner.feed(letter)
        if cleaner.complete:
            break
    assert heard + cleaner.finish() == case["polished"]


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("Here is the corected text: all of it", "Here is the corrected text: all of it"),
        ("teh improved plan: go home", "The improved plan: go home"),
        ('"Go," he sayd', '"Go," he said'),
        ('"all of it is quotd"', '"all of it is quoted"'),
        ("'Tis late", "'Tis late."),
        ("A text.\n\nNote: keep this", "A text.\n\nNote: keep this."),
        ("Sure, i will come", "Sure, I will come."),
        ("answer the call", "Answer the call."),
        ('He sayd: "go"', 'He said: "go"'),
    ],
)
def test_what_is_the_authors_own_stays(source: str, answer: str) -> None:
    """If this fails, the cleaning takes away words that the author wrote."""
    assert clean(answer, source) == answer


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("\n\n  she dont like it  \n", ["she dont like it"]),
        ("a b\n\n```py\nteh = 1\n\nx\n```\n\nc d\n", ["a b", "c d"]),
        ("```\nnever closed\n\nteh", []),
        ("Text:\n\n    indented code\n    more\n\nend of it", ["Text:", "end of it"]),
        ("| a | b |\n|---|---|\n| teh | x |\n", []),
        ("- one thing", ["one thing"]),
        ("- [ ] one thing", ["one thing"]),
        ("## A title", ["A title"]),
        ("> she said", ["she said"]),
        ("123 + 456 = ?\n\n---\n", []),
        ("first.\n\nsecond.", ["first.\n\nsecond."]),
        ("- a\n- b\n", ["- a\n- b"]),
    ],
)
def test_what_is_sent(text: str, sent: list[str]) -> None:
    """If this fails, code is sent to be polished, or prose is not."""
    assert [piece.sent for piece in pieces(text, 0) if piece.prose] == sent


def test_long_texts_are_cut_where_a_reader_would() -> None:
    """If this fails, a model gets half a sentence and ends it as it likes."""
    text = "One two three. Four five six.\n\nSeven eight nine ten eleven twelve."
    assert [piece.sent for piece in pieces(text, 20)] == [
        "One two three.",
        "Four five six.",
        "Seven eight nine ten",
        "eleven twelve.",
    ]


@pytest.mark.parametrize(
    ("text", "answer", "joined"),
    [
        ("- she dont\n- he dont\n", "- She doesn't.\n- He doesn't.", "- She doesn't.\n- He doesn't.\n"),
        ("* she dont\n\n* he dont", "* She doesn't.\n* He doesn't.", "* She doesn't.\n\n* He doesn't."),
        ("- she dont\n- he dont\n", "She doesn't, and he doesn't.", None),
        ("- she dont\n- he dont\n", "1. She doesn't.\n2. He doesn't.", None),
        ("first one\n\n\nsecond one", "First one.\n\nSecond one.", "First one.\n\n\nSecond one."),
        ("  indented", "Indented.", "  Indented."),
        ("- one item", "One\nitem", None),
        ("see https://a.example/x?y=1 now", "See https://a.example/x?y=1 now.", "See https://a.example/x?y=1 now."),
        ("see https://a.example/x now", "See https://a.example/y now.", None),
        ("see [teh](a.html) now", "See [the](a.html) now.", "See [the](a.html) now."),
        ("see [teh](a.html) now", "See the page now.", None),
        ("run `teh cmd` now", "Run `the cmd` now.", None),
        ("mail me@a.example now", "Mail you now.", None),
        ("a short text", "", None),
        ("a short text", "I am a helpful assistant. " * 20, None),
    ],
)
def test_what_of_an_answer_is_believed(text: str, answer: str, joined: str | None) -> None:
    """If this fails, an answer that lost a link, a list or the text itself is returned as if it were polished."""
    assert pieces(text, 0)[0].join(answer) == joined
