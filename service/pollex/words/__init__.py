"""What of a model's answer is believed, change by change: pure, no I/O.

An answer is a proposal. It is freed of what models put around a text, aligned with the author's words, and each change
is judged by itself; the polished text is the author's text with the changes that were taken.
"""

from __future__ import annotations

from pollex.words.blocks import Block, blocks
from pollex.words.changes import Change, Choice, Confidence, Judged, Kept, Kind, Reason, Verdict
from pollex.words.clean import Stream, circles
from pollex.words.judge import judge
from pollex.words.options import MODES, Options
from pollex.words.pieces import Piece, pieces

__all__ = [
    "MODES",
    "Block",
    "Change",
    "Choice",
    "Confidence",
    "Judged",
    "Kept",
    "Kind",
    "Options",
    "Piece",
    "Reason",
    "Stream",
    "Verdict",
    "blocks",
    "circles",
    "judge",
    "pieces",
]
