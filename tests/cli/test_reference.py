"""docs/reference/cli.md against the command."""

from __future__ import annotations

from pathlib import Path

from pollex import clidoc


def test_the_reference_is_current() -> None:
    """If this fails, an option exists that nobody can read about: python -m pollex.clidoc > docs/reference/cli.md."""
    assert (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text() == clidoc.page()


def test_the_reference_tells_everything() -> None:
    """If this fails, a command, an option or an exit status is in the page without a word on what it means."""
    rows = [line for line in clidoc.page().splitlines() if line.startswith("| `") or line[:3].strip("| ").isdigit()]
    assert len(rows) > 30
    assert not [row for row in rows if row.split("|")[-2].strip() == ""]
