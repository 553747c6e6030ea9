"""The patched llama-server as the profile `cpu` builds it, and what its vectors must be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.embeddings import compare
from tests.patches.conftest import binary  # noqa: F401 - the cached build, as a fixture


@pytest.fixture(scope="session")
def reference() -> Mapping[str, compare.Vector]:
    """Sentence → the vector that sentence-transformers gives it."""
    return compare.reference()
