"""The word diff, as a pure function."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollex.console import marked
from pollex.worddiff import Piece, diff

# few letters and every kind of character that the diff treats in its own way, so that texts have much in common
TEXTS = st.text(alphabet="ab '’.-\n\t猫かé", max_size=40)


@given(TEXTS, TEXTS)
def test_nothing_is_lost(before: str, after: str) -> None:
    """If this fails, a shown diff is not about the two texts."""
    pieces = diff(before, after)
    assert "".join(piece.before for piece in pieces) == before
    assert "".join(piece.after for piece in pieces) == after
    changed = [piece.changed for piece in pieces]
    assert all(left != right for left, right in pairwise(changed)), "two pieces should be one"


@given(TEXTS)
def test_equal_texts_have_no_change(text: str) -> None:
    """If this fails, an untouched text looks edited."""
    assert not any(piece.changed for piece in diff(text, text))


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("I dont know", "I don't know", "I [-dont-]{+don't+} know"),
        ("the cat sat", "a dog sat", "[-the cat-]{+a dog+} sat"),
        ("one\nteh end", "1\nthe end", "[-one-]{+1+}\n[-teh-]{+the+} end"),
        ("a, b", "a; b", "a[-,-]{+;+} b"),
        ("end", "end.", "end{+.+}"),
        ("very very good", "very good", "[-very -]very good"),
        ("猫がいる", "犬がいる", "[-猫-]{+犬+}がいる"),
        ("", "new", "{+new+}"),
    ],
)
def test_reads_as_a_person_would_mark_it(before: str, after: str, shown: str) -> None:
    """If this fails, a diff marks whole sentences where a word changed, or letters where a word did."""
    assert marked(diff(before, after), colour=False) == shown


def test_frequent_words_are_compared_too() -> None:
    """If this fails, a long text in which a word is frequent is shown as changed from end to end."""
    text = "to be or not to be " * 100
    assert [piece for piece in diff(text, text.replace("not", "knot", 1)) if piece.changed] == [Piece("not", "knot")]
