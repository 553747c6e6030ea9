"""What is rendered from a dev stack, reviewed as whole files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra import ROOT, review
from infra.kinds.dev import compose, files
from tests.dev.conftest import STACK, parsed

Golden = Callable[[str, str], None]


def test_committed_stack(golden: Golden) -> None:
    """If this fails, a user of compose or Mimir gets other files than the ones that were reviewed."""
    for name, text in review.render(STACK).items():
        golden(f"dev/{name}", text)


def test_every_option(whole: dict[str, Any], golden: Golden) -> None:
    """If this fails, llama-swap or macOS is told something else than what was reviewed."""
    for name, text in files.files(parsed(whole)).items():
        golden(f"whole/{name}", text)


def test_inside_mimir(values: dict[str, Any], golden: Golden) -> None:
    """If this fails, a stack for Mimir alone, in Mimir's own network and volume, makes things that are not its own."""
    del values["chat"], values["service"]
    values |= {"volume": "mimir_ollama_models", "network": "mimir_mcp_network", "foreign": ["volume", "network"]}
    golden("inside-mimir/compose.yaml", compose.file(parsed(values)))


def test_a_download(values: dict[str, Any], golden: Golden) -> None:
    """If this fails, a container that fetches its model cannot write it, or is not told its hash."""
    url = "https://example.org/$a/it's(1)/model-f16.gguf?download=true&x=$HOME"
    values["chat"] |= {"model": url, "sha256": "a" * 64}
    golden("download/compose.yaml", compose.file(parsed(values)))


def test_no_golden_file_is_left_over(whole: dict[str, Any]) -> None:
    """If this fails, a file stands in review that nothing is compared with any more."""
    folder = Path(__file__).parent / "__snapshots__" / "test_rendered"
    kept = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    made = {f"dev/{name}" for name in review.render(STACK)} | {f"whole/{name}" for name in files.files(parsed(whole))}
    assert kept == made | {"inside-mimir/compose.yaml", "download/compose.yaml"}


def command(file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The runbook's command."""
    words = [sys.executable, "-m", "infra.review", "render", str(file), str(folder)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def test_files_are_written(tmp_path: Path) -> None:
    """If this fails, somebody without Pulumi cannot get compose.yaml out of a stack file."""
    done = command(STACK, tmp_path / "build" / "dev")
    assert done.returncode == 0, done.stderr
    written = {file.name: file.read_text() for file in (tmp_path / "build" / "dev").iterdir()}
    assert written == review.render(STACK)


def test_a_wrong_stack_file_writes_nothing(tmp_path: Path) -> None:
    """If this fails, a user reads a stack trace, or runs a compose.yaml that is half a stack's."""
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(STACK.read_text().replace("port: 11434", "port: ollama"))
    done = command(file, tmp_path / "made")
    assert done.returncode == 1
    assert 'pollex:embeddings.port  "ollama"  is not a whole number' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()
