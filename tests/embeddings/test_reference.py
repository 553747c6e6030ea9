"""The vectors of a real llama-server beside those of sentence-transformers, from the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox import minilm
from tests.embeddings.compare import BOUNDS, Vector, cosines, require
from tests.embeddings.sentences import SHORT
from tests.embeddings.serving import serving


@pytest.mark.parametrize("kind", minilm.KINDS)
def test_vectors_are_the_models(either: Path, reference: Mapping[str, Vector], kind: minilm.Kind) -> None:
    """If this fails, an index that is filled here finds other things than the model's authors promise."""
    with serving(either, minilm.model(kind), "--pooling", "mean") as url:
        require(url, reference, BOUNDS[kind])


def test_vectors_are_the_models_in_parallel(either: Path, reference: Mapping[str, Vector]) -> None:
    """If this fails, texts that are embedded at the same time end the server or get each other's vectors."""
    options = ["--pooling", "mean", "--parallel", "4", "--ctx-size", "2048"]
    with serving(either, minilm.model("Q8_0"), *options) as url:
        require(url, reference, BOUNDS["Q8_0"])


def test_wrong_pooling_is_noticed(either: Path, reference: Mapping[str, Vector]) -> None:
    """If this fails, the tests above would pass with vectors that look right and are not."""
    some, bound = {text: reference[text] for text in SHORT}, BOUNDS["Q8_0"]
    with serving(either, minilm.model("Q8_0"), "--pooling", "cls") as url:
        assert max(cosines(url, some)) < bound
        with pytest.raises(AssertionError, match=r"\n  0\.\d+ 'A man is eating food\.'\n") as noticed:
            require(url, some, bound)
    assert str(noticed.value).startswith(f"60 of 60 texts have a cosine of {bound} or less")
