"""Several boards through the real engine, as `make sandbox-fleet` shows them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLEET = [sys.executable, "-m", "sandbox.fleet"]


@pytest.fixture
def fleet() -> Iterator[list[str]]:
    """The command that brings it up; it is taken away afterwards, and before, if a killed run left it."""
    subprocess.run([*FLEET, "down"], cwd=ROOT, check=True)
    yield [*FLEET, "up"]
    subprocess.run([*FLEET, "down"], cwd=ROOT, check=True)


def test_a_sentence_outlives_its_board(fleet: list[str]) -> None:
    """If this fails, a board that dies takes with it what somebody was reading."""
    done = subprocess.run(fleet, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "which was killed, and ended by fleet-" in done.stdout
