"""Several boards through the real engine, as `make sandbox-fleet` shows them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import fleet as fleets
from sandbox.serving import NEVER

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
    shared = [one for one in fleets._stack().resources() if one["type"] == "pollex:index:Share"]
    models = [one["outputs"]["how"] for one in shared if one["urn"].endswith("-shared-model")]
    assert sorted(models) == ["downloaded", "received"]
    # the killed board has just come back: the gateway takes it in again when it answers
    deadline = time.monotonic() + NEVER
    while (seen := asked()).returncode:
        assert time.monotonic() < deadline, seen.stdout + seen.stderr
        time.sleep(1)
    machines = json.loads(seen.stdout)["machines"]
    assert {name: one["state"] for name, one in machines.items()} == dict.fromkeys(
        ("fleet-1", "fleet-2", "gateway"), "serving"
    )
    assert machines["gateway"]["requests"] >= 2
    assert sum(machines[name]["requests"] for name in ("fleet-1", "fleet-2")) >= 2


def asked() -> subprocess.CompletedProcess[str]:
    """What `make status` says of the fleet."""
    command = [sys.executable, "-m", "infra.status", fleets.STACK, "--file", str(fleets.FILE), "--json"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
