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
    """Share of a sentence's longer words that must have a close relative in its answer."""
    sure: float = 0.0
    """Log-probability by which a change must be likelier than the author's own words to be taken by itself."""
