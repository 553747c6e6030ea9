"""What a token makes the GPU read: the matrices of a model by quantization, from a table or from a GGUF file."""

from __future__ import annotations

import math
import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

Weights = Counter[str]
"""Weights by type, e.g. `Q4_K`."""

# fmt: off
BITS = {
    "F32": 32.0, "F16": 16.0, "BF16": 16.0,
    "Q4_0": 4.5, "Q4_1": 5.0, "Q5_0": 5.5, "Q5_1": 6.0, "Q8_0": 8.5,
    "Q2_K": 2.625, "Q3_K": 3.4375, "Q4_K": 4.5, "Q5_K": 5.5, "Q6_K": 6.5625,
}
"""Bits that a weight takes, scales included: the sizes of ggml's blocks."""

_TYPES = {
    0: "F32", 1: "F16", 30: "BF16",
    2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
}
"""ggml_type numbers as a GGUF file has them."""
# fmt: on


class GgufError(ValueError):
    """A file that is no GGUF, or holds what is not counted; the message says which."""


def size(weights: Weights) -> float:
    """Bytes that they take."""
    return sum(count * BITS[kind] / 8 for kind, count in weights.items())


@dataclass(frozen=True, slots=True)
class Model:
    """A model's matrices that are multiplied for every token."""

    name: str
    weights: Weights

    @property
    def bytes(self) -> float:
        """What a token reads of them."""
        return size(self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The matrices of a transformer of Qwen2's kind."""

    layers: int
    width: int
    hidden: int
    """Width of the feed-forward network."""
    heads_width: int
    """Rows of the key and of the value matrix: key-value heads times their size."""
    vocabulary: int

    @property
    def output(self) -> int:
        """Weights of the output matrix, and of the embedding, of which a token reads one row."""
        return self.vocabulary * self.width

    def layer(self) -> Iterator[tuple[str, int]]:
        """Name and weights of each matrix of a layer."""
        yield from (("attn_q", self.width**2), ("attn_output", self.width**2))
        yield from ((name, self.width * self.heads_width) for name in ("attn_k", "attn_v"))
        yield from ((name, self.width * self.hidden) for name in ("ffn_gate", "ffn_up", "ffn_down"))


QWEN = Shape(layers=28, width=1536, hidden=8960, heads_width=2 * 128, vocabulary=151936)
"""Qwen2.5-1.5B-Instruct: num_hidden_layers, hidden_size, intermediate_size, num_key_value_heads times head size and
vocab_size of the config.json at Qwen/Qwen2.5-1.5B-Instruct on Hugging Face."""

SEED_BYTES = 1_117_320_736
"""Of qwen2.5-1.5b-instruct-q4_k_m.gguf, the original recipe's model, which the table below is checked against."""


def q4_k_m(shape: Shape, name: str) -> Model:
    """As llama-quantize makes Q4_K_M: the output, and values and down projections of half the layers, are Q6_K."""
    weights: Weights = Counter(Q6_K=shape.output)
    for layer in range(shape.layers):
        for matrix, count in shape.layer():
            better = matrix in {"attn_v", "ffn_down"} and _more_bits(layer, shape.layers)
            weights["Q6_K" if better else "Q4_K"] += count
    return Model(name, weights)


def _more_bits(layer: int, layers: int) -> bool:
    """`use_more_bits` of llama-quant.cpp."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2  # noqa: PLR2004 - as there


def uniform(shape: Shape, name: str, *, layers: str, output: str) -> Model:
    """One type for all layers, one for the output."""
    weights: Weights = Counter({layers: shape.layers * sum(count for _, count in shape.layer())})
    weights[output] += shape.output
    return Model(name, weights)


def models() -> list[Model]:
    """The original recipe's file first, then what it could be quantized to instead."""
    return [
        q4_k_m(QWEN, "Qwen2.5-1.5B Q4_K_M, the original recipe's"),
        uniform(QWEN, "Qwen2.5-1.5B Q4_0, its output Q6_K", layers="Q4_0", output="Q6_K"),
        uniform(QWEN, "Qwen2.5-1.5B Q4_0, its output Q8_0", layers="Q4_0", output="Q8_0"),
        uniform(QWEN, "Qwen2.5-1.5B Q4_0 throughout", layers="Q4_0", output="Q4_0"),
    ]


def read(path: Path) -> Model:
    """The matrices of a GGUF file, from its header.

    Raises:
        GgufError: not a GGUF file of version 2 or 3, or a matrix is of a type that is not counted.
    """
    with path.open("rb") as file:
        try:
            return Model(path.name, _count(path, _tensors(file)))
        except (struct.error, UnicodeDecodeError) as error:
            raise GgufError(f"{path}: its header is cut off or damaged") from error


def floats(path: Path, most: int) -> array[float]:
    """Weights of a file's Q4_1 matrices, evenly out of all of them, in the order of the file; at most so many.

    Raises:
        GgufError: not a GGUF file of version 2 or 3, or it has no such matrix.
    """
    with path.open("rb") as file:
        tensors = [one for one in _tensors(file) if _TYPES.get(one.type) == "Q4_1"]
        if not tensors:
            raise GgufError(f"{path}: no matrix in it is Q4_1")
        begin = -(-file.tell() // _ALIGNMENT) * _ALIGNMENT
        found = array("f")
        for tensor in tensors:
            file.seek(begin + tensor.offset)
            blocks = min(math.prod(tensor.shape), most // len(tensors)) // 32
            for scale, least, *nibbles in struct.iter_unpack("<ee16B", file.read(20 * blocks)):
                found.extend(scale * (byte & 15) + least for byte in nibbles)
                found.extend(scale * (byte >> 4) + least for byte in nibbles)
        return found


_ALIGNMENT = 32
"""Of the data behind the header, unless the metadata says otherwise."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    """Into the data behind the header, in bytes."""


def _count(path: Path, tensors: list[_Tensor]) -> Weights:
    """Weights of the matrices that are multiplied: all but the embedding, unless that is the output as well."""
    named = {tensor.name: tensor for tensor in tensors}
    tied = "output.weight" not in named
    weights: Weights = Counter()
    for tensor in tensors:
        matrix = len([size for size in tensor.shape if size > 1]) == 2  # noqa: PLR2004 - rows and columns
        if not matrix or (tensor.name == "token_embd.weight" and not tied):
            continue
        if tensor.type not in _TYPES:
            raise GgufError(f"{path}: {tensor.name} is of ggml type {tensor.type}, which is not counted")
        weights[_TYPES[tensor.type]] += tensor.shape[0] * tensor.shape[1]
    return weights


def _tensors(file: BufferedReader) -> list[_Tensor]:
    magic, version, tensors, pairs = _unpack(file, "4sIQQ")
    if magic != b"GGUF" or version not in {2, 3}:
        raise GgufError(f"{file.name}: not a GGUF file of version 2 or 3")
    for _ in range(pairs):
        _text(file)
        _skip(file, _unpack(file, "I")[0])
    return [_tensor(file) for _ in range(tensors)]


def _tensor(file: BufferedReader) -> _Tensor:
    name = _text(file)
    (dimensions,) = _unpack(file, "I")
    shape = _unpack(file, f"{dimensions}Q")
    kind, offset = _unpack(file, "IQ")
    return _Tensor(name, shape, kind, offset)


_SIZES: dict[int, Literal[1, 2, 4, 8]] = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the scalar types of metadata."""
_STRING, _ARRAY = 8, 9


def _skip(file: BufferedReader, kind: int) -> None:
    """Go past a value of the metadata."""
    if kind == _STRING:
        _text(file)
    elif kind == _ARRAY:
        item, length = _unpack(file, "IQ")
        for _ in range(length):
            _skip(file, item)
    elif kind in _SIZES:
        file.seek(_SIZES[kind], 1)
    else:
        raise GgufError(f"{file.name}: its metadata has a value of type {kind}, which GGUF 3 does not know")


def _text(file: BufferedReader) -> str:
    (length,) = _unpack(file, "Q")
    return file.read(length).decode()


def _unpack(file: BufferedReader, form: str) -> tuple[Any, ...]:
    """Little-endian values."""
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))
