"""Bytes that nobody meant: what reads a stranger's refuses them in its own words, whatever they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import ROOT
from infra.toolchain import golang
from tests.faults import LONG
from tests.image.entrypoint import SOURCES, go

CORPUS = Path(__file__).parent / "corpus"
READERS = sorted(folder.name for folder in CORPUS.iterdir())
ENOUGH = ["-max_total_time=30"] if LONG else ["-runs=1000"]


@pytest.mark.fault("bytes", "none", "bytes made up for each reader in Python (atheris)", "refused in its own words")
@pytest.mark.parametrize("reader", READERS)
def test_bytes_made_up(reader: str, tmp_path: Path) -> None:
    """If this fails, one odd file, form or answer ends a program with a stack trace, or hangs it."""
    grown = tmp_path / "corpus"
    shutil.copytree(CORPUS / reader, grown)
    options = [*ENOUGH, "-seed=16", "-timeout=60", "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/"]
    command = [sys.executable, "-m", "tests.fuzz", reader, *options, str(grown)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.fault("bytes", "none", "bytes made up for each reader in Go", "refused in its own words")
@pytest.mark.parametrize("reader", ["FuzzHeader", "FuzzManifest", "FuzzReference"])
def test_bytes_made_up_for_the_image(reader: str) -> None:
    """If this fails, a model on a volume ends the container with a stack trace instead of a word."""
    assert golang.find_go()
    for_so_long = "30s" if LONG else "3000x"
    done = go("test", "-run=^$", f"-fuzz=^{reader}$", f"-fuzztime={for_so_long}", "-parallel=2", ".", folder=SOURCES)
    assert done.returncode == 0, done.stdout + done.stderr
