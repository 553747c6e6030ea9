"""What of a text is sent to a model, and in which pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollex.words import pieces
from pollex.words.blocks import blocks

LINES = [
    *["", "  ", "# Title", "- item", "  - [x] done", "1. one", "> said", "```", "~~~", "| a | b |", "---", "a | b"],
    *["--- | ---", "a\tb", "-- ", "$$", "\\[", "<!-- x", "[^1]: foot", "[a]: http://x", "From: a", "To: b", "\ufeff"],
    *[
        "    code()",
        "A sentence. And one more! Really?",
        "she dont like it",
        "\tx = 1",
        "* star",
        "\r",
        "zero\u200bwidth",
    ],
    *["see [x](y) **b** `c d` $a$ 10 000 € {n} %s", "words\u00a0and 3 km\u2009x  ", "猫がいる。犬もいる。", "\u2028"],
]
lines = st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=30)), max_size=12)
markdown = st.tuples(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]), lines).map(lambda drawn: drawn[0].join(drawn[1]))
texts = st.one_of(markdown, st.text())


@given(texts)
def test_blocks_join_to_the_text(text: str) -> None:
    """If this fails, polishing a text loses or changes parts that no model has seen."""
    assert "".join(block.whole for block in blocks(text)) == text


@given(texts, st.integers(0, 60))
def test_pieces_join_to_the_text(text: str, limit: int) -> None:
    """If this fails, a long text comes back with something missing or twice."""
    drawn = pieces(text, limit)
    assert "".join(piece.whole for piece in drawn) == text
    for piece in drawn:
        assert piece.before + piece.sent + piece.after == piece.whole
        assert "".join(part.whole for part in piece.parts()) == piece.whole


@given(texts, st.integers(1, 60))
def test_no_piece_is_longer_than_it_must_be(text: str, limit: int) -> None:
    """If this fails, a text that could have been cut to fit the context is refused."""
    for piece in pieces(text, limit):
        if piece.prose and len(piece.sent) > limit:
            assert len(piece.blocks) == 1
            assert len(piece.sent.split()) == 1 or len(piece.sent.split()[0]) > limit


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("\n\n  she dont like it  \n", ["she dont like it"]),
        ("a b\n\n```py\nteh = 1\n\nx\n```\n\nc d\n", ["a b", "c d"]),
        ("```\nnever closed\n\nteh", []),
        ("- an item\n  ```\n  teh = 1\n  ```\n- another\n", ["an item", "another"]),
        ("> ```\n> teh = 1\n> ```\nafter it", ["after it"]),
        ("\ufeff```\nteh = 1\n```\nafter it", ["after it"]),
        ("\ufeff---\ntitle: teh\n---\n\nafter it", ["after it"]),
        ("+++\ntitle = 'teh'\n+++\nafter it", ["after it"]),
        ("---\nno front matter here", ["no front matter here"]),
        ("Text:\n\n    indented code\n    more\n\nend of it", ["Text:", "end of it"]),
        (
            "    Once upon a time there was a king\nand he was old.",
            ["Once upon a time there was a king\nand he was old."],
        ),
        ("    A whole paragraph that somebody indented.\n", ["A whole paragraph that somebody indented."]),
        ("| a | b |\n|---|---|\n| teh | x |\n", []),
        ("name | thing\n--- | ---\nteh | x\n\nafter it", ["after it"]),
        ("teh\tb\tc\nd\te\tf\n\nafter it", ["after it"]),
        ("one\ttab in prose", ["one\ttab in prose"]),
        ("as in\n$$\nteh = 1\n$$\nso it is", ["as in", "so it is"]),
        ("as in\n\\[\nteh = 1\n\\]\nso it is", ["as in", "so it is"]),
        ("\\begin{align}\nteh &= 1\n\\end{align}\nso it is", ["so it is"]),
        ("<!-- teh\nnote -->\nafter it", ["after it"]),
        ("<pre>\nteh\n</pre>\nafter it", ["after it"]),
        ("[teh]: http://a.example\nafter it", ["after it"]),
        ("Bye then\n-- \nAnn Teh\nBoss of it", ["Bye then"]),
        ("Look:\n\n-----Original Message-----\nFrom: Teh\nTo: Ann\n\nafter it", ["Look:", "after it"]),
        ("On Monday, Teh Man wrote:\n> teh words\n\nafter it", ["after it"]),
        ("$ teh --command\nafter it", ["after it"]),
        ("- one thing", ["one thing"]),
        ("- [ ] one thing", ["one thing"]),
        ("## A title", ["A title"]),
        ("[^1]: a footnote", ["a footnote"]),
        ("> she said", []),
        ("123 + 456 = ?\n\n---\n", []),
        ("https://a.example/teh\n", []),
        ("first.\n\nsecond.", ["first.\n\nsecond."]),
        ("- a\n- b\n", ["- a\n- b"]),
        ("one\r\ntwo\r\n\r\nthree\r\n", ["one\r\ntwo\r\n\r\nthree"]),
    ],
)
def test_what_is_sent(text: str, sent: list[str]) -> None:
    """If this fails, code is sent to be polished, or prose is not."""
    assert [piece.sent for piece in pieces(text, 0) if piece.prose] == sent


def test_quoted_mail_is_sent_on_wish() -> None:
    """If this fails, somebody who wants the quoted words mended cannot have it."""
    assert [piece.sent for piece in pieces("> she said\n", 0, quoted=True)] == ["she said"]


@pytest.mark.parametrize(
    ("text", "limit", "sent"),
    [
        (
            "One two three. Four five six.\n\nSeven eight nine ten eleven twelve.",
            20,
            ["One two three.", "Four five six.", "Seven eight nine ten", "eleven twelve."],
        ),
        ("我们今天去公园。明天下雨，所以不去。", 9, ["我们今天去公园。", "明天下雨，", "所以不去。"]),
        ("我们今天去公园玩得很高兴", 5, ["我们今天去", "公园玩得很", "高兴"]),
    ],
)
def test_long_texts_are_cut_where_a_reader_would(text: str, limit: int, sent: list[str]) -> None:
    """If this fails, a model gets half a sentence and ends it as it likes, or Chinese is refused as too long."""
    assert [piece.sent for piece in pieces(text, limit)] == sent
