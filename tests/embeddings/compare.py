"""Whether a server's vectors are the model's, whatever runs the server: point it at any base URL.

>>> cosines("http://localhost:11434", reference())
[0.9999998, …]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import httpx

from sandbox import minilm
from tests.embeddings.sentences import LIMIT, SENTENCES

Vector = Sequence[float]

BOUNDS: Mapping[minilm.Kind, float] = {"F32": 0.9999, "F16": 0.9999, "Q8_0": 0.995}
"""The least cosine to the reference that any sentence may have.

Measured at b4980 on x86-64 and on emulated ARM: at least 0.999993 with F32 and F16; with Q8_0 at least 0.9976, half of
them above 0.9995, the least for the shortest texts. With the wrong pooling the median is 0.44.
"""

APART: Mapping[minilm.Kind, float] = {"F32": 1e-3, "F16": 1e-3, "Q8_0": 1e-2}
"""The greatest difference between a number of one processor and the same one of another.

Measured at b4980 between x86-64 and emulated ARM (Cortex-A57, and one with dot product): 1.2e-4 with F32, 2.8e-4 with
F16, 4.5e-3 with Q8_0, which rounds in every layer; the cosine between those two vectors is 0.9995.
"""

AT_ONCE = 20
"""Inputs of a request."""


def reference(sentences: Sequence[str] = SENTENCES) -> dict[str, Vector]:
    """The sentences with the vectors that sentence-transformers gives them, cut off where the server's model ends."""
    vectors = dict(zip(SENTENCES, minilm.vectors(SENTENCES, LIMIT), strict=True))
    return {sentence: vectors[sentence] for sentence in sentences}


def embed(base_url: str, texts: Sequence[str]) -> list[Vector]:
    """The server's vectors, in the texts' order.

    Raises:
        httpx.HTTPStatusError: it refused.
    """
    vectors: list[Vector] = []
    with httpx.Client(base_url=base_url, timeout=120) as client:
        for start in range(0, len(texts), AT_ONCE):
            answer = client.post("/v1/embeddings", json={"input": texts[start : start + AT_ONCE], "model": "any"})
            entries = answer.raise_for_status().json()["data"]
            vectors += [entry["embedding"] for entry in sorted(entries, key=lambda entry: int(entry["index"]))]
    return vectors


def cosine(one: Vector, other: Vector) -> float:
    """1 for vectors of the same direction; their lengths do not matter."""
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


def apart(some: Sequence[Vector], others: Sequence[Vector]) -> float:
    """The greatest difference between two numbers at the same place."""
    pairs = [pair for vectors in zip(some, others, strict=True) for pair in zip(*vectors, strict=True)]
    return max(abs(one - other) for one, other in pairs)


def cosines(base_url: str, expected: Mapping[str, Vector]) -> list[float]:
    """How near the server's vector for each text is to the expected one, in the mapping's order."""
    return [cosine(*pair) for pair in zip(embed(base_url, list(expected)), expected.values(), strict=True)]


def require(base_url: str, expected: Mapping[str, Vector], bound: float) -> None:
    """See that every cosine is above the bound.

    Raises:
        AssertionError: one is not; names each such text with its cosine, worst first.
    """
    found = dict(zip(expected, cosines(base_url, expected), strict=True))
    wrong = sorted((cosine, text) for text, cosine in found.items() if not cosine > bound)
    lines = [f"  {cosine:.6f} {text[:80]!r}" for cosine, text in wrong]
    told = "\n".join([f"{len(wrong)} of {len(expected)} texts have a cosine of {bound} or less", *lines])
    assert not wrong, told
