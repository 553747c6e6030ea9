"""bench-busy: where a server is put, and what its table says."""

from __future__ import annotations

import pytest

from bench import busy
from bench.busy import DEFAULT, TWIN, UPSTREAM, Place


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
    assert max(busy.behind(rates, UPSTREAM).values()) == pytest.approx(0.95)
    assert max(busy.behind(rates, DEFAULT).values()) == pytest.approx(0.05)


def test_the_default_is_compared_with_itself() -> None:
    """If this fails, chance is taken for a difference, or the default falls behind itself."""
    rates = {"tokens": {DEFAULT: {"alone": 36.0, "busy": 20.0}, TWIN: {"alone": 40.0, "busy": 19.9}}}
    assert busy.apart(rates) == pytest.approx(0.1)
    assert busy.behind(rates, DEFAULT) == {"tokens, alone": 0.0, "tokens, busy": 0.0}
