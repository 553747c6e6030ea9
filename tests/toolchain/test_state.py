"""Stacks and their state with the real Pulumi command: made without a question, and mended after a kill."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.toolchain import unlock
from sandbox.engine import CHECKOUT, SHIM, Pulumi
from sandbox.serving import NEVER
from tests.waiting import wait_for

MakeProject = Callable[..., Pulumi]


def stack_file(pulumi: Pulumi) -> Path:
    """The file with the stack's values."""
    return pulumi.project / f"stacks/Pulumi.{pulumi.stack}.yaml"


def test_the_first_up_creates_the_stack_and_keeps_its_file(make_project: MakeProject) -> None:
    """A fresh clone would ask for a stack, or its commented stack file would be laid out anew."""
    pulumi = make_project(folder="with a space")
    before = stack_file(pulumi).read_text()
    first = pulumi.preview()
    assert "created stack sandbox" in first.stderr
    assert first.steps == {"nap": "create"}
    salted = stack_file(pulumi).read_text()
    assert salted.startswith(before)
    assert salted.removeprefix(before).startswith("encryptionsalt: v1:")
    assert salted.removeprefix(before).count("\n") == 1
    assert pulumi.up().changes == {"create": 1}
    second = pulumi.up()
    assert second.changes == {}
    assert second.stderr == ""
    assert pulumi.outputs() == {"seconds": 0}
    assert stack_file(pulumi).read_text() == salted


def test_a_committed_salt_is_used_by_every_clone(make_project: MakeProject) -> None:
    """Each `make sandbox` would leave the clone with a changed file, and secrets that only one clone can read."""
    first = make_project()
    first.run("config", "set", "--secret", "pollex:word", "hidden")
    committed = stack_file(first).read_bytes()
    clone = make_project(folder="clone")
    stack_file(clone).write_bytes(committed)
    assert clone.run("config", "get", "pollex:word").stdout.strip() == "hidden"
    assert stack_file(clone).read_bytes() == committed


def test_a_given_config_file_leaves_the_stack_file_alone(make_project: MakeProject) -> None:
    """A preview of a pull request from a copy of the values would change the checkout."""
    pulumi = make_project()
    before = stack_file(pulumi).read_bytes()
    copy = pulumi.project / "copy.yaml"
    copy.write_bytes(before)
    preview = Pulumi(project=pulumi.project, stack="sandbox", state=pulumi.state, config_file=copy)
    assert preview.preview().steps == {"nap": "create"}
    assert stack_file(pulumi).read_bytes() == before
    stack_file(pulumi).unlink()
    elsewhere = Pulumi(project=pulumi.project, stack="sandbox", state=pulumi.project / "other", config_file=copy)
    assert elsewhere.preview().steps == {"nap": "create"}
    assert not stack_file(pulumi).exists()


def test_a_stack_without_passphrase_stops_on_a_terminal_too(make_project: MakeProject) -> None:
    """`pulumi preview --stack jetson` would wait for a passphrase to be typed."""
    pulumi = make_project("jetson")
    parent, child = pty.openpty()
    done = subprocess.run(
        [str(SHIM), "preview", "--stack", "jetson"],
        cwd=pulumi.project,
        env=pulumi.env(),
        stdin=child,
        stdout=child,
        stderr=subprocess.PIPE,
        text=True,
        timeout=NEVER,
        check=False,
    )
    os.close(parent)
    os.close(child)
    assert done.returncode == 1
    assert "stack jetson has no passphrase" in done.stderr
    assert not list(pulumi.state.iterdir())


def run_unlock(pulumi: Pulumi) -> subprocess.CompletedProcess[str]:
    """`make unlock` for a project of a test."""
    return subprocess.run(
        [sys.executable, "-m", "infra.toolchain.unlock", pulumi.stack, "--project", str(pulumi.project)],
        cwd=CHECKOUT,
        env=pulumi.env(),
        capture_output=True,
        text=True,
        check=False,
    )


