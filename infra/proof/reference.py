"""What the tiny model answers, in double precision and from nothing but its definition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from infra.proof.model import EPSILON, HEAD, HEADS, KV_HEADS, ROPE_BASE, matrices

Vector = list[float]


def answers(prompt: Sequence[int], steps: int) -> Iterator[tuple[int, Vector]]:
    """The most likely token and the log-probabilities of all, for each of `steps` tokens after the prompt."""
    keys: list[Vector] = []
    values: list[Vector] = []
    for token in prompt[:-1]:
        _logits(token, keys, values)
    token = prompt[-1]
    for _ in range(steps):
        logits = _logits(token, keys, values)
        top = max(logits)
        total = top + math.log(sum(math.exp(x - top) for x in logits))
        token = logits.index(top)
        yield token, [x - total for x in logits]


def _logits(token: int, keys: list[Vector], values: list[Vector]) -> Vector:
    """One token through the model; its key and value join the former ones."""
    embedding = matrices()["token_embd.weight"]
    x = list(embedding.values[embedding.order[token]])
    h = _normed(x)
    position = len(keys)
    query = _rotated(_times("blk.0.attn_q.weight", h), position)
    keys.append(_rotated(_times("blk.0.attn_k.weight", h), position))
    values.append(_times("blk.0.attn_v.weight", h))
    x = _sum(x, _times("blk.0.attn_output.weight", _attention(query, keys, values)))
    h = _normed(x)
    gate, up = _times("blk.0.ffn_gate.weight", h), _times("blk.0.ffn_up.weight", h)
    x = _sum(x, _times("blk.0.ffn_down.weight", [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up, strict=True)]))
    return _times("output.weight", _normed(x))


def _times(name: str, x: Vector) -> Vector:
    matrix = matrices()[name]
    products = [sum(w * v for w, v in zip(row, x, strict=True)) for row in matrix.values]
    return [products[i] for i in matrix.order]


def _normed(x: Vector) -> Vector:
    scale = 1 / math.sqrt(sum(v * v for v in x) / len(x) + EPSILON)
    return [v * scale for v in x]


def _rotated(x: Vector, position: int) -> Vector:
    """Rotary embedding: neighbours turn together, the first pair of a head fastest."""
    turned = list(x)
    for i in range(0, len(x), 2):
        angle = position * ROPE_BASE ** (-(i % HEAD) / HEAD)
        c, s = math.cos(angle), math.sin(angle)
        turned[i], turned[i + 1] = x[i] * c - x[i + 1] * s, x[i] * s + x[i + 1] * c
    return turned


def _attention(query: Vector, keys: list[Vector], values: list[Vector]) -> Vector:
    out: Vector = []
    for head in range(HEADS):
        q = query[head * HEAD : (head + 1) * HEAD]
        part = slice(head // (HEADS // KV_HEADS) * HEAD, (head // (HEADS // KV_HEADS) + 1) * HEAD)
        scores = [math.exp(sum(a * b for a, b in zip(q, k[part], strict=True)) / math.sqrt(HEAD)) for k in keys]
        total = sum(scores)
        out += [sum(s * v[part][i] for s, v in zip(scores, values, strict=True)) / total for i in range(HEAD)]
    return out


def _sum(a: Vector, b: Vector) -> Vector:
    return [x + y for x, y in zip(a, b, strict=True)]
