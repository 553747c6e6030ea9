"""The reader of GGUF headers: against a real model, against every header of a kind, and against hostile ones."""

from __future__ import annotations

import io
import math
import struct
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pollex.gguf import FILE_TYPES, MAX_HEADER, POOLING, GgufError, Header, parse, read
from sandbox import fetch
from tests.cli.ggufs import Value, gguf, small

WORDS = st.text(alphabet=st.characters(categories=["L", "N", "P"]), max_size=20)
NUMBERS = st.integers(0, (1 << 32) - 1)
NOISE = st.dictionaries(
    WORDS.map(lambda word: f"tokenizer.{word}"),
    st.one_of(
        WORDS,
        NUMBERS,
        st.floats(),
        st.booleans(),
        st.lists(WORDS, max_size=4),
        st.lists(st.integers(0, 255), max_size=4),
    ),
    max_size=6,
)
SHAPES = st.lists(st.lists(st.integers(0, 1 << 12), max_size=4), max_size=4)
HEADER = small()


def parsed(data: bytes) -> Header:
    return parse(io.BytesIO(data), len(data))


def test_reads_a_real_model() -> None:
    """If this fails, what `pollex models find` shows of real files is wrong; PyPI's gguf 0.19.0 reads these values."""
    assert read(fetch.fetch(fetch.MODEL)) == Header(
        version=3,
        architecture="llama",
        name="Smollm2 135M 8k Lc100K Mix1 Ep2",
        size_label="135M",
        parameters=134_515_008,
        quantisation="Q4_1",
        context_length=8192,
        embedding_length=576,
        pooling=None,
    )


@given(
    architecture=WORDS.filter(bool),
    said=st.fixed_dictionaries(
        {},
        optional={
            "general.name": WORDS,
            "general.file_type": st.sampled_from(sorted(FILE_TYPES)),
            "context_length": NUMBERS,
            "pooling_type": st.sampled_from(sorted(POOLING)),
        },
    ),
    noise=NOISE,
    shapes=SHAPES,
    random=st.randoms(use_true_random=False),
)
def test_reads_what_was_written(
    *, architecture: str, said: dict[str, Any], noise: dict[str, Value], shapes: list[list[int]], random: Random
) -> None:
    """If this fails, some value is lost or taken for another, depending on what stands around it."""
    values = {key if "." in key else f"{architecture}.{key}": value for key, value in said.items()}
    pairs = [("general.architecture", architecture), *values.items(), *noise.items()]
    random.shuffle(pairs)
    header = parsed(gguf(dict(pairs), shapes))
    assert (header.architecture, header.name) == (architecture, said.get("general.name"))
    assert header.context_length == said.get("context_length")
    assert header.quantisation == FILE_TYPES.get(said.get("general.file_type", -1))
    assert header.pooling == POOLING.get(said.get("pooling_type", -1))
    assert header.parameters == sum(math.prod(shape) for shape in shapes)


@given(st.integers(0, len(HEADER) - 1))
def test_a_cut_header_is_refused(length: int) -> None:
    """If this fails, a download that was cut off passes for a model."""
    with pytest.raises(GgufError, match=r"ends within its header|can hold"):
        parsed(HEADER[:length])


@given(st.integers(0, len(HEADER) - 1), st.integers(0, 255))
@example(position=4, byte=0)
def test_a_damaged_header_is_read_or_refused(position: int, byte: int) -> None:
    """If this fails, one damaged file ends the whole listing with a traceback."""
    damaged = bytearray(HEADER)
    damaged[position] = byte
    with suppress(GgufError):
        parsed(bytes(damaged))


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(data: bytes) -> None:
    """If this fails, a file that only starts like a model ends the listing with a traceback."""
    for start in (b"", HEADER[:24], HEADER[:60]):
        with suppress(GgufError):
            parsed(start + data)


HUGE = struct.pack("<Q", 1 << 62)
KEY = HEADER[:24] + struct.pack("<Q", 1) + b"k"


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"GGUF" + struct.pack("<I", 3) + HUGE + struct.pack("<Q", 1), "claims 4611686018427387904 tensors"),
        (HEADER[:16] + HUGE, "claims 4611686018427387904 key-value pairs"),
        (HEADER[:16] + struct.pack("<Q", 1 << 20), "more than 4096"),
        (HEADER[:24] + HUGE, "a key of 4611686018427387904 bytes"),
        (KEY + struct.pack("<I", 8) + HUGE, "more than 64 MiB"),
        (KEY + struct.pack("<II", 9, 8) + HUGE, "texts, more than 64 MiB"),
        (KEY + struct.pack("<IIQ", 9, 0, 100 << 20), "values, more than 64 MiB"),
        (KEY + struct.pack("<II", 9, 9) + HUGE, "array of the unknown type 9"),
        (KEY + struct.pack("<I", 13), "unknown type 13 at k"),
        (gguf({"general.architecture": "x" * 5000}), "5000 bytes in general.architecture"),
        (gguf({"general.name": "x"}), "does not name its architecture"),
        (gguf({"general.architecture": 3}), "does not name its architecture"),
        (gguf({"general.architecture": "a"}, [(1, 1, 1, 1, 1)]), "5 dimensions"),
        (gguf({"general.architecture": "a"}, [((1 << 64) - 1,) * 4]), "impossible shapes"),
        (b"GGUF\0\0\0\x03", "big-endian"),
        (gguf({}, version=1), "version 1"),
        (gguf({}, version=4), "version 4"),
        (b"ggla", "is not GGUF: it starts with b'ggla'"),
        (b"", r"is not GGUF: it starts with b'\\x00"),
    ],
)
def test_a_hostile_header_costs_nothing(start: bytes, words: str, tmp_path: Path) -> None:
    """If this fails, a file can make the command fill the memory or run for ever: this one has a terabyte of zeros."""
    path = tmp_path / "hostile.gguf"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(1 << 40)
    with pytest.raises(GgufError, match=words):
        read(path)


def test_a_file_that_shrinks_is_refused() -> None:
    """If this fails, a file that is being replaced while it is read ends the listing with a traceback."""
    with pytest.raises(GgufError, match="ends within its header"):
        parse(io.BytesIO(HEADER[:50]), len(HEADER))


class Watched(io.BytesIO):
    """Bytes that know how far they were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As `BytesIO.read`."""
        data = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return data


def test_tensors_are_not_read() -> None:
    """If this fails, listing models reads gigabytes."""
    file = Watched(HEADER + b"\xff" * 100_000)
    parse(file, MAX_HEADER)
    assert file.furthest <= len(HEADER)


def test_a_text_cannot_steer_a_terminal() -> None:
    """If this fails, a downloaded file can write anything onto the screen of whoever lists it."""
    header = parsed(small({"general.name": "a\x1b[2Jb\nc", "general.architecture": "é\u202e"}))
    assert (header.name, header.architecture) == ("a\ufffd[2Jb\ufffdc", "é\ufffd")


def test_a_newer_quantisation_is_numbered() -> None:
    """If this fails, a model that is newer than this program cannot be found with it."""
    header = parsed(small({"general.file_type": 99, "bert.pooling_type": 9}))
    assert (header.quantisation, header.pooling) == ("FTYPE99", "9")
