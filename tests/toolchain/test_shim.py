"""infra/toolchain/shim: which stack a command line means, and what the real command is given for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.engine import CHECKOUT

FAKE = f"""\
#!{sys.executable}
import json, os, sys
arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps({{"arguments": arguments, "environment": dict(os.environ)}}) + "\\n")
if "--show-name" in arguments:
    selected = os.environ.get("SELECTED", "")
    print(selected)
    sys.exit(not selected)
"""


@dataclass(frozen=True)
class Call:
    """What the command was called with."""

    arguments: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Run:
    """What the shim said, and its calls of the command."""

    status: int
    stderr: str
    calls: list[Call]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the last call."""
        return self.calls[-1].environment


class Shim:
    """A checkout with the real shim in front of a command that only records its calls."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "check out"
        self.home = folder / "home"
        self.toolchain = self.checkout / ".toolchain"
        for made in ("bin", "libexec"):
            (self.toolchain / made).mkdir(parents=True)
        (self.checkout / "stacks").mkdir()
        (self.checkout / "Pulumi.yaml").write_text("name: pollex\nruntime: python\n")
        (self.toolchain / "bin/pulumi").symlink_to(CHECKOUT / "infra/toolchain/shim")
        fake = self.toolchain / "libexec/pulumi"
        fake.write_text(FAKE)
        fake.chmod(0o755)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Run:
        """Call pulumi in the checkout, with no more environment than is given."""
        calls = self.checkout / "calls"
        calls.write_text("")
        done = subprocess.run(
            [str(self.toolchain / "bin/pulumi"), *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "CALLS": str(calls), **(env or {})},
            cwd=cwd or self.checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stderr, [Call(**json.loads(line)) for line in calls.read_text().splitlines()])

    def passphrase_file(self) -> Path:
        """Set up the user's passphrase as the shim expects it."""
        file = self.home / ".config/pollex/passphrase"
        file.parent.mkdir(parents=True)
        file.write_text("a passphrase\n")
        file.chmod(0o600)
        return file


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    """A checkout of its own."""
    return Shim(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--stack", "board"],
        ["up", "--stack=board"],
        ["up", "-s", "board"],
        ["up", "-sboard"],
        ["--stack", "board", "up"],
        ["--color", "never", "-v", "3", "preview", "--stack", "board"],
        ["refresh", "-y", "--stack", "organization/pollex/board"],
        ["config", "set", "--path", "pollex:host.address", "x", "--stack", "board"],
        ["stack", "output", "--json", "-s", "board"],
        ["stack", "select", "board"],
        ["stack", "init", "--secrets-provider", "passphrase", "board"],
        ["state", "unprotect", "--all", "--stack", "board"],
        ["up", "--stack", "board", "--", "--stack", "sandbox"],
        ["destroy", "-m", "a message", "--stack", "board"],
    ],
    ids=" ".join,
)
def test_the_stack_is_found_in_the_arguments(shim: Shim, arguments: Sequence[str]) -> None:
    """A way of naming the stack that is overlooked would use another stack's passphrase and state."""
    run = shim.run(*arguments, env={"PULUMI_STACK": "sandbox"})
    assert run.status == 1
    assert "stack board has no passphrase" in run.stderr
    assert not run.calls


def test_the_stack_comes_from_the_environment_or_the_selection(shim: Shim) -> None:
    """`pulumi up` without a stack must mean the same stack here as Pulumi means."""
    assert "stack named has no" in shim.run("up", env={"PULUMI_STACK": "named", "SELECTED": "chosen"}).stderr
    assert "stack chosen has no" in shim.run("up", env={"SELECTED": "chosen"}).stderr
    assert "--stack sandbox" in shim.run("up").stderr


def test_the_project_is_found_from_below_and_by_flag(shim: Shim, tmp_path: Path) -> None:
    """From a subfolder, or with --cwd, the same stack would otherwise ask for its passphrase."""
    below = shim.checkout / "infra/deep"
    below.mkdir(parents=True)
    for run in (
        shim.run("up", "-s", "board", cwd=below),
        shim.run("-C", str(below), "up", "-s", "board", cwd=tmp_path),
    ):
        assert "stack board has no passphrase" in run.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["version"],
        ["login", "--local"],
        ["plugin", "ls"],
        ["up", "--help"],
        ["stack", "ls"],
        ["cancel", "--yes", "--stack", "board"],
        ["stack", "rm", "board", "--preserve-config"],
        [],
    ],
    ids=" ".join,
)
def test_commands_that_need_no_passphrase_pass(shim: Shim, arguments: Sequence[str]) -> None:
    """Whoever wants to know the version, or to cancel, must not have to set up a passphrase first."""
    run = shim.run(*arguments)
    assert run.status == 0
    assert [call.arguments for call in run.calls] == [list(arguments)]
    assert not any(name.startswith("PULUMI_CONFIG_PASSPHRASE") for name in run.environment)


