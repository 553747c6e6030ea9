"""Logins to a real sshd: each way in which one fails names the setting that mends it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.provider import ssh
from infra.provider.connection import Connection
from infra.provider.problems import Lost, Unreachable
from sandbox.serving import free_port
from tests.provider.conftest import Machine, keygen


def run(connection: dict[str, Any], command: str, stdin: str = "") -> tuple[ssh.Completed, list[str]]:
    """Run one command over a connection of its own, and what it logged."""
    lines: list[str] = []

    async def session() -> ssh.Completed:
        async with ssh.connect(Connection.parse(connection)) as host:
            return await host.run(command, stdin=stdin, log=lines.append)

    return asyncio.run(session()), lines


def refusal(connection: dict[str, Any]) -> tuple[str, str]:
    """The setting and the text with which a login is refused."""
    with pytest.raises(Unreachable) as refused:
        run(connection, "true")
    (problem,) = refused.value.problems
    return problem.setting, problem.text


def test_a_command_gets_stdin_and_gives_lines(machine: Machine) -> None:
    """If this fails, manifests do not arrive, or progress and results get mixed up."""
    ended, lines = run(machine.connection(), "cat; echo one >&2; printf 'two\\rthree\\n' >&2; exit 7", stdin="ü\n")
    assert ended == ssh.Completed(7, "ü", ("one", "two", "three"))
    assert lines == ["one", "two", "three"]


def test_an_endless_line_is_cut(machine: Machine) -> None:
    """If this fails, a tool that prints a megabyte without a line end blocks or fills the plugin."""
    ended, lines = run(machine.connection(), "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo after >&2")
    assert ended.status == 0
    assert [len(line) for line in lines] == [ssh.LINE_LIMIT + 1, len("after")]


@pytest.mark.fault("connection", "none", "the host has another key", "refused")
def test_a_foreign_host_key_is_refused(machine: Machine, tmp_path: Path) -> None:
    """If this fails, a machine that poses as the board gets the login."""
    other = keygen(tmp_path / "other")
    setting, text = refusal(machine.connection(hostKey=other))
    assert setting == "pollex:host.hostKey"
    for key in (tmp_path / "other.pub", machine.folder / "host.pub"):
        assert fingerprint(key) in text
    assert f"ssh-keyscan -p {machine.port}" in text


def test_without_a_pinned_key_the_offered_one_is_shown(machine: Machine) -> None:
    """If this fails, a person without a pinned key learns nothing that could be compared with the board."""
    setting, text = refusal(machine.connection(hostKey=None))
    assert setting == "pollex:host.hostKey"
    assert fingerprint(machine.folder / "host.pub") in text
    assert machine.host_key in text


def fingerprint(file: Path) -> str:
    """As ssh-keygen prints it."""
    shown = subprocess.run(["ssh-keygen", "-l", "-f", file], check=True, capture_output=True, text=True).stdout
    return shown.split()[1]


def test_a_refused_key_is_named(machine: Machine, tmp_path: Path) -> None:
    """If this fails, nobody can tell which of several keys was tried."""
    keygen(tmp_path / "other")
    private = (tmp_path / "other").read_text()
    setting, text = refusal(machine.connection(privateKey=private))
    assert setting == "pollex:host.user"
    assert fingerprint(tmp_path / "other.pub") in text
    assert "pollex:host.privateKeyFile" in text
    assert private.splitlines()[1] not in text


@pytest.mark.parametrize(
    ("password", "setting"),
    [(None, "pollex:privateKeyPassword"), ("wrong", "pollex:privateKeyPassword")],
    ids=["missing", "wrong"],
)
def test_a_locked_key_asks_for_its_password(
    machine: Machine, tmp_path: Path, password: str | None, setting: str
) -> None:
    """If this fails, an encrypted key looks like a broken one."""
    keygen(tmp_path / "locked", "-N", "sesame")
    private = (tmp_path / "locked").read_text()
    assert refusal(machine.connection(privateKey=private, privateKeyPassword=password))[0] == setting


def test_no_key_at_all_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a missing key is reported as a refused login."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert refusal(machine.connection(privateKey=None))[0] == "pollex:host.privateKeyFile"
    assert refusal(machine.connection(privateKey="nonsense"))[0] == "pollex:host.privateKeyFile"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """A running ssh-agent that holds no key."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
        while not path.exists():
            time.sleep(0.01)
        yield str(path)
        process.terminate()


