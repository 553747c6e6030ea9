"""What the author wants, and the two thresholds of the judgement."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("correct", "polish", "shorten", "formal", "plain")
"""The modes that judge differently; one of the operator's own is judged like `polish`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How answers to one request are judged."""

    mode: str = "polish"
    keep: frozenset[str] = frozenset()
    """Words and names that are never touched, whatever their case."""
    quoted: bool = False
    """Whether lines that begin with `>` are the author's to polish."""
    related: float = 0.8
    """Share of a sentence's longer words that must have a close relative in its answer.

    On JFLEG's first 120 sentences with SmolLM2-135M, 0.5 gives 1.154 times the source's GLEU, 0.6 1.148, 0.7 1.156,
    0.8 1.168, 0.9 1.160.
    """
    sure: float = 0.1
    """Log-probability by which a change must be likelier than the author's own words to be taken by itself.

    Where the server tells: on the same sentences 0.1 gives 1.176, 0.25 1.166, 0.5 1.154, 1 1.136. Without probabilities
    it is 1.168, so little less that they are not asked for by default.
    """
