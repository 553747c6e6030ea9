"""What a GGUF file says about itself: the metadata in front of its tensors, and nothing behind it.

The format is described in https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. PyPI's `gguf` reads it too, but it
maps the whole file and brings numpy, which is much to install on a board for a dozen values.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
VERSIONS = (2, 3)
"""Those that llama.cpp loads; version 1 was given up in 2023."""

MAX_HEADER = 64 << 20
"""Bytes after which a header is no longer read: the largest vocabularies in use take about 20 MiB."""
MAX_PAIRS = 4096
"""Key-value pairs of a header; real ones have some dozens."""
MAX_KEY = 0xFFFF
"""Bytes of a key, as the format says."""
MAX_TEXT = 4096
"""Bytes of a text that is kept."""
MAX_DIMENSIONS = 4
"""Of a tensor: GGML_MAX_DIMS."""

# `llama_ftype` in llama.cpp's include/llama.h. 4 was Q4_1 with some F16 until 2023; Ollama gave it to MXFP4 (fs/ggml).
FILE_TYPES: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    4: "MXFP4",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
}
"""`general.file_type` and the name of the quantisation that most of the tensors have."""

POOLING: Mapping[int, str] = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
"""`<architecture>.pooling_type`, spelt as llama-server's `--pooling` takes it."""

_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALARS = {kind: struct.Struct(f"<{code}") for kind, code in _CODES.items()}
_STRING, _ARRAY = 8, 9
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_SMALLEST_PAIR = 8 + 4 + 1
_SMALLEST_TENSOR = 8 + 4 + 4 + 8

_GENERAL = ("general.architecture", "general.name", "general.size_label", "general.file_type")
_OF_ARCHITECTURE = ("context_length", "embedding_length", "pooling_type")

Value = str | int | float


class GgufError(Exception):
    """Why a file is no GGUF that llama-server could load; the sentence continues "the file …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A model as its file describes it; None where the file does not say."""

    version: int
    """Of the format."""
    architecture: str
    """As llama.cpp names it: `llama`, `qwen2`, `bert`, `nomic-bert`, …"""
    name: str | None
    size_label: str | None
    """What the maker calls the size, such as `135M` or `8x7B`."""
    parameters: int
    """Elements of all tensors in this file."""
    quantisation: str | None
    """As llama.cpp names it, such as `Q4_K_M`; `FTYPE99` for one that is newer than this program."""
    context_length: int | None
    """Tokens that the model was trained for."""
    embedding_length: int | None
    """Dimensions of its vectors."""
    pooling: str | None
    """`none`, `mean`, `cls`, `last` or `rank`; a number for one that is newer than this program."""


def read(path: Path) -> Header:
    """The header of the regular file `path`.

    Raises:
        GgufError: the file is something else, damaged, or cut off within the header.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return parse(file, os.fstat(file.fileno()).st_size)


def parse(file: BinaryIO, size: int) -> Header:
    """The header at the start of `file`, which has `size` bytes; what lies behind the header is not read.

    Raises:
        GgufError: as `read`.
    """
    cursor = _Cursor(file, size)
    version = _version(cursor)
    tensors = cursor.count("tensors", _SMALLEST_TENSOR)
    pairs = cursor.count("key-value pairs", _SMALLEST_PAIR)
    if pairs > MAX_PAIRS:
        raise GgufError(f"claims {pairs} key-value pairs, more than {MAX_PAIRS}")
    values = _pairs(cursor, pairs)
    parameters = _parameters(cursor, tensors)
    architecture = _text(values, "general.architecture")
    if not architecture:
        raise GgufError("does not name its architecture")
    file_type = _number(values, "general.file_type")
    pooling = _number(values, f"{architecture}.pooling_type")
    return Header(
        version=version,
        architecture=architecture,
        name=_text(values, "general.name"),
        size_label=_text(values, "general.size_label"),
        parameters=parameters,
        quantisation=FILE_TYPES.get(file_type, f"FTYPE{file_type}") if file_type is not None else None,
        context_length=_number(values, f"{architecture}.context_length"),
        embedding_length=_number(values, f"{architecture}.embedding_length"),
        pooling=POOLING.get(pooling, str(pooling)) if pooling is not None else None,
    )


def printable(text: str) -> str:
    """`text` with � for what could move a terminal's cursor or colour it: it may be anybody's."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


