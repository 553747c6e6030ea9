"""Host and Generation from birth to death, through the real engine, against a real sshd."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra import sheet
from tests.provider.conftest import HERE, ROOT, Machine, Stack, free_port

SERVICE = "service llama-server.service"


def generation(text: str) -> dict[str, Any]:
    """The `sheet` and `live` inputs of a generation with one unit."""
    identity = hashlib.sha256(text.encode()).hexdigest()[:32]
    sections = {"env": sheet.env({"kind": "generation", "id": identity}), "units/llama-server.service": text}
    unit = hashlib.sha256(text.encode()).hexdigest()
    live = {"generation": identity, "unit llama-server.service": unit, SERVICE: "active"}
    return {"sheet": sheet.render(sections), "live": live}


FIRST, SECOND = generation("[Unit]\nDescription=first\n"), generation("[Unit]\nDescription=second\n")


@dataclass
class Board:
    """The host as the tests change it behind the engine's back."""

    machine: Machine
    tools: Path

    @property
    def state(self) -> dict[str, Any]:
        """What the stand-in tools say is there."""
        found: dict[str, Any] = json.loads(self.tools.with_name("state.json").read_text())
        return found

    def change(self, **changes: Any) -> None:
        """Change what is there; `live` items are merged."""
        before = self.state
        live = before["live"] | changes.pop("live", {})
        self.tools.with_name("state.json").write_text(json.dumps(before | changes | {"live": live}))

    @property
    def mark(self) -> Path:
        """The host's identity."""
        return self.machine.opt / "pollex" / "id"

    def reflash(self) -> None:
        """Take away everything that was set up."""
        shutil.rmtree(self.mark.parent)
        self.tools.unlink()


@pytest.fixture
def board(machine: Machine, tmp_path: Path) -> Board:
    """A host on which nothing was done yet, but for the tools."""
    shutil.rmtree(machine.opt / "pollex", ignore_errors=True)
    tools = tmp_path / "tools" / "pollex-host"
    tools.parent.mkdir()
    shutil.copy(HERE / "pollex-host", tools)
    return Board(machine, tools)


