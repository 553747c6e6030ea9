"""bench-busy: where a server is put, and what its table says."""

from __future__ import annotations

import pytest

from bench import busy
from bench.busy import DEFAULT, UPSTREAM, Place


@pytest.mark.parametrize(
    ("place", "threads"),
    [(Place(2), 2), (Place(1, 8), 1), (Place(2, quota=0.5), 1), (Place(2, quota=1), 1), (Place(2, quota=1.5), 1)],
)
def test_threads_are_those_of_the_image(place: Place, threads: int) -> None:
    """If this fails, the grid measures servers that the image never starts."""
    assert place.threads == threads


def test_the_worst_column_counts() -> None:
    """If this fails, a default is kept that is fast alone and thirty times slower beside others."""
    rates = {
        "vectors": {UPSTREAM: {"alone": 200.0, "busy": 5.0}, DEFAULT: {"alone": 190.0, "busy": 100.0}},
        "tokens": {UPSTREAM: {"alone": 30.0}, DEFAULT: {"alone": 40.0}},
    }
    assert busy.behind(rates, UPSTREAM) == pytest.approx(0.95)
    assert busy.behind(rates, DEFAULT) == pytest.approx(0.05)
