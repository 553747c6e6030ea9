"""Mimir's variables are the same to every reader of an env file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.kinds.dev import files, mimir
from pollex import stackconfig
from tests.dev.conftest import Compose, parsed

MODELS = [
    "nomic-embed-text",
    "hf.co/nomic-ai/nomic-embed-text-v1.5-GGUF:Q8_0",
    "https://example.org/$x/it's/all-MiniLM-L6-v2+f16.gguf",
]


@pytest.fixture(params=MODELS)
def variables(request: pytest.FixtureRequest, values: dict[str, Any]) -> dict[str, str]:
    """What Mimir is to be told, for an ordinary model and for odd ones."""
    values["embeddings"] |= {"model": request.param, "sha256": "a" * 64, "dimensions": 768}
    return mimir.variables(parsed(values))


@pytest.fixture
def file(tmp_path: Path, variables: dict[str, str]) -> Path:
    """The env file."""
    path = tmp_path / files.MIMIR_ENV
    path.write_text(mimir.env_file(variables))
    return path


def test_a_shell_reads_it(file: Path, variables: dict[str, str]) -> None:
    """If this fails, `set -a; . mimir.env` gives Mimir other values, or runs a part of one."""
    shown = subprocess.run(
        ["env", "-i", "sh", "-c", 'set -a; . "$1"; exec env -0', "sh", str(file)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = dict(entry.split("=", 1) for entry in shown.stdout.split("\0") if entry)
    assert {name: value for name, value in found.items() if name.startswith("MIMIR_")} == variables


def test_docker_reads_it(file: Path, variables: dict[str, str]) -> None:
    """If this fails, `docker run --env-file`, which takes lines as they are, makes quotes part of a value."""
    lines = file.read_text().splitlines()
    assert all(line and not line.startswith("#") for line in lines)
    assert dict(line.split("=", 1) for line in lines) == variables


def test_compose_reads_it(compose: Compose, file: Path, variables: dict[str, str], tmp_path: Path) -> None:
    """If this fails, Mimir's compose file gets other values than Mimir's `.env` was meant to say."""
    (tmp_path / "compose.yaml").write_text("services: {mimir: {image: x}}\n")
    shown = compose("--env-file", file, "config", "--environment").stdout
    assert variables.items() <= dict(line.split("=", 1) for line in shown.splitlines()).items()


def test_the_command_writes_the_same(file: Path, variables: dict[str, str]) -> None:
    """If this fails, `pollex config show --format mimir-env` and the rendered file disagree."""
    assert stackconfig.mimir_env({"mimir": variables}) == file.read_text()