def test_arguments_arrive_unchanged(shim: Shim) -> None:
    """A message or value with spaces, quotes and newlines would be torn apart."""
    arguments = ["config", "set", "-s", "sandbox", "key", "--", "a 'b' \"c\" $HOME *\nd\n"]
    assert shim.run(*arguments).calls[-1].arguments == arguments


@pytest.mark.parametrize("stack", ["sandbox", "sandbox-2"])
def test_the_sandbox_has_the_public_passphrase(shim: Shim, stack: str) -> None:
    """With the user's own passphrase the committed stack file of the sandbox could not be read."""
    environment = {"PULUMI_CONFIG_PASSPHRASE": "mine", "PULUMI_CONFIG_PASSPHRASE_FILE": str(shim.passphrase_file())}
    run = shim.run("up", "-s", stack, env=environment)
    assert run.environment["PULUMI_CONFIG_PASSPHRASE"] == "sandbox"
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in run.environment


def test_another_stack_has_the_users_passphrase(shim: Shim, tmp_path: Path) -> None:
    """Secrets of a real stack would be encrypted with a word that everybody knows."""
    for environment in ({"PULUMI_CONFIG_PASSPHRASE": ""}, {"PULUMI_CONFIG_PASSPHRASE_FILE": "/some/file"}):
        run = shim.run("up", "-s", "board", env=environment)
        given = {name: value for name, value in run.environment.items() if name.startswith("PULUMI_CONFIG_PASS")}
        assert given == environment
    file = shim.passphrase_file()
    assert shim.run("up", "-s", "board").environment["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(file)
    assert shim.run("up", "-s", "board", env={"XDG_CONFIG_HOME": str(tmp_path)}).status == 1


def test_the_stop_names_a_command_that_mends_it(shim: Shim) -> None:
    """A person without a passphrase has to know what to type, and what they type has to work."""
    stop = shim.run("preview", "-s", "board").stderr
    command = next(line for line in stop.splitlines() if "make one:" in line).partition(":")[2]
    subprocess.run(["sh", "-c", command], check=True)
    made = shim.home / ".config/pollex/passphrase"
    assert made.stat().st_mode & 0o777 == 0o600
    assert len(made.read_text().strip()) == 32
    assert shim.run("preview", "-s", "board").status == 0


def test_a_passphrase_that_others_can_read_is_refused(shim: Shim) -> None:
    """A passphrase in a file open to every user of the machine protects nothing."""
    shim.passphrase_file().chmod(0o644)
    run = shim.run("up", "-s", "board")
    assert run.status == 1
    assert "chmod 600" in run.stderr


def test_no_passphrase_where_secrets_are_kept_otherwise(shim: Shim) -> None:
    """Users of Pulumi Cloud or a key service would be asked for something that is never used."""
    assert shim.run("up", "-s", "board", env={"PULUMI_BACKEND_URL": "https://api.pulumi.com"}).status == 0
    stack_file = shim.checkout / "stacks/Pulumi.board.yaml"
    stack_file.write_text("secretsprovider: awskms://key\n")
    assert shim.run("up", "-s", "board").status == 0
    stack_file.write_text("secretsprovider: passphrase\n")
    assert shim.run("up", "-s", "board").status == 1


def test_environment_of_the_command(shim: Shim) -> None:
    """State, plugins and Python would be those of the user's other projects."""
    seen = shim.run("up", "-s", "sandbox").environment
    assert seen["PATH"].split(":")[:2] == [f"{shim.checkout}/.venv/bin", f"{shim.toolchain}/bin"]
    assert seen["PULUMI_HOME"] == f"{shim.toolchain}/home"
    assert seen["PULUMI_BACKEND_URL"] == f"file://{shim.checkout}/.state"
    assert (shim.checkout / ".state").is_dir()
    assert seen["PULUMI_SKIP_UPDATE_CHECK"] == "true"
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in seen
    (shim.toolchain / "bin/pulumi-resource-command").touch()
    seen = shim.run("version", env={"PULUMI_BACKEND_URL": "s3://bucket"}).environment
    assert seen["PULUMI_BACKEND_URL"] == "s3://bucket"
    assert seen["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["-v=9"], True), (["-v", "11"], True), (["--verbose=9"], True), (["-v9"], True), (["-v=8"], False), ([], False)],
)
def test_a_log_with_secrets_is_announced(shim: Shim, arguments: Sequence[str], *, said: bool) -> None:
    """If this fails, whoever posts a log to get help posts the stack's secrets with it."""
    run = shim.run("preview", "--stack", "sandbox", "--logtostderr", *arguments)
    assert run.status == 0
    assert ("writes secrets into its log" in run.stderr) == said


def test_an_unprepared_toolchain_is_said(shim: Shim) -> None:
    """Right after a clone, `pulumi` has to say which command comes first."""
    (shim.toolchain / "libexec/pulumi").unlink()
    run = shim.run("version")
    assert run.status == 1
    assert run.stderr == f"pollex: the toolchain is not prepared: make -C '{shim.checkout}' toolchain\n"
