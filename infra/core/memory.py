"""What a model takes of a board's memory, before any of it is there. Pure.

What is said is the least: refused is what cannot fit, and what is not refused may still be too much beside a desktop.
The same cases are asked of this and of the image's entrypoint, which reads the file itself (tests/memory.json).

CUDA's own context is not in the sum: it differs from GPU to GPU (320 MB on a Titan V, in pytorch/pytorch#28394), and
nobody has published that of a Nano.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MICRO_BATCH: Final = 512
"""llama.cpp's `n_ubatch`, where nothing else is said."""
MIB: Final = 1 << 20

CACHE_BITS: Final[Mapping[str, float]] = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q5_1": 6, "q5_0": 5.5}
"""Bits of a number in the cache of keys and values; the others that llama.cpp takes have 4.5 (ggml's block formats)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a GGUF file's header decides how much memory a context takes."""

    layers: int
    """`block_count`."""
    heads: int
    """`attention.head_count`."""
    kv_heads: int
    """`attention.head_count_kv`: heads that share keys and values have them once."""
    embedding: int
    """`embedding_length`."""
    vocabulary: int
    """The number of tokens."""
    key_length: int | None = None
    """`attention.key_length`; None: the embedding's share of a head."""
    value_length: int | None = None
    """`attention.value_length`, as that."""

    def per_token(self, key_bits: float = 16, value_bits: float = 16) -> int:
        """Bytes that a token takes in the cache of keys and values."""
        share = self.embedding // self.heads
        keys = share if self.key_length is None else self.key_length
        values = share if self.value_length is None else self.value_length
        return int(self.layers * self.kv_heads * (keys * key_bits + values * value_bits) / 8)

    def scores(self, rows: int, columns: int) -> int:
        """Bytes of every token's scores for every other, without flash attention."""
        return self.heads * min(rows, columns) * columns * 4

    def logits(self, rows: int) -> int:
        """Bytes of the scores of all tokens of the vocabulary, and of what they are made from.

        llama.cpp keeps room for each token of a micro-batch up to 2025; b4980 with SmolLM2-135M takes 98.25 MiB for 512
        and 24.56 MiB for 128 tokens, where this says 97.1 and 24.3.
        """
        return rows * (self.vocabulary + self.embedding) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bytes that must be in memory at the same time, at least."""

    weights: int
    cache: int
    computing: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.computing


def budget(
    weights: int,
    shape: Shape | None,
    *,
    context: int,
    micro_batch: int | None = None,
    cache_types: tuple[str, str] = ("f16", "f16"),
) -> Budget:
    """What a model takes, at least.

    Args:
        weights: bytes of it that must stay in memory.
        shape: of the model; without it only the weights are known.
        context: tokens, of all slots together.
        micro_batch: tokens that are computed at once; None: llama.cpp's own number.
        cache_types: of keys and of values.
    """
    if shape is None:
        return Budget(weights=weights, cache=0, computing=0)
    rows = min(MICRO_BATCH if micro_batch is None else micro_batch, context)
    keys, values = (CACHE_BITS.get(name, 4.5) for name in cache_types)
    computing = max(shape.logits(rows), shape.scores(rows, context))
    return Budget(weights=weights, cache=context * shape.per_token(keys, values), computing=computing)
