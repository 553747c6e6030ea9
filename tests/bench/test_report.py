"""The page of measured figures."""

from __future__ import annotations

from bench import report


def test_the_page_shows_what_is_kept() -> None:
    """If this fails, docs/benchmarks.md claims other figures than those that were measured: `make benchmarks`."""
    assert report.PAGE.read_text() == report.page(report.kept())


def test_what_is_predicted_says_so() -> None:
    """If this fails, a reader takes the output of a model for a measurement."""
    spread = {"median": 2.0, "q1": 1.5, "q3": 3.0}
    made = {"name": "x", "unit": "s", "predicted_on_a_board": {"here": {"seconds": spread}}, "predicted_rate": 5.0}
    shown = report.page({"x": made})
    assert "| **predicted, not measured:** on a board | seconds |" in shown
    assert "| here | 2 (1.5–3) |" in shown
    assert "- **predicted, not measured:** rate: 5" in shown
