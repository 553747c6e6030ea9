"""GLEU: how near a correction is to what people made of the same sentence.

Napoles, Sakaguchi, Post and Tetreault, "Ground Truth for Grammatical Error Correction Metrics" (2015), as its authors
changed it in "GLEU Without Tuning" (2016). It is no relative of what other libraries call GLEU, which looks at two
texts: this one looks at three, and takes away for every sequence of words that the source has, the reference has not,
and the correction kept.

With several references, one is drawn for each sentence; the score is the mean over many draws.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Tokens = Sequence[str]
Counts = tuple[int, ...]
"""Tokens of a correction, those of the reference, then for each length of sequences what agrees and what there is."""

Chosen = Sequence[tuple[int, int]]
"""Sentences, each with one of its references, by their numbers."""

ORDER = 4
"""The longest sequence of words that is counted."""
DRAWS = 500
"""As many as the authors' own program makes."""
SEED = 2016


def counts(correction: Tokens, source: Tokens, reference: Tokens) -> Counts:
    """What the score of a sentence is made of; those of many sentences are added up."""
    found = [len(correction), len(reference)]
    for length in range(1, ORDER + 1):
        ours, theirs = _sequences(correction, length), _sequences(reference, length)
        # What the reference gave up as a whole; what it only repeats less often is no mistake that was kept.
        mistakes = Counter({key: n for key, n in _sequences(source, length).items() if key not in theirs})
        found.append(max(0, (ours & theirs).total() - (ours & mistakes).total()))
        found.append(max(0, len(correction) + 1 - length))
    return tuple(found)


def _sequences(tokens: Tokens, length: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + length]) for at in range(len(tokens) + 1 - length))


def score(found: Counts) -> float:
    """GLEU, between 0 and 1, of the added counts of any number of sentences."""
    if 0 in found:
        return 0.0
    length, wanted = found[:2]
    precision = sum(math.log(agree / there) for agree, there in zip(found[2::2], found[3::2], strict=True)) / ORDER
    return math.exp(min(0.0, 1 - wanted / length) + precision)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and between what it lies in 95 of 100 samples of sentences like these."""

    value: float
    low: float
    high: float


class Corpus:
    """Sentences with several references each; every correction of them is scored with the same draws."""

    def __init__(self, sources: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
        self._sources = sources
        self._references = references
        self._draws = list(_draws(references))
        self._samples = list(_samples(references))

    def counts(self, corrections: Sequence[Tokens]) -> list[list[Counts]]:
        """By sentence and reference."""
        return [
            [counts(correction, source, reference) for reference in references]
            for correction, source, references in zip(corrections, self._sources, self._references, strict=True)
        ]

    def score(self, corrections: Sequence[Tokens]) -> float:
        """The mean over the draws of references."""
        found = self.counts(corrections)
        return math.fsum(score(_added(found, draw)) for draw in self._draws) / DRAWS

    def estimate(self, corrections: Sequence[Tokens]) -> Estimate:
        """The score, with its interval by bootstrap over sentences and references."""
        found = self.counts(corrections)
        return _estimate(self.score(corrections), [score(_added(found, sample)) for sample in self._samples])

    def ratio(self, ours: Sequence[Tokens], theirs: Sequence[Tokens]) -> Estimate:
        """Our score over theirs, both on the same sample each time: that is what an interval of a ratio needs."""
        mine, other = self.counts(ours), self.counts(theirs)
        ratios = [score(_added(mine, sample)) / (score(_added(other, sample)) or math.nan) for sample in self._samples]
        return _estimate(self.score(ours) / (self.score(theirs) or math.nan), ratios)


def _draws(references: Sequence[Sequence[Tokens]]) -> Iterator[Chosen]:
    """A reference for each sentence, many times."""
    for at in range(DRAWS):
        rng = random.Random(SEED + at)  # noqa: S311 - the same draws on every machine
        yield [(sentence, rng.randrange(len(some))) for sentence, some in enumerate(references)]


def _samples(references: Sequence[Sequence[Tokens]]) -> Iterator[Chosen]:
    """As many sentences as there are, each time others and some of them twice, with a reference for each."""
    for at in range(DRAWS):
        rng = random.Random(-SEED - at)  # noqa: S311 - the same samples on every machine
        chosen = rng.choices(range(len(references)), k=len(references))
        yield [(sentence, rng.randrange(len(references[sentence]))) for sentence in chosen]


def _added(found: Sequence[Sequence[Counts]], chosen: Chosen) -> Counts:
    return tuple(map(sum, zip(*(found[sentence][reference] for sentence, reference in chosen), strict=True)))


def _estimate(value: float, samples: Sequence[float]) -> Estimate:
    ordered = sorted(samples)
    tail = len(ordered) // 40
    return Estimate(value, ordered[tail], ordered[-1 - tail])
