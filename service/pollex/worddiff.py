"""The difference between two texts, word by word: pure, and lossless in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

# A word keeps its apostrophes, so that dont → don't is one change. Scripts written without spaces (kana, Han, Hangul)
# are compared by character: there a run of letters is a whole sentence.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+(?:['’](?:(?![{_UNSPACED}])\w)+)*|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of both texts; the pieces' `before` joined are the one text, their `after` the other."""

    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether the texts differ here."""
        return self.before != self.after


def diff(before: str, after: str) -> list[Piece]:
    """The pieces of both texts in order, changed and unchanged ones in turn.

    Changes with nothing but a gap within a line between them are one: a rewritten phrase reads as one change.
    """
    pieces: list[Piece] = []
    for piece in _pieces(_TOKEN.findall(before), _TOKEN.findall(after)):
        if piece.changed and len(pieces) > 1 and _is_gap(pieces[-1].before):
            gap, left = pieces.pop(), pieces.pop()
            pieces.append(Piece(left.before + gap.before + piece.before, left.after + gap.after + piece.after))
        else:
            pieces.append(piece)
    return pieces


def _pieces(old: list[str], new: list[str]) -> Iterator[Piece]:
    # autojunk would take frequent words for noise in texts of more than 200 words, and miss what was moved
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for _, i1, i2, j1, j2 in matcher.get_opcodes():
        yield Piece("".join(old[i1:i2]), "".join(new[j1:j2]))


def _is_gap(text: str) -> bool:
    return text.isspace() and "\n" not in text
