"""Tiny models with random weights, one of each architecture that came after the Jetson's source, as whole GGUF files.

What their authors call their metadata and tensors is in src/models/ of llama.cpp; tokenizers are of the kind that each
family has, with an alphabet for a vocabulary.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Value = str | int | float | Sequence[str] | Sequence[int] | Sequence[float]

WIDTH, HEADS, KV_HEADS, HEAD, FEED_FORWARD, LAYERS, EXPERTS = 64, 4, 2, 16, 96, 2, 4
CONTEXT = 256
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]

_ALIGNMENT = 32
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_MEAN, _LAST = 1, 3

Shapes = Mapping[str, Sequence[int]]


def write(path: Path, name: str) -> Path:
    """The model of that name, one of `MODELS`."""
    architecture, values, shapes, vocabulary = MODELS[name]
    own = {"context_length": CONTEXT, "embedding_length": WIDTH, "block_count": LAYERS, **values}
    own |= {"feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS}
    tokens, said = vocabulary()
    about: dict[str, Value] = {"general.architecture": architecture, "general.name": name, "general.file_type": 0}
    about |= {f"{architecture}.{key}": value for key, value in own.items()}
    about |= {f"tokenizer.ggml.{key}": value for key, value in said.items()}
    tensors = {"token_embd.weight": (WIDTH, len(tokens)), **shapes}
    path.write_bytes(_file(about, tensors))
    return path


def _file(about: Mapping[str, Value], shapes: Shapes) -> bytes:
    """Metadata, then F32 tensors: norms near 1, everything else around 0."""
    rng = random.Random(11146)
    infos, data = b"", b""
    for name, shape in shapes.items():
        count = 1
        for length in shape:
            count *= length
        middle = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        infos += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        data += struct.pack(f"<{count}f", *(rng.gauss(middle, 0.125) for _ in range(count)))
        data += bytes(-len(data) % _ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(about))
    head += b"".join(_text(key) + _value(value) for key, value in about.items()) + infos
    return head + bytes(-len(head) % _ALIGNMENT) + data


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Value) -> bytes:
    """In the types that llama.cpp asks for: numbers of 32 bits, those of a list signed."""
    match value:
        case str():
            return struct.pack("<I", 8) + _text(value)
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
    head = struct.pack("<IIQ", 9, {str: 8, int: 5, float: 6}[type(value[0])], len(value))
    return head + b"".join(
        _text(item) if isinstance(item, str) else struct.pack("<f" if isinstance(item, float) else "<i", item)
        for item in value
    )


def _layers(shapes: Shapes) -> dict[str, Sequence[int]]:
    """The same tensors for each layer."""
    return {f"blk.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in shapes.items()}


_ATTENTION: Shapes = {
    "attn_norm.weight": (WIDTH,),
    "attn_q.weight": (WIDTH, HEADS * HEAD),
    "attn_k.weight": (WIDTH, KV_HEADS * HEAD),
    "attn_v.weight": (WIDTH, KV_HEADS * HEAD),
    "attn_output.weight": (HEADS * HEAD, WIDTH),
    "attn_q_norm.weight": (HEAD,),
    "attn_k_norm.weight": (HEAD,),
}
_GATED: Shapes = {
    "ffn_norm.weight": (WIDTH,),
    "ffn_gate.weight": (WIDTH, FEED_FORWARD),
    "ffn_up.weight": (WIDTH, FEED_FORWARD),
    "ffn_down.weight": (FEED_FORWARD, WIDTH),
}
_QWEN = {"output_norm.weight": (WIDTH,), **_layers({**_ATTENTION, **_GATED})}
_POST: Shapes = {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
_GEMMA = {"output_norm.weight": (WIDTH,), **_layers({**_ATTENTION, **_GATED, **_POST})}


_NOMIC_NORMS: Shapes = {
    f"{norm}.{part}": (WIDTH,) for norm in ("attn_output_norm", "layer_output_norm") for part in ("weight", "bias")
}
_NOMIC: Shapes = {
    "token_types.weight": (WIDTH, 1),
    "token_embd_norm.weight": (WIDTH,),
    "token_embd_norm.bias": (WIDTH,),
    **_layers({"attn_qkv.weight": (WIDTH, 3 * WIDTH), "attn_output.weight": (WIDTH, WIDTH), **_NOMIC_NORMS}),
    # one layer is dense, the next a mixture of experts, as `moe_every_n_layers` says
    "blk.0.ffn_up.weight": (WIDTH, FEED_FORWARD),
    "blk.0.ffn_down.weight": (FEED_FORWARD, WIDTH),
    "blk.1.ffn_gate_inp.weight": (WIDTH, EXPERTS),
    "blk.1.ffn_up_exps.weight": (WIDTH, FEED_FORWARD, EXPERTS),
    "blk.1.ffn_down_exps.weight": (FEED_FORWARD, WIDTH, EXPERTS),
}


def _pieces() -> tuple[list[str], dict[str, Value]]:
    """SentencePiece, as Gemma has it: pieces, and bytes for what they cannot spell."""
    byte = [f"<0x{code:02X}>" for code in range(256)]
    words = ["\u2581", *LETTERS, *(f"\u2581{letter}" for letter in LETTERS)]
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *byte, *words]
    kinds = [_CONTROL, _CONTROL, _CONTROL, _UNKNOWN, *[_BYTE] * len(byte), *[_NORMAL] * len(words)]
    scores = [-float(place) for place in range(len(tokens))]
    said: dict[str, Value] = {"model": "llama", "tokens": tokens, "scores": scores, "token_type": kinds}
    return tokens, said | {"bos_token_id": 2, "eos_token_id": 1, "unknown_token_id": 3, "padding_token_id": 0}


def _unigrams() -> tuple[list[str], dict[str, Value]]:
    """XLM-RoBERTa's, as nomic-embed-text-v2-moe has it."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *LETTERS, *(f"\u2581{letter}" for letter in LETTERS)]
    kinds = [_CONTROL, _CONTROL, _CONTROL, _UNKNOWN, *[_NORMAL] * (len(tokens) - 4)]
    scores = [-float(place) for place in range(len(tokens))]
    said: dict[str, Value] = {
        "model": "t5",
        "tokens": tokens,
        "scores": scores,
        "token_type": kinds,
        "token_type_count": 1,
    }
    said |= {"bos_token_id": 0, "eos_token_id": 2, "unknown_token_id": 3, "padding_token_id": 1}
    return tokens, said | {"add_bos_token": True, "add_eos_token": True, "add_space_prefix": True}


