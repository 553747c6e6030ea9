"""Boards and caches of a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.board import Board


@pytest.fixture
def board() -> Iterator[Board]:
    """A fresh board that answers."""
    with Board.temporary("test") as fresh:
        yield fresh
