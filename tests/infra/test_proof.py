"""The tiny model that proves a build, and its answers."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

from infra import proof
from infra.proof.model import gguf, matrices
from infra.proof.reference import answers


def test_the_files_are_what_the_program_makes(tmp_path: Path) -> None:
    """If this fails, builds are judged by a model or by answers that nobody can make again."""
    proof.write(tmp_path)
    for name in ("logprobs.txt", "request.txt"):
        assert (proof.FOLDER / name).read_text() == (tmp_path / name).read_text()
    # how well it packs is another version of zlib's own affair
    assert gzip.decompress(base64.b64decode((proof.FOLDER / "model.txt").read_text())) == gguf()


def test_no_answer_is_a_close_call() -> None:
    """If this fails, rounding decides which token comes next, and right builds are refused."""
    for _, logprobs in answers(proof.PROMPT, proof.STEPS):
        first, second = sorted(logprobs)[-1:-3:-1]
        assert first - second > 2 * proof.TOLERANCE


def test_every_type_that_a_board_computes_with_is_in_it() -> None:
    """If this fails, a wrong kernel of one type passes."""
    assert {matrix.type for matrix in matrices().values()} == {2, 8, 12, 14}


def test_it_is_small() -> None:
    """If this fails, every state and every plan carries a model of some size around."""
    assert sum(len(text) for text in proof.texts().values()) < 50_000
