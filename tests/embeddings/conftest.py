"""The patched llama-servers, the sandbox's and the image's, and what their vectors must be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.embeddings import compare
from tests.image.conftest import image, shipped  # noqa: F401 - fixtures
from tests.patches.conftest import binary, either  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def reference() -> Mapping[str, compare.Vector]:
    """Sentence → the vector that sentence-transformers gives it."""
    return compare.reference()