def end_session(leader: subprocess.Popen[str]) -> None:
    """Kill what a killed pulumi left behind: the provider that still sleeps, and the language host."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == leader.pid:
                os.kill(pid, signal.SIGKILL)


def locks(pulumi: Pulumi) -> list[Path]:
    """The lock files of the stack."""
    return list((pulumi.state / ".pulumi/locks/organization/pollex" / pulumi.stack).glob("*.json"))


def test_unlock_after_a_kill(make_project: MakeProject) -> None:
    """After a killed `up` the stack would stay locked, or a lock would be taken from a run that still works."""
    pulumi = make_project(seconds=600)
    process = pulumi.popen_up()
    wait_for((pulumi.project / "began").exists, process)

    alive = run_unlock(pulumi)
    assert alive.returncode == 1
    assert f"process {process.pid}" in alive.stderr
    assert "libexec/pulumi up" in alive.stderr
    assert len(locks(pulumi)) == 1

    process.kill()
    process.wait()
    end_session(process)
    process.communicate()
    assert "currently locked by 1 lock(s)" in pulumi.up(check=False).stderr
    mended = run_unlock(pulumi)
    assert mended.returncode == 0, mended.stderr
    assert f"took away the lock of process {process.pid}" in mended.stdout
    assert "forgot that creating urn:pulumi:sandbox::pollex::pulumi-python:dynamic" in mended.stdout
    assert locks(pulumi) == []

    file = stack_file(pulumi)
    file.write_text(file.read_text().replace("600", "0"))
    again = pulumi.up()
    assert again.changes == {"create": 1}
    assert "pending" not in again.stdout + again.stderr
    nothing = run_unlock(pulumi)
    assert (nothing.returncode, nothing.stdout) == (0, "stack sandbox: nothing is locked\n")


def test_unlock_before_there_is_a_stack(make_project: MakeProject) -> None:
    """On a fresh clone, `make unlock` would create a stack or fail."""
    pulumi = make_project()
    done = run_unlock(pulumi)
    assert (done.returncode, done.stdout) == (0, "stack sandbox: nothing is locked\n")
    assert not list(pulumi.state.iterdir())


def test_unlock_leaves_a_lock_of_another_machine(make_project: MakeProject) -> None:
    """A run on another machine that shares the state would have its lock taken away."""
    pulumi = make_project()
    pulumi.up()
    lock = pulumi.state / ".pulumi/locks/organization/pollex/sandbox/x.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(json.dumps({"pid": 1, "username": "ada", "hostname": "elsewhere", "timestamp": "yesterday"}))
    done = run_unlock(pulumi)
    assert done.returncode == 1
    assert "ada@elsewhere" in done.stderr
    assert str(lock) in done.stderr
    assert lock.exists()


def test_a_reused_process_id_does_not_hold_a_lock(tmp_path: Path) -> None:
    """After a reboot some daemon has the old process id, and the stack could never be unlocked."""
    lock = tmp_path / "x.json"
    with subprocess.Popen(["sleep", "600"]) as other:
        lock.write_text(json.dumps({"pid": other.pid, "username": "ada", "hostname": socket.gethostname()}))
        unlock.Lock.read(lock).refuse_if_held()
        other.kill()
    lock.write_text('{"pid": 1')
    unlock.Lock.read(lock).refuse_if_held()


def test_unlock_says_where_it_cannot_help(make_project: MakeProject) -> None:
    """With the state in a bucket, `make unlock` would say that nothing is locked."""
    pulumi = make_project()
    elsewhere = Pulumi(
        project=pulumi.project,
        stack="sandbox",
        state=pulumi.state,
        environment={"PULUMI_BACKEND_URL": "s3://bucket"},
    )
    done = run_unlock(elsewhere)
    assert done.returncode == 1
    assert "s3://bucket" in done.stderr
