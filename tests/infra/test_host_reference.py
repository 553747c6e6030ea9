"""What is written about the host's tools is what they are."""

from __future__ import annotations

import pytest

from infra import ROOT
from infra.kinds.host import reference

PAGE = (ROOT / reference.PAGE).read_text()


def test_the_tables_are_current() -> None:
    """If this fails, docs/reference/pollex-host.md misstates a verb, a status or a field: run `make docs`."""
    assert reference.page(PAGE) == PAGE


@pytest.mark.parametrize(
    "words", ["`activate` |", "| 7 | unhealthy", "| `formerKeys` | list of texts | Keys of", "[Gate](#gate) or null"]
)
def test_every_kind_of_table_is_filled(words: str) -> None:
    """If this fails, the page lost a table and nobody can look up what a field holds."""
    assert words in PAGE
