"""The tiny model as GGUF: random blocks of the types that boards use, the same on every machine."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

WIDTH = 256
"""Of the residual stream: one block of the K types."""
HEADS, KV_HEADS, HEAD = 4, 2, 64
FEED_FORWARD = 256
VOCABULARY = 32
EPSILON = 1e-5
ROPE_BASE = 10000.0

_SEED = 23106
_POOL = 8
"""Different rows of a matrix; the others repeat them, so that the file packs well and the reference is quick."""
_SPREAD = 0.0625
"""Standard deviation of the weights, 1/√256: a product keeps the size of its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A matrix as it is stored, and what its bytes mean."""

    type: int
    """GGML's number of the type."""
    rows: tuple[bytes, ...]
    """Different rows."""
    values: tuple[tuple[float, ...], ...]
    """The same rows as numbers."""
    order: tuple[int, ...]
    """Which of them stands where."""


def _half(x: float) -> bytes:
    return struct.pack("<e", x)


def _of_half(x: bytes) -> float:
    (value,) = struct.unpack("<e", x)
    return float(value)


def _q4_0(rng: random.Random, scale: float) -> tuple[bytes, list[float]]:
    """32 weights `d·(q - 8)`; byte i holds weights i (low) and i + 16 (high)."""
    d, quants = _half(scale / 4.6 * rng.uniform(0.8, 1.2)), rng.randbytes(16)
    both = [b & 15 for b in quants] + [b >> 4 for b in quants]
    return d + quants, [_of_half(d) * (q - 8) for q in both]


def _q8_0(rng: random.Random, scale: float) -> tuple[bytes, list[float]]:
    """32 weights `d·q`."""
    d, quants = _half(scale / 74 * rng.uniform(0.8, 1.2)), rng.randbytes(32)
    return d + quants, [_of_half(d) * q for q in struct.unpack("<32b", quants)]


def _q4_k(rng: random.Random, scale: float) -> tuple[bytes, list[float]]:
    """256 weights `d·scale·q - dmin·min` in eight groups of 32, whose scales and mins have six bits."""
    scales = [rng.randrange(16, 64) for _ in range(8)]
    mins = [max(0, min(63, s + rng.randrange(-8, 9))) for s in scales]
    d = _half(scale / (40 * 4.6))
    dmin = _half(7.5 * _of_half(d))
    packed = [scales[j] | (scales[j + 4] >> 4) << 6 for j in range(4)]
    packed += [mins[j] | (mins[j + 4] >> 4) << 6 for j in range(4)]
    packed += [(scales[j + 4] & 15) | (mins[j + 4] & 15) << 4 for j in range(4)]
    quants = rng.randbytes(128)
    weights = [0.0] * 256
    for i, byte in enumerate(quants):
        pair, column = divmod(i, 32)
        for group, q in ((2 * pair, byte & 15), (2 * pair + 1, byte >> 4)):
            weights[32 * group + column] = _of_half(d) * scales[group] * q - _of_half(dmin) * mins[group]
    return d + dmin + bytes(packed) + quants, weights


