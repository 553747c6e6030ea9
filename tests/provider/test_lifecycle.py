"""Host and Generation from birth to death, through the real engine, against a real sshd."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from infra.hosttools.pollex_host import manifest
from sandbox.engine import CHECKOUT, SHIM, Pulumi, Result
from sandbox.serving import free_port
from tests.provider.conftest import HERE, Machine

SERVICE = "service llama-server.service"


def generation(text: str) -> dict[str, Any]:
    """The `manifest` and `live` inputs of a generation with one unit."""
    identity = hashlib.sha256(text.encode()).hexdigest()[:32]
    made = manifest.Generation(id=identity, units=(manifest.Unit(name="llama-server.service", text=text),))
    return {"manifest": manifest.text(made), "live": made.live()}


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

    def equip(self) -> None:
        """Put the tools there, with nothing live yet."""
        shutil.rmtree(self.tools.parent, ignore_errors=True)
        self.tools.parent.mkdir()
        shutil.copy(HERE / "pollex-host", self.tools)

    def reflash(self) -> None:
        """Take away everything that was set up."""
        shutil.rmtree(self.mark.parent)
        shutil.rmtree(self.tools.parent)


@pytest.fixture
def board(machine: Machine, tmp_path: Path) -> Board:
    """A host on which nothing was done yet, but for the tools."""
    shutil.rmtree(machine.opt / "pollex", ignore_errors=True)
    fresh = Board(machine, tmp_path / "tools" / "pollex-host")
    fresh.equip()
    return fresh


@dataclass
class Stack:
    """A stack of the real engine that declares the host and a generation."""

    engine: Pulumi

    def declare(self, **changes: Any) -> None:
        """Change what the program declares."""
        file = self.engine.project / "declared.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(before | changes))

    def up(self, *options: str) -> Result:
        """`pulumi up`, which must succeed."""
        return self.engine.up("--diff", *options)

    def refused(self) -> str:
        """What `pulumi up` says when it fails."""
        result = self.engine.up("--diff", check=False)
        assert result.status != 0
        return said(result)


def said(result: Result) -> str:
    """All that a run printed."""
    return result.stdout + result.stderr


@pytest.fixture
def stack(board: Board, tmp_path: Path) -> Stack:
    """A stack that declares the host with the first generation."""
    if not SHIM.exists():
        pytest.fail(f"{SHIM} is missing: run `make toolchain`")
    project = tmp_path / "project"
    (project / "stacks").mkdir(parents=True)
    shutil.copy(HERE / "program.py", project / "__main__.py")
    plugins = {"providers": [{"name": "pollex", "path": str(CHECKOUT / "infra" / "provider")}]}
    settings = {"name": "trial", "runtime": "python", "stackConfigDir": "stacks", "plugins": plugins}
    (project / "Pulumi.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (project / "stacks" / "Pulumi.sandbox.yaml").write_text("config: {}\n")
    made = Stack(
        Pulumi(
            project=project,
            stack="sandbox",
            state=tmp_path / "state",
            environment={"PYTHONPATH": str(CHECKOUT)},
        )
    )
    made.declare(connection=board.machine.connection(), needs={}, tools=str(board.tools), **FIRST)
    return made


def test_a_preview_contacts_nobody(stack: Stack, board: Board) -> None:
    """If this fails, nobody can look at the plan without the board."""
    stack.declare(connection=board.machine.connection(port=free_port()))
    assert stack.engine.preview().steps == {"host": "create", "generation": "create"}


def test_a_host_that_is_not_ready_stays_untouched(stack: Stack, board: Board) -> None:
    """If this fails, an `up` that was bound to fail has already changed the host, or hides half of the reasons."""
    stack.declare(needs={"architecture": "vax", "diskMb": 100_000, "memoryMb": 1e9, "commands": ["no-such-compiler"]})
    report = stack.refused()
    for setting in ("host.architecture", "host.minDiskMb", "host.minMemoryMb", "build.packages"):
        assert f"pollex:{setting}: " in report
    assert "4 problems; nothing was changed on it" in report
    assert not board.mark.exists()

    stack.declare(needs={})
    assert stack.up().steps == {"host": "create", "generation": "create"}
    assert re.fullmatch("[0-9a-f]{32}", board.mark.read_text())
    assert stack.up().changes == {}
    assert board.state["activations"] == 1


def test_drift_is_named_and_mended(stack: Stack, board: Board) -> None:
    """If this fails, a stopped service or a foreign generation goes unnoticed, or stays."""
    stack.up()
    foreign = "f" * 32
    board.change(live={SERVICE: "inactive", "generation": foreign})
    assert f'~ {SERVICE}: "active" => "inactive"' in said(stack.engine.preview("--refresh", "--diff"))
    refreshed = said(stack.engine.refresh("--diff"))
    assert f"drifted: {SERVICE} is inactive, and was active" in refreshed
    assert f"drifted: generation is {foreign}, and was {FIRST['live']['generation']}" in refreshed
    assert f'~ {SERVICE}: "active" => "inactive"' in refreshed

    mended = stack.up("--refresh")
    assert mended.steps == {"host": "same", "generation": "update"}
    assert f'~ {SERVICE}: "inactive" => "active"' in said(mended)
    assert board.state["live"] == FIRST["live"]
    assert stack.up("--refresh").changes == {}


@pytest.mark.fault("up", "a generation serves", "a new one is unhealthy", "the state is the former one")
def test_a_failed_activation_keeps_the_former_state(stack: Stack, board: Board) -> None:
    """If this fails, the stack believes in a generation that the host has taken back."""
    stack.up()
    stack.declare(**SECOND)
    board.change(fail=7)
    report = stack.refused()
    assert "returned to what was live before (exit status 7)" in report
    assert "error: unable to load model" in report

    stack.declare(**FIRST)
    assert stack.up().changes == {}
    stack.declare(**SECOND)
    assert stack.up().steps == {"host": "same", "generation": "update"}
    assert board.state["live"] == SECOND["live"]
    assert stack.engine.outputs()["generation"] == SECOND["live"]["generation"]


def test_destroy_undoes_and_unmarks(stack: Stack, board: Board) -> None:
    """If this fails, a destroyed stack leaves a service running that nothing knows of."""
    stack.up()
    assert stack.engine.destroy().changes == {"delete": 2}
    assert board.state["live"] == {"generation": ""}
    assert not board.mark.exists()


@pytest.mark.fault("up", "a generation serves", "the board is reflashed", "all of it is made again")
def test_a_reflashed_board_is_done_again(stack: Stack, board: Board) -> None:
    """If this fails, a board with a new system looks finished, or blocks the stack for good."""
    stack.up()
    before = board.mark.read_text()
    board.reflash()
    refreshed = stack.engine.refresh("--diff")
    assert "has no /opt/pollex/id: it was set up anew" in said(refreshed)
    assert "the next `pulumi up` activates again" in said(refreshed)
    board.equip()
    assert stack.up().steps == {"host": "update", "generation": "create"}
    assert board.mark.read_text() != before
    assert board.state["live"] == FIRST["live"]


def test_another_board_is_activated_too(stack: Stack, board: Board) -> None:
    """If this fails, a board that was exchanged behind the same address is left without its service."""
    stack.up()
    board.mark.write_text("0" * 32)
    assert stack.up("--refresh").steps == {"host": "same", "generation": "update"}
    assert board.state["activations"] == 2


def test_destroy_of_a_reflashed_board_succeeds(stack: Stack, board: Board) -> None:
    """If this fails, a stack cannot be destroyed once its board has a new system."""
    stack.up()
    board.reflash()
    destroyed = stack.engine.destroy()
    assert "there was nothing to undo" in said(destroyed)
    assert destroyed.changes == {"delete": 2}


def test_destroy_of_a_board_that_is_gone_says_the_way(stack: Stack, board: Board) -> None:
    """If this fails, a dead board keeps its stack alive for ever."""
    stack.up()
    exported = json.loads(stack.engine.run("stack", "export", "--show-secrets").stdout)
    for resource in exported["deployment"]["resources"]:
        if "connection" in resource.get("inputs", {}):
            resource["inputs"]["connection"]["port"] = free_port()
    stack.engine.run("stack", "import", text=json.dumps(exported))
    destroyed = stack.engine.destroy(check=False)
    assert destroyed.status != 0
    assert "pollex:host.port" in said(destroyed)
    assert "docs/how-to/deploy-jetson.md#a-board-that-is-gone" in said(destroyed)
    urn = re.findall(r"pulumi state delete '(.*)'", said(destroyed))[0]
    stack.engine.run("state", "delete", "--yes", urn)


def test_the_private_key_stays_secret(stack: Stack, board: Board) -> None:
    """If this fails, the key to the board is readable in the state file or in a build log."""
    key = board.machine.private_key.splitlines()[2]
    output = said(stack.up())
    board.change(live={SERVICE: "failed"})
    output += said(stack.engine.refresh("--diff"))
    stack.declare(connection=board.machine.connection(hostKey=None))
    output += stack.refused()
    state = stack.engine.run("stack", "export").stdout
    assert key not in output
    assert key not in state
    assert key in stack.engine.run("stack", "export", "--show-secrets").stdout
    outputs = [found["outputs"] for found in json.loads(state)["deployment"]["resources"] if "outputs" in found]
    assert "connection" not in json.dumps(outputs)


def urn(stack: Stack, name: str) -> str:
    """What the engine calls a resource."""
    resources = json.loads(stack.engine.run("stack", "export").stdout)["deployment"]["resources"]
    (found,) = [resource["urn"] for resource in resources if resource["urn"].endswith(f"::{name}")]
    return str(found)


@pytest.mark.parametrize("how", ["replace", "taint"])
@pytest.mark.parametrize("name", ["host", "generation"])
def test_a_replaced_resource_is_what_it_was(stack: Stack, board: Board, name: str, how: str) -> None:
    """If this fails, `up --replace` takes the service or the board's mark away and reports success."""
    stack.up()
    if how == "taint":
        stack.engine.run("state", "taint", "--yes", urn(stack, name))
        done = stack.up()
    else:
        done = stack.up("--replace", urn(stack, name))
    assert done.steps[name] == "replace"
    assert board.state["live"] == FIRST["live"]
    assert re.fullmatch("[0-9a-f]{32}", board.mark.read_text())
    assert stack.up("--refresh").changes == {}
    assert stack.engine.destroy().changes == {"delete": 2}
    assert board.state["live"] == {"generation": ""}
    assert not board.mark.parent.exists()


