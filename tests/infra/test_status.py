"""What `make status` says of machines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra import ROOT
from infra.status import __main__ as command
from infra.status import table
from infra.status.table import Machine

Golden = Callable[[str, str], None]

BUILD, MODEL, POLISH = f"{'b' * 32}-llama-server", f"{'a' * 32}-model", f"{'c' * 32}-polish"
NANO = Machine(name="nano1", address="nano1.local", declared=(BUILD, MODEL), model="qwen2.5:1.5b-gpu")
FRONT = Machine(name="gateway", address="192.168.1.9", declared=(POLISH,), service=8090, statistics=9199)
SERVER = {f"store {BUILD}": "intact", f"store {MODEL}": "intact", "service llama-server.service": "active"}
SERVICE = {f"store {POLISH}": "intact", "service pollex.service": "active"}
NOW = "available_mb 1820\ncelsius 41\nsince 1795939801\n"


HOT = {
    "powerMode": "1", "powerModeName": "5W", "clocks": "on",
    "cpuCelsius": 97.0, "gpuCelsius": 92.5, "throttling": ["cpu-balanced"],
}  # fmt: skip


def answer(
    live: dict[str, str], generation: str | None = "d" * 32, board: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What pollex-host says, as far as it is read."""
    return {"generation": generation, "live": live, "facts": {}, **({} if board is None else {"board": board})}


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_the_screen(golden: Golden) -> None:
    """If this fails, somebody with three boards cannot see at a glance which one is in trouble, and why."""
    other = Machine(name="nano2", address="nano2.local", declared=NANO.declared, model=NANO.model)
    third = Machine(name="nano3", address="nano3.local", declared=NANO.declared, model=NANO.model)
    front = "waiting 2\nasked 40\nboard nano1 UP 1 31\nboard nano2 DOWN 0 9\nboard nano3 DOWN 0 0\n"
    rows = [
        table.row(NANO, answer(SERVER), NOW),
        table.row(other, answer(SERVER, board=HOT), NOW + "throttled_since 1795940000\n"),
        table.unreachable(third, "manu@nano3.local has 1 problem\n  pollex:host.address: nobody answers"),
        table.row(FRONT, answer(SERVICE), NOW + front),
    ]
    golden("fleet/status.txt", table.text("fleet", table.together(rows)))
    golden("fleet/status.json", json.dumps(table.data("fleet", table.together(rows)), indent=2) + "\n")


@pytest.mark.parametrize(
    ("live", "generation", "state"),
    [
        (SERVER, "d" * 32, "serving"),
        ({}, None, "nothing live"),
        (SERVER | {"service llama-server.service": "failed"}, "d" * 32, "damaged"),
        (SERVER | {"service llama-server.service": "active, disabled"}, "d" * 32, "damaged"),
        (SERVER | {f"store {MODEL}": "altered"}, "d" * 32, "damaged"),
        (SERVER | {"unit llama-server.service": "missing"}, "d" * 32, "damaged"),
        (SERVER | {"link /usr/local/bin/llama-server": "a file"}, "d" * 32, "damaged"),
        ({f"store {'e' * 32}-llama-server": "intact", f"store {MODEL}": "intact"}, "d" * 32, "behind"),
    ],
)
def test_a_state_is_named(live: dict[str, str], generation: str | None, state: str) -> None:
    """If this fails, a board that does not serve what is declared passes for one that does."""
    row = table.row(NANO, answer(live, generation), "")
    assert row.state == state
    assert bool(row.details) == (state != "serving")


def test_now_sh_says_what_a_machine_is_like() -> None:
    """If this fails, the screen shows no memory, or takes a line for something else."""
    script = Path(table.__file__).with_name("now.sh")
    done = subprocess.run(["sh", str(script), "1", "1"], capture_output=True, text=True, check=True)
    row = table.row(NANO, answer(SERVER), done.stdout)
    assert row.available_mb
    assert row.boards == {}
    assert done.stderr == ""


def test_what_is_missing_here_is_said(tmp_path: Path) -> None:
    """If this fails, somebody without the keys that a stack names reads a traceback, or one problem a run."""
    file = tmp_path / "Pulumi.fleet.yaml"
    file.write_text((ROOT / "stacks/Pulumi.fleet.yaml").read_text().replace("File: ~/", f"File: {tmp_path}/"))
    done = subprocess.run(
        [sys.executable, "-m", "infra.status", "fleet", "--file", str(file)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pollex:hosts.nano1.host.privateKeyFile" in done.stderr
    assert "pollex:gateway.host.hostKeyFile" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stack", ["dev", "nowhere"])
def test_a_stack_without_machines_is_refused(stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails, a mistyped stack's name reads like a fleet that is well."""
    assert command.main([stack]) == 2
    assert stack in capsys.readouterr().err