def _q6_k(rng: random.Random, scale: float) -> tuple[bytes, list[float]]:
    """256 weights `d·scale·(q - 32)` in sixteen groups of 16; four bits of q stand in `low`, two in `high`."""
    low, high = rng.randbytes(128), rng.randbytes(64)
    scales = struct.unpack("<16b", rng.randbytes(16))
    d = _half(scale / (74 * 18.5))
    weights = [0.0] * 256
    for half in range(2):
        for i in range(32):
            byte, bits = (low[64 * half + i], low[64 * half + 32 + i]), high[32 * half + i]
            quants = (byte[0] & 15, byte[1] & 15, byte[0] >> 4, byte[1] >> 4)
            for quarter, q in enumerate(quants):
                at = 128 * half + 32 * quarter + i
                weights[at] = _of_half(d) * scales[at // 16] * ((q | (bits >> 2 * quarter & 3) << 4) - 32)
    return low + high + struct.pack("<16b", *scales) + d, weights


Block = Callable[[random.Random, float], tuple[bytes, list[float]]]
_TYPES: dict[str, tuple[int, int, Block]] = {
    "Q4_0": (2, 32, _q4_0),
    "Q8_0": (8, 32, _q8_0),
    "Q4_K": (12, 256, _q4_k),
    "Q6_K": (14, 256, _q6_k),
}
"""GGML's number, weights a block, and how one is made."""


def _matrix(rng: random.Random, type_: str, rows: int, *, different: int = _POOL, scale: float = _SPREAD) -> Matrix:
    number, weights, block = _TYPES[type_]
    made = [[block(rng, scale) for _ in range(WIDTH // weights)] for _ in range(different)]
    order = tuple(range(rows)) if different == rows else tuple(rng.randrange(different) for _ in range(rows))
    return Matrix(
        type=number,
        rows=tuple(b"".join(data for data, _ in row) for row in made),
        values=tuple(tuple(w for _, numbers in row for w in numbers) for row in made),
        order=order,
    )


@cache
def matrices() -> dict[str, Matrix]:
    """Every matrix by the name of its tensor; each is 256 weights wide."""
    rng = random.Random(_SEED)  # noqa: S311 - the same on every machine is what is wanted
    return {
        "token_embd.weight": _matrix(rng, "Q8_0", VOCABULARY, different=VOCABULARY, scale=1.0),
        "blk.0.attn_q.weight": _matrix(rng, "Q4_K", HEADS * HEAD),
        "blk.0.attn_k.weight": _matrix(rng, "Q4_0", KV_HEADS * HEAD),
        "blk.0.attn_v.weight": _matrix(rng, "Q6_K", KV_HEADS * HEAD),
        "blk.0.attn_output.weight": _matrix(rng, "Q8_0", WIDTH),
        "blk.0.ffn_gate.weight": _matrix(rng, "Q4_K", FEED_FORWARD),
        "blk.0.ffn_up.weight": _matrix(rng, "Q4_0", FEED_FORWARD),
        "blk.0.ffn_down.weight": _matrix(rng, "Q6_K", WIDTH),
        "output.weight": _matrix(rng, "Q6_K", VOCABULARY, different=VOCABULARY, scale=3 * _SPREAD),
    }


_NORMS = ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight")
"""All ones, so that the reference need not know them."""

_ALIGNMENT = 32
_F32 = 0


def gguf() -> bytes:
    """The whole file, GGUF version 3."""
    tensors = [(name, m.type, len(m.order), b"".join(m.rows[i] for i in m.order)) for name, m in matrices().items()]
    ones = struct.pack(f"<{WIDTH}f", *[1.0] * WIDTH)
    infos, data = b"", b""
    for name, number, rows, content in [*tensors, *((name, _F32, 0, ones) for name in _NORMS)]:
        shape = (WIDTH, rows) if rows else (WIDTH,)
        infos += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, len(data))
        data += content + bytes(-len(content) % _ALIGNMENT)
    values = _metadata()
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors) + len(_NORMS), len(values)) + b"".join(values) + infos
    return head + bytes(-len(head) % _ALIGNMENT) + data


def _metadata() -> list[bytes]:
    letters = [chr(ord("a") + i) for i in range(26)] + ["A", "B", "C"]
    numbers = {
        "llama.context_length": 128,
        "llama.embedding_length": WIDTH,
        "llama.block_count": 1,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.rope.dimension_count": HEAD,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    kinds = [2, 3, 3, *[1] * len(letters)]  # unknown, control, control, normal
    return [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("general.name") + struct.pack("<I", 8) + _text("pollex proof"),
        *(_text(name) + struct.pack("<II", 4, value) for name, value in numbers.items()),
        _text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, EPSILON),
        _text("tokenizer.ggml.model") + struct.pack("<I", 8) + _text("llama"),
        _array("tokenizer.ggml.tokens", 8, [_text(t) for t in ("<unk>", "<s>", "</s>", *letters)]),
        _array("tokenizer.ggml.scores", 6, [struct.pack("<f", -float(i)) for i in range(VOCABULARY)]),
        _array("tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in kinds]),
    ]


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _array(name: str, kind: int, items: Sequence[bytes]) -> bytes:
    return _text(name) + struct.pack("<IIQ", 9, kind, len(items)) + b"".join(items)
