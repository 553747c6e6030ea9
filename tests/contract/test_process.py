"""The plugin as a process: how it starts, and that it ends with its engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pulumi_command import local, remote

from sandbox.plugins.command.testing import STAND_IN
from sandbox.serving import NEVER
from tests.waiting import wait_until

if TYPE_CHECKING:
    from sandbox.plugins.command.testing import Sshd, Workshop


@pytest.fixture
def variables(sshd: Sshd, tmp_path: Path) -> dict[str, str]:
    """What the whole program reads: its command says when it runs, and ends when nobody listens any more."""
    return {
        "CONTRACT_CONNECTION": json.dumps(sshd.arguments()),
        "CONTRACT_COPY": str(tmp_path / "copy"),
        "CONTRACT_COMMAND": f"touch {tmp_path}/started; while echo tick; do sleep 0.2; done",
    }


def whole_program(workshop: Workshop) -> None:
    """Puts the whole program into the workshop, and makes its stack."""
    shutil.copytree(Path(__file__).with_name("project"), workshop.folder / "project", dirs_exist_ok=True)
    with workshop.running("stack", "init") as process:
        assert process.wait() == 0


def test_relative_sources(workshop: Workshop, variables: dict[str, str], tmp_path: Path) -> None:
    """If this fails, `infra/hosttools` is looked for in another folder than the program's."""
    whole_program(workshop)
    with workshop.running("up", "--yes", "--skip-preview", **variables | {"CONTRACT_COMMAND": "true"}) as up:
        output, _ = up.communicate(timeout=NEVER)
    assert up.returncode == 0, output
    assert (tmp_path / "copy").read_text() == "from the program's folder\n"


def test_interrupt(stand_in: Workshop, variables: dict[str, str], tmp_path: Path) -> None:
    """If this fails, ^C waits for an 85-minute build to end."""
    whole_program(stand_in)
    with stand_in.running("up", "--yes", "--skip-preview", **variables) as up:
        wait_until((tmp_path / "started").exists)
        os.killpg(up.pid, signal.SIGINT)
        output, _ = up.communicate(timeout=NEVER)  # the command itself would go on for ever
        assert up.returncode != 0
        assert "cancelled: the connection was closed" in output
        assert "Traceback" not in output
        wait_until(lambda: not stand_in.plugins())
    assert set(stand_in.state()) == {"notes"}, "the state is not locked, and holds what was made"


def test_killed_engine(workshop: Workshop, variables: dict[str, str], tmp_path: Path) -> None:
    """If this fails, each killed `pulumi up` leaves a process behind."""
    whole_program(workshop)
    with workshop.running("up", "--yes", "--skip-preview", **variables) as up:
        wait_until((tmp_path / "started").exists)
        assert len(workshop.plugins()) == 1
        up.kill()
        wait_until(lambda: not workshop.plugins())


def test_long_lines(stand_in: Workshop, sshd: Sshd) -> None:
    """If this fails, one long line of output hangs `pulumi up` for good, as it does with the official plugin."""

    def program() -> None:
        remote.Command(
            "it", create="head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end", connection=sshd.connection()
        )

    result = stand_in.up(program)
    assert result.failure is None
    assert stand_in.state()["it"]["outputs"]["stdout"] == "x" * 1_000_000 + "\nend"
    assert "".join(result.shown("it")) == "x" * 1_000_000 + "end"
    assert max(map(len, result.shown("it"))) == 1 << 16


def test_what_the_stand_in_does_not_serve(stand_in: Workshop) -> None:
    """If this fails, a resource that only the official plugin has fails without a word on what to do."""

    def program() -> None:
        local.Command("it", create="true")

    result = stand_in.up(program)
    assert "serves command:remote:Command and command:remote:CopyToRemote, not command:local:Command" in str(
        result.failure
    )
    assert "pulumi plugin install resource command 1.2.1" in str(result.failure)


def test_start_through_a_link(tmp_path: Path) -> None:
    """If this fails, the engine cannot read the port, or the user's own modules replace the plugin's."""
    (tmp_path / "pulumi-resource-command").symlink_to(STAND_IN)
    (tmp_path / "grpc.py").write_text("raise SystemExit('the wrong module')")
    with socket.create_server(("127.0.0.1", 0)) as engine:
        address = f"127.0.0.1:{engine.getsockname()[1]}"
        process = subprocess.Popen(
            [str(tmp_path / "pulumi-resource-command"), "--logtostderr", address],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        port = int(process.stdout.readline())
        socket.create_connection(("127.0.0.1", port), timeout=NEVER).close()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=NEVER)
    assert (process.returncode, rest) == (0, "")


def test_start_by_hand() -> None:
    """If this fails, who starts the plugin by hand gets a traceback instead of an explanation."""
    done = subprocess.run([str(STAND_IN)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the engine's address is missing" in done.stderr