@pytest.fixture
def stack(board: Board, tmp_path: Path) -> Stack:
    """A stack that declares the host with the first generation."""
    tools = Path(os.environ.get("POLLEX_TOOLS", ROOT / ".toolchain" / "bin"))
    if not (tools / "pulumi").exists():
        pytest.fail(f"no pulumi in {tools}: run `make toolchain`, or set POLLEX_TOOLS to a folder that holds it")
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "state").mkdir()
    shutil.copy(HERE / "program.py", project / "__main__.py")
    provider = {"name": "pollex", "path": str(ROOT / "infra" / "provider")}
    (project / "Pulumi.yaml").write_text(
        json.dumps({"name": "trial", "runtime": "python", "plugins": {"providers": [provider]}})
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")},
        "PATH": f"{tools}:{ROOT}/.venv/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    made = Stack(project, environment)
    made.declare(connection=board.machine.connection(), needs={}, tools=str(board.tools), **FIRST)
    made.run("stack", "init", "dev")
    return made


def test_a_preview_contacts_nobody(stack: Stack, board: Board) -> None:
    """If this fails, nobody can look at the plan without the board."""
    stack.declare(connection=board.machine.connection(port=free_port()))
    assert "3 to create" in " ".join(stack.run("preview").replace("+ ", "").split())


def test_a_host_that_is_not_ready_stays_untouched(stack: Stack, board: Board) -> None:
    """If this fails, an `up` that was bound to fail has already changed the host, or hides half of the reasons."""
    stack.declare(needs={"architecture": "vax", "diskMb": 100_000, "memoryMb": 1e9, "commands": ["no-such-compiler"]})
    output = stack.up(status=1)
    for setting in ("host.architecture", "host.minDiskMb", "host.minMemoryMb", "build.packages"):
        assert f"pollex:{setting}: " in output
    assert "4 problems; nothing was changed on it" in output
    assert not board.mark.exists()

    stack.declare(needs={})
    assert "2 created" in stack.up()
    assert re.fullmatch("[0-9a-f]{32}", board.mark.read_text())
    assert "3 unchanged" in stack.up()
    assert board.state["activations"] == 1


def test_drift_is_named_and_mended(stack: Stack, board: Board) -> None:
    """If this fails, a stopped service goes unnoticed, or mending it touches what was right."""
    stack.up()
    board.change(live={SERVICE: "inactive"})
    assert f'~ {SERVICE}: "active" => "inactive"' in stack.run("preview", "--refresh", "--diff")
    refreshed = stack.run("refresh", "--yes", "--skip-preview", "--diff")
    assert f"drifted: {SERVICE} is inactive, and was active" in refreshed
    assert f'~ {SERVICE}: "active" => "inactive"' in refreshed
    assert f'~ {SERVICE}: "inactive" => "active"' in stack.run("preview", "--diff")

    mended = stack.up("--refresh")
    assert f'~ {SERVICE}: "inactive" => "active"' in mended
    assert "1 updated" in mended
    assert board.state["live"][SERVICE] == "active"
    assert "3 unchanged" in stack.up("--refresh")


def test_a_foreign_generation_is_drift(stack: Stack, board: Board) -> None:
    """If this fails, what a colleague activated by hand stays live while the stack says otherwise."""
    stack.up()
    board.change(live={"generation": "f" * 32, "unit llama-server.service": "missing"})
    output = stack.run("refresh", "--yes", "--skip-preview")
    assert f"drifted: generation is {'f' * 32}, and was {FIRST['live']['generation']}" in output
    assert "drifted: unit llama-server.service is missing" in output


def test_a_failed_activation_keeps_the_former_state(stack: Stack, board: Board) -> None:
    """If this fails, the stack believes in a generation that the host has taken back."""
    stack.up()
    stack.declare(**SECOND)
    board.change(fail=7)
    output = stack.up(status=1)
    assert "returned to what was live before (exit status 7)" in output
    assert "error: unable to load model" in output

    stack.declare(**FIRST)
    assert "3 unchanged" in stack.up()
    stack.declare(**SECOND)
    assert "1 updated" in stack.up()
    assert board.state["live"] == SECOND["live"]
    assert stack.run("stack", "output", "generation").strip().endswith(SECOND["live"]["generation"])


def test_destroy_undoes_and_unmarks(stack: Stack, board: Board) -> None:
    """If this fails, a destroyed stack leaves a service running that nothing knows of."""
    stack.up()
    assert "3 deleted" in stack.run("destroy", "--yes", "--skip-preview")
    assert board.state["live"] == {"generation": ""}
    assert not board.mark.exists()


def test_a_reflashed_board_is_done_again(stack: Stack, board: Board) -> None:
    """If this fails, a board with a new system looks finished, or blocks the stack for good."""
    stack.up()
    before = board.mark.read_text()
    board.reflash()
    refreshed = stack.run("refresh", "--yes", "--skip-preview", "--diff")
    assert "has no /opt/pollex/id: it was set up anew" in refreshed
    assert "1 deleted" in refreshed
    shutil.copy(HERE / "pollex-host", board.tools)
    board.tools.with_name("state.json").unlink()
    again = stack.up()
    assert "1 created" in again
    assert "1 updated" in again
    assert board.mark.read_text() != before
    assert board.state["live"] == FIRST["live"]


def test_another_board_is_activated_too(stack: Stack, board: Board) -> None:
    """If this fails, a board that was exchanged behind the same address is left without its service."""
    stack.up()
    board.mark.write_text("0" * 32)
    output = stack.up("--refresh")
    assert "1 updated" in output
    assert board.state["activations"] == 2


def test_destroy_of_a_reflashed_board_succeeds(stack: Stack, board: Board) -> None:
    """If this fails, a stack cannot be destroyed once its board has a new system."""
    stack.up()
    board.reflash()
    output = stack.run("destroy", "--yes", "--skip-preview")
    assert "there was nothing to undo" in output
    assert "3 deleted" in output


def test_destroy_of_a_board_that_is_gone_says_the_way(stack: Stack, board: Board) -> None:
    """If this fails, a dead board keeps its stack alive for ever."""
    stack.up()
    stack.declare(connection=board.machine.connection(), **SECOND)
    exported = json.loads(stack.run("stack", "export", "--show-secrets"))
    for resource in exported["deployment"]["resources"]:
        if "connection" in resource.get("inputs", {}):
            resource["inputs"]["connection"]["port"] = free_port()
    (stack.folder / "moved.json").write_text(json.dumps(exported))
    stack.run("stack", "import", "--file", "moved.json")
    output = stack.run("destroy", "--yes", "--skip-preview", status=1)
    assert "pollex:host.port" in output
    assert "docs/runbooks/deploy-jetson.md#a-board-that-is-gone" in output
    (command,) = re.findall(r"pulumi state delete '(.*)'", output)
    stack.run("state", "delete", "--yes", command)


def test_the_private_key_stays_secret(stack: Stack, board: Board) -> None:
    """If this fails, the key to the board is readable in the state file or in a build log."""
    key = board.machine.private_key.splitlines()[2]
    output = stack.up()
    board.change(live={SERVICE: "failed"})
    output += stack.run("refresh", "--yes", "--skip-preview", "--diff")
    stack.declare(connection=board.machine.connection(hostKey=None))
    output += stack.up(status=1)
    state = stack.run("stack", "export")
    assert key not in output
    assert key not in state
    assert key in stack.run("stack", "export", "--show-secrets")
    outputs = [found["outputs"] for found in json.loads(state)["deployment"]["resources"] if "outputs" in found]
    assert "connection" not in json.dumps(outputs)


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def plugins(engine: subprocess.Popen[str]) -> list[Path]:
    """The processes of our plugin that an engine started."""
    children = Path(f"/proc/{engine.pid}/task").glob("*/children")
    pids = " ".join(file.read_text() for file in children).split()
    return [Path("/proc", pid) for pid in pids if b"infra.provider" in Path("/proc", pid, "cmdline").read_bytes()]


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_an_end_of_the_engine_ends_the_plugin(stack: Stack, board: Board, kill: signal.Signals) -> None:
    """If this fails, ^C waits for the whole activation, or a killed engine leaves processes behind."""
    board.tools.with_name("state.json").write_text(json.dumps({"live": {"generation": ""}, "slow": 60}))
    with stack.start("up", "--yes", "--skip-preview") as engine:
        assert engine.stdout is not None
        seen = ""
        while "loading the model" not in seen:
            seen = engine.stdout.readline()
            assert seen, "the activation's progress was never shown"
        (plugin,) = plugins(engine)
        engine.send_signal(kill)
        assert until(lambda: not plugin.exists() or "Z" in (plugin / "stat").read_text())
        output, _ = engine.communicate(timeout=20)
    if kill == signal.SIGINT:
        assert "was left to end by itself" in output
