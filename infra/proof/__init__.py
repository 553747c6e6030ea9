"""A tiny model with known answers: what a freshly built llama-server must compute before it may serve.

`model.txt` (GGUF, gzip, Base64) is a Llama of one layer with random weights, stored in each type that the models of
the boards use. `logprobs.txt` has its answers, computed here in double precision and by nothing of llama.cpp, so that
an error that every build makes shows too. Both travel in the manifest of a build, and the host compares.

    python -m infra.proof     writes the files anew
"""

from __future__ import annotations

import base64
import gzip
import json
import textwrap
from functools import cache
from pathlib import Path

from infra.core.derivation import canonical, sha256
from infra.proof.model import gguf
from infra.proof.reference import answers

FOLDER = Path(__file__).parent

PROMPT = tuple(3 + (21 * i + 7 * i * i) % 29 for i in range(24))
"""Token ids, chosen so that no answer is a close call: more than eight, since from there on a GPU multiplies matrices
by another path than for single tokens."""

STEPS = 8
"""Tokens generated after the prompt, one at a time."""

TOLERANCE = 0.25
"""How far a log-probability may be from the exact one. Activations rounded to 8 bits (CPU) cost 0.1 here; a wrong
sign, scale or shift costs more than 1: tests/patches/test_proof.py and tests/e2e/test_life.py show both."""

FILES = ("model", "logprobs", "request")


@cache
def texts() -> dict[str, str]:
    """What proves a build, by the names of `manifest.Proof`'s fields."""
    return {name: (FOLDER / f"{name}.txt").read_text() for name in FILES}


def identity() -> str:
    """The SHA-256 of what is proved; part of the key, since a path in the store has passed it."""
    return sha256(canonical({f"proof/{name}": text for name, text in texts().items()}))


def write(folder: Path = FOLDER) -> None:
    """Write the three files into a folder."""
    made = gguf()
    packed = base64.b64encode(gzip.compress(made, 9, mtime=0)).decode()
    (folder / "model.txt").write_text("\n".join(textwrap.wrap(packed, 120)) + "\n")
    lines = [f"{token} {' '.join(f'{p:.4f}' for p in logprobs)}\n" for token, logprobs in answers(PROMPT, STEPS)]
    (folder / "logprobs.txt").write_text(f"tolerance {TOLERANCE}\n" + "".join(lines))
    asked = {"prompt": PROMPT, "n_predict": STEPS, "temperature": 0, "n_probs": 32, "cache_prompt": False}
    (folder / "request.txt").write_text(json.dumps(asked) + "\n")