class _Cursor:
    """A file that is read forwards, up to its end or to where no header reaches."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = min(size, MAX_HEADER)
        self._whole = size <= MAX_HEADER

    def take(self, count: int) -> bytes:
        self._use(count)
        data = self._file.read(count)
        if len(data) < count:
            raise GgufError("ends within its header")
        return data

    def skip(self, count: int) -> None:
        self._use(count)
        self._file.seek(count, os.SEEK_CUR)

    def number(self, form: struct.Struct = _U64) -> int:
        value: int = form.unpack(self.take(form.size))[0]
        return value

    def count(self, what: str, smallest: int) -> int:
        """A number of things that have at least `smallest` bytes each."""
        number = self.number()
        if number * smallest > self._left:
            raise GgufError(f"claims {number} {what}, more than {self._room()} can hold")
        return number

    def _use(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise GgufError("ends within its header" if self._whole else f"has a header of more than {self._room()}")

    def _room(self) -> str:
        return "the rest of it" if self._whole else f"{MAX_HEADER >> 20} MiB"


def _version(cursor: _Cursor) -> int:
    magic = cursor.take(len(MAGIC))
    if magic != MAGIC:
        raise GgufError(f"is not GGUF: it starts with {magic!r}")
    version = cursor.number(_U32)
    if version and version & 0xFFFF == 0:
        raise GgufError("was written for a big-endian machine")
    if version not in VERSIONS:
        raise GgufError(f"is GGUF version {version}; llama-server loads {VERSIONS[0]} and {VERSIONS[1]}")
    return version


def _pairs(cursor: _Cursor, count: int) -> dict[str, Value]:
    """The values that a `Header` is made of."""
    values = {}
    for _ in range(count):
        length = cursor.number()
        if length > MAX_KEY:
            raise GgufError(f"has a key of {length} bytes")
        key = cursor.take(length).decode(errors="replace")
        value = _value(cursor, key, wanted=key in _GENERAL or key.endswith(_OF_ARCHITECTURE))
        if value is not None:
            values[key] = value
    return values


def _value(cursor: _Cursor, key: str, *, wanted: bool) -> Value | None:
    """The next value; None if nobody wants it, or it is an array."""
    kind = cursor.number(_U32)
    if kind == _ARRAY:
        _skip_array(cursor, key)
        return None
    if kind not in _SCALARS and kind != _STRING:
        raise GgufError(f"has the unknown type {kind} at {printable(key)}")
    length = cursor.number() if kind == _STRING else _SCALARS[kind].size
    if not wanted:
        cursor.skip(length)
        return None
    if length > MAX_TEXT:
        raise GgufError(f"has {length} bytes in {printable(key)}")
    data = cursor.take(length)
    if kind == _STRING:
        return printable(data.decode(errors="replace"))
    value: int | float = _SCALARS[kind].unpack(data)[0]
    return value


def _skip_array(cursor: _Cursor, key: str) -> None:
    kind = cursor.number(_U32)
    if kind in _SCALARS:
        cursor.skip(cursor.count("values", _SCALARS[kind].size) * _SCALARS[kind].size)
    elif kind == _STRING:
        for _ in range(cursor.count("texts", _U64.size)):
            cursor.skip(cursor.number())
    else:  # llama.cpp does not load arrays of arrays either
        raise GgufError(f"has an array of the unknown type {kind} at {printable(key)}")


def _parameters(cursor: _Cursor, tensors: int) -> int:
    total = 0
    for _ in range(tensors):
        cursor.skip(cursor.number())
        dimensions = cursor.number(_U32)
        if dimensions > MAX_DIMENSIONS:
            raise GgufError(f"has a tensor of {dimensions} dimensions")
        total += math.prod(cursor.number() for _ in range(dimensions))
        cursor.skip(_U32.size + _U64.size)  # its type, and where its data are
    if total >= 1 << 63:
        raise GgufError("has tensors of impossible shapes")
    return total


def _text(values: Mapping[str, Value], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) else None


def _number(values: Mapping[str, Value], key: str) -> int | None:
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
