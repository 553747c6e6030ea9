"""The entrypoint's own unit tests, and which server it starts on which CPU."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.kinds.dev import spec
from tests.image.entrypoint import (
    ALONE,
    FAKE,
    SOURCES,
    arm64,  # noqa: F401 - a fixture
    emulated,
    gguf,
    go,
    programs,  # noqa: F401 - a fixture
    refused,
    start,
)


def test_units() -> None:
    """If this fails, a header, a name, a plan or a CPU is read wrongly: the Go test's own comment says what is lost."""
    done = go("test", "./...", folder=SOURCES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", [SOURCES, FAKE], ids=lambda folder: folder.name)
def test_sources(folder: Path) -> None:
    """If this fails, the next person to touch the sources has to clean them up first."""
    vetted = go("vet", "./...", folder=folder)
    assert vetted.returncode == 0, vetted.stderr
    gofmt = Path(go("env", "GOROOT", folder=folder).stdout.strip()) / "bin/gofmt"
    formatted = subprocess.run([gofmt, "-l", "."], cwd=folder, capture_output=True, text=True, check=True)
    assert formatted.stdout == ""


def test_every_setting_is_documented() -> None:
    """If this fails, docs/reference/image.md lacks a setting of the image, or has one that does not exist."""
    code = (SOURCES / "settings.go").read_text()
    page = (SOURCES.parents[1] / "docs/reference/image.md").read_text()
    read = set(re.findall(r'(?:text\(|count\(g, )"([A-Z0-9_]+)"', code))
    read |= {name for file in SOURCES.glob("*.go") for name in re.findall(r'"(HF_[A-Z]+)"', file.read_text())}
    assert read == set(re.findall(r"^\| `([A-Z0-9_]+)` \|", page, re.MULTILINE))
    assert "MODEL" in read


def test_known_models_are_the_same_everywhere() -> None:
    """If this fails, a stack declares vectors of another length than the image expects of the same model."""
    table = re.findall(r'"([a-z0-9-]+)":\s+\{"(?:mean|cls)", (\d+), \w+\}', (SOURCES / "known.go").read_text())
    assert {name: int(length) for name, length in table if length != "0"} == spec.DIMENSIONS


@pytest.mark.parametrize(
    ("cpu", "server"),
    [
        ("cortex-a53", "llama-server.armv8-a"),
        ("cortex-a72", "llama-server.armv8-a"),
        ("cortex-a76", "llama-server.armv8.2-a-dotprod"),
        ("neoverse-n1", "llama-server.armv8.2-a-dotprod"),
        ("max", "llama-server.armv8.2-a-dotprod"),
    ],
)
def test_the_server_for_the_cpu(arm64: Path, tmp_path: Path, cpu: str, server: str) -> None:  # noqa: F811 - a fixture
    """If this fails, a Raspberry Pi 4 dies of an illegal instruction, or a newer machine runs at half its speed."""
    end = start(arm64, variables={"MODEL": str(gguf(tmp_path / "m.gguf"))}, before=[*ALONE, *emulated(cpu)])
    assert end.server is not None, end.said
    assert end.server["args"][0] == str(arm64 / server)


def test_a_server_that_cannot_run_here(programs: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture of that name
    """If this fails, an image for another platform ends without saying so."""
    shutil.copy(programs / "entrypoint", tmp_path / "entrypoint")
    refused(start(tmp_path, "--version", variables={}), 1, f"there is no llama-server for this CPU in {tmp_path}")
    (tmp_path / "llama-server").write_bytes(b"\x7fELF of somebody else's")
    (tmp_path / "llama-server").chmod(0o755)
    end = start(tmp_path, "--version", variables={})
    assert (end.status, end.server) == (1, None)
    assert f"{tmp_path}/llama-server is not made for this machine" in end.said.splitlines()[-1]