def another(stack: Stack, folder: Path) -> Stack:
    """A stack of the same name on another laptop, declaring the same."""
    shutil.copytree(stack.engine.project, folder / "project")
    return Stack(replace(stack.engine, project=folder / "project", state=folder / "state"))


def test_another_stack_is_refused_until_it_is_wanted(stack: Stack, board: Board, tmp_path: Path) -> None:
    """If this fails, two laptops overwrite and destroy each other's service without a word."""
    stack.up()
    owner = json.loads((board.mark.parent / "owner.json").read_text())["owner"]
    assert re.fullmatch("trial/sandbox#[0-9a-f]{8}", owner)
    other = another(stack, tmp_path / "other")
    other.declare(**SECOND)
    before = board.state
    report = other.refused()
    assert f"belongs to the stack {owner}, and this is trial/sandbox" in report
    assert f"pulumi config set --path pollex:host.takeover '{owner}'" in report
    other.declare(takeover="trial/sandbox#00000000")
    assert owner in other.refused()
    assert board.state == before

    other.declare(takeover=owner)
    assert f"was taken over from the stack {owner}" in said(other.up())
    assert other.up("--refresh").changes == {}
    assert board.state["live"] == SECOND["live"]
    stack.declare(needs={"diskMb": 1})
    assert "takeover" in stack.refused()
    assert "belongs to the stack trial/sandbox#" in said(stack.engine.refresh())
    left = said(stack.engine.destroy())
    assert f"and not to {owner}" in left
    assert board.state["live"] == SECOND["live"]
    assert board.mark.exists()
    assert other.engine.destroy().changes == {"delete": 2}
    assert not board.mark.parent.exists()