def test_an_agent_logs_in(machine: Machine, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, people who keep their keys in an agent cannot use the project."""
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    connection = machine.connection(privateKey=None)
    assert "holds no key" in refusal(connection)[1]
    subprocess.run(["ssh-add", "-q", machine.folder / "login"], env={"SSH_AUTH_SOCK": agent}, check=True)
    assert run(connection, "true")[0].status == 0


def test_a_closed_port_is_named(machine: Machine) -> None:
    """If this fails, a wrong port looks like a dead board."""
    port = free_port()
    assert refusal(machine.connection(port=port))[0] == "pollex:host.port"
    assert refusal(machine.connection(port=port, address="localhost"))[0] == "pollex:host.port"


def test_a_name_that_does_not_resolve_is_told(machine: Machine) -> None:
    """If this fails, a typo in the address looks like a network problem."""
    setting, text = refusal(machine.connection(address="no-such-board.invalid"))
    assert setting == "pollex:host.address"
    assert "no-such-board.invalid does not resolve" in text


@pytest.mark.fault("connection", "none", "a host accepts and says nothing", "told")
def test_silence_is_told_within_seconds(machine: Machine) -> None:
    """If this fails, a board that is switched off costs minutes of waiting."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        # a full queue drops every further request to connect, as an address behind which nothing is does
        deaf.listen(0)
        for client in (first, second):
            client.settimeout(0)
            client.connect_ex(deaf.getsockname())
        setting, text = refusal(machine.connection(port=deaf.getsockname()[1]))
    assert setting == "pollex:host.address"
    # the provider's own limit ended it, and not the kernel's, which comes after minutes
    assert "nothing answers" in text
    assert f"within {ssh.DIAL_S:.0f} s" in text


def test_something_else_on_the_port_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a port that leads to another service hangs the preflight."""
    monkeypatch.setattr(ssh, "LOGIN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert refusal(machine.connection(port=silent.getsockname()[1]))[0] == "pollex:host.port"


def test_a_machine_in_between_carries_the_login(machine: Machine) -> None:
    """If this fails, a board behind a gateway cannot be reached, or the wrong machine is blamed."""
    between = machine.connection()
    ended, _ = run(machine.connection(proxy=between), "echo through")
    assert ended.stdout == "through"
    assert refusal(machine.connection(port=free_port(), proxy=between))[0] == "pollex:host.address"
    assert refusal(machine.connection(proxy={**between, "port": free_port()}))[0] == "pollex:host.proxyJump.port"


@pytest.mark.fault("connection", "a command runs", "the connection is lost", "the error says how to go on")
def test_a_lost_connection_says_how_to_go_on(machine: Machine) -> None:
    """If this fails, a board that reboots in the middle leaves a stack trace instead of the next step."""
    with pytest.raises(Lost, match="pulumi up"):
        run(machine.connection(), "kill -9 $PPID; sleep 5")


@pytest.mark.parametrize("line", ['echo "Welcome to your Jetson"; echo', 'printf "a line without an end"'])
def test_what_a_start_file_prints_is_no_answer(machine: Machine, line: str) -> None:
    """If this fails, a line in .bashrc becomes the board's identity, and everything is done again and again."""
    greeting = machine.folder / "greeting"
    # what the login's shell prints before the command
    key = (machine.folder / "authorized").read_text()
    greeting.write_text(f'{line}; eval "$SSH_ORIGINAL_COMMAND"\n')
    (machine.folder / "authorized").write_text(f'command="sh {greeting}" {key}')
    try:
        ended, _ = run(machine.connection(), "cat; exit 3", stdin="an answer\n")
    finally:
        (machine.folder / "authorized").write_text(key)
    assert ended == ssh.Completed(3, "an answer", ())


def test_where_a_name_led_is_known(machine: Machine) -> None:
    """If this fails, commands look a name up by themselves that only this machine's own resolver knows."""

    async def first(connection: dict[str, Any]) -> str:
        async with ssh.connect(Connection.parse(connection)) as host:
            return host.first

    assert asyncio.run(first(machine.connection(address="localhost"))) == "127.0.0.1"
    between = machine.connection(address="localhost")
    assert asyncio.run(first(machine.connection(proxy=between))) == "127.0.0.1"


def test_a_dead_agent_is_told_although_a_key_is_declared(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, the preflight passes and the first command fails on an agent that nobody asked for."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    setting, text = refusal(machine.connection())
    assert setting == "SSH_AUTH_SOCK"
    assert "`unset SSH_AUTH_SOCK`" in text
    monkeypatch.setenv("SSH_AUTH_SOCK", "")
    assert run(machine.connection(), "true")[0].status == 0
