"""The page of measured figures."""

from __future__ import annotations

import pytest

from bench import report


def test_the_page_shows_what_is_kept() -> None:
    """If this fails, docs/benchmarks.md claims other figures than those that were measured: `make benchmarks`."""
    assert report.PAGE.read_text() == report.page(report.kept())


@pytest.mark.parametrize("name", report.PARAGRAPHS)
def test_other_pages_tell_what_is_kept(name: str) -> None:
    """If this fails, another page claims other figures than those that were measured: `make benchmarks`."""
    page, paragraph = report.PARAGRAPHS[name]
    told = page.read_text()
    assert report.retold(told, name, paragraph(report.kept()[name])) == told


def test_a_page_without_a_place_for_it_is_not_left_as_it_is() -> None:
    """If this fails, a page keeps old figures because somebody cut a comment out of it."""
    with pytest.raises(ValueError, match=r"<!-- measured: busy --> and <!-- end of measured -->"):
        report.retold("<!-- measured: busy -->\nold\n", "busy", "new\n")


def test_each_starts_figures_are_kept_and_not_shown() -> None:
    """If this fails, the page is a thousand numbers long, or a table that it should have is missing."""
    made = {"name": "x", "unit": "s", "ours": 1.0, "peer": 2.0, "rates": {"a": {"b": 7}}}
    assert report.page({"x": {**made, "rates_by_start": {"a": {"b": [6, 7, 8]}}}}) == report.page({"x": made})
    assert "| a | 7 |" in report.page({"x": made})


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


def test_an_interval_below_zero_is_readable() -> None:
    """If this fails, a reader sees two dashes side by side and takes one for the other."""
    intervals = {"x": {"a": {"value": 1.0, "low": -2.5, "high": -0.5}, "b": {"value": 1.0, "low": 0.5, "high": 2.0}}}
    shown = report.page({"x": {"name": "x", "unit": "s", "ours": 1.0, "peer": 2.0, "behind": intervals}})
    assert "| x | 1 (-2.5 to -0.5) | 1 (0.5–2) |" in shown


def test_the_ratio_follows_from_the_figures_beside_it() -> None:
    """If this fails, the summary claims an advantage that the two figures next to it contradict."""
    shown = report.page({"x": {"name": "x", "unit": "s", "ours": 2.937, "peer": 2.743, "ratio": 0.883, "runs": 24}})
    assert "| [x](#x) | s | 2.937 | 2.743 | 1.071 | 24 |" in shown
    for name, kept in report.kept().items():
        assert "ratio" not in kept, name