def test_a_board_that_was_taken_back_is_as_declared_again(stack: Stack, board: Board, tmp_path: Path) -> None:
    """If this fails, a board that one takes back goes on running what somebody else declared, and `up` says same."""
    stack.up()
    own = json.loads((board.mark.parent / "owner.json").read_text())["owner"]
    first = board.mark.read_text()
    other = another(stack, tmp_path / "other")
    other.declare(takeover=own, **SECOND)
    other.up()
    assert board.mark.read_text() != first
    theirs = json.loads((board.mark.parent / "owner.json").read_text())["owner"]
    stack.declare(takeover=theirs)
    assert stack.up().steps == {"host": "update", "generation": "update"}
    assert board.state["live"] == FIRST["live"]
    # it is no longer theirs to take down, though nothing told their state
    assert "left alone" in said(other.engine.destroy())
    assert board.state["live"] == FIRST["live"]
    assert stack.up("--refresh").changes == {}


def test_a_state_from_before_claims_claims(stack: Stack, board: Board) -> None:
    """If this fails, a board that was set up before can be neither updated nor destroyed, or belongs to nobody."""
    stack.up()
    exported = json.loads(stack.engine.run("stack", "export", "--show-secrets").stdout)
    for resource in exported["deployment"]["resources"]:
        for side in ("inputs", "outputs"):
            for name in ("owner", "holder", "address", "stack"):
                resource.get(side, {}).pop(name, None)
    stack.engine.run("stack", "import", text=json.dumps(exported))
    (board.mark.parent / "owner.json").unlink()
    assert stack.up().steps == {"host": "update", "generation": "update"}
    assert "trial/sandbox#" in (board.mark.parent / "owner.json").read_text()
    assert stack.up("--refresh").changes == {}
    assert stack.engine.destroy().changes == {"delete": 2}