def _bytes() -> tuple[list[str], dict[str, Value]]:
    """Byte pairs, as Qwen has them: a sign for each byte, one pair, and the end of a text."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    signs = [chr(byte) for byte in shown] + [chr(256 + place) for place in range(256 - len(shown))]
    tokens = [*signs, "\u0120a", "<|endoftext|>"]
    kinds = [*[_NORMAL] * (len(tokens) - 1), _CONTROL]
    said: dict[str, Value] = {
        "model": "gpt2",
        "pre": "qwen2",
        "tokens": tokens,
        "token_type": kinds,
        "merges": ["\u0120 a"],
    }
    return tokens, said | {"eos_token_id": len(tokens) - 1, "padding_token_id": len(tokens) - 1, "add_eos_token": True}


_RMS = {"attention.layer_norm_rms_epsilon": 1e-6, "attention.head_count_kv": KV_HEADS}
_RMS |= {"attention.key_length": HEAD, "attention.value_length": HEAD, "rope.freq_base": 1e6}
_WINDOW = {"attention.sliding_window": 32, "attention.sliding_window_pattern": 2}
"""Every second layer sees everything, as every sixth of the real ones; llama.cpp aborts where none does."""

Vocabulary = Callable[[], tuple[list[str], dict[str, Value]]]

MODELS: dict[str, tuple[str, Mapping[str, Value], Shapes, Vocabulary]] = {
    "qwen3": ("qwen3", _RMS, _QWEN, _bytes),
    "qwen3-embedding": ("qwen3", {**_RMS, "pooling_type": _LAST}, _QWEN, _bytes),
    "gemma3": ("gemma3", {**_RMS, **_WINDOW}, _GEMMA, _pieces),
    "embeddinggemma": ("gemma-embedding", {**_RMS, **_WINDOW, "pooling_type": _MEAN}, _GEMMA, _pieces),
    "nomic-embed-text-v2-moe": (
        "nomic-bert-moe",
        {
            "attention.layer_norm_epsilon": 1e-5,
            "attention.causal": False,
            "rope.freq_base": 1e4,
            "pooling_type": _MEAN,
            "moe_every_n_layers": 2,
            "expert_count": EXPERTS,
            "expert_used_count": 2,
        },
        _NOMIC,
        _unigrams,
    ),
}
"""Name → architecture, metadata, tensors besides the tokens', vocabulary."""
