"""The page of measured figures."""

from __future__ import annotations

from bench import report


def test_the_page_shows_what_is_kept() -> None:
    """If this fails, docs/benchmarks.md claims other figures than those that were measured: `make benchmarks`."""
    assert report.PAGE.read_text() == report.page(report.kept())


def test_what_is_predicted_says_so() -> None:
    """If this fails, a reader takes the output of a model for a measurement."""
    spread = {"median": 2.0, "q1": 1.5, "q3": 3.0}
    made = {
        "name": "x",
        "unit": "s",
        "ours": 1.0,
        "peer": 2.0,
        "predicted_on_a_board": {"here": {"seconds": spread}},
        "predicted_rate": 5.0,
    }
    shown = report.page({"x": made})
    assert "| **predicted, not measured:** on a board | seconds |" in shown
    assert "| here | 2 (1.5–3) |" in shown
    assert "- **predicted, not measured:** rate: 5" in shown


def test_the_ratio_follows_from_the_figures_beside_it() -> None:
    """If this fails, the summary claims an advantage that the two figures next to it contradict."""
    shown = report.page({"x": {"name": "x", "unit": "s", "ours": 2.937, "peer": 2.743, "ratio": 0.883, "runs": 24}})
    assert "| [x](#x) | s | 2.937 | 2.743 | 1.071 | 24 |" in shown
    for name, kept in report.kept().items():
        assert "ratio" not in kept, name