def test_a_move_is_said(stack: Stack, board: Board) -> None:
    """If this fails, a changed address leaves a service running on the former board that nobody thinks of."""
    stack.up()
    board.mark.write_text("0" * 32)
    stack.declare(connection=board.machine.connection(address="localhost"))
    (board.mark.parent / "owner.json").unlink()
    moved = said(stack.up())
    user = board.machine.connection()["user"]
    port = board.machine.port
    assert f"moves from {user}@127.0.0.1:{port} to {user}@localhost:{port}" in moved
    assert "pollex-host deactivate" in moved


def test_a_resource_that_is_there_already_cannot_be_imported(stack: Stack, board: Board) -> None:
    """If this fails, `pulumi import` makes a state that knows half of a host."""
    stack.up()
    done = stack.engine.run("import", "--yes", "pollex:index:Generation", "other", "x", check=False)
    assert done.status != 0
    assert "cannot be imported: declare it and run `pulumi up`" in said(done)


def plugins(engine: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of our plugin that an engine started."""
    return [
        process
        for process in psutil.process_iter(["ppid", "cmdline"])
        if process.info["ppid"] == engine.pid and "infra.provider" in " ".join(process.info["cmdline"] or ())
    ]


@pytest.mark.fault("up", "up runs", "the engine is ended, or killed", "its plugin ends")
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_an_end_of_the_engine_ends_the_plugin(stack: Stack, board: Board, kill: signal.Signals) -> None:
    """If this fails, ^C waits for the whole activation, or a killed engine leaves processes behind."""
    board.tools.with_name("state.json").write_text(json.dumps({"live": {"generation": ""}, "slow": 3600}))
    with stack.engine.popen_up() as engine:
        assert engine.stdout is not None
        seen = ""
        while "loading the model" not in seen:
            seen = engine.stdout.readline()
            assert seen, "the activation's progress was never shown"
        (plugin,) = plugins(engine)
        engine.send_signal(kill)
        with suppress(psutil.NoSuchProcess):
            while plugin.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
        output, _ = engine.communicate()
    if kill == signal.SIGINT:
        assert "was left to end by itself" in output
