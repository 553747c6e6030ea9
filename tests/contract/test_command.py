"""`command:remote:Command` through the real engine, against a real sshd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_command import remote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.plugins.command.testing import Sshd, Workshop

DEAD = {"host": "127.0.0.1", "port": 1, "private_key": "no key at all"}
"""A connection that cannot be made, for what must not need one."""


def command(name: str = "it", **inputs: Any) -> Callable[[], None]:
    """A program with one Command, whose outputs are the stack's."""

    def program() -> None:
        resource = remote.Command(name, **inputs)
        pulumi.export("stdout", resource.stdout)
        pulumi.export("stderr", resource.stderr)

    return program


def test_the_life_of_a_command(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, a stack cannot go from one plugin to the other without running everything again."""
    connection = sshd.connection()
    declared: dict[str, Any] = {
        "create": 'read line; printf "%s, %s\n\n" "$GREETING" "$line"; echo to stderr >&2',
        "delete": f'printf %s "$PULUMI_COMMAND_STDOUT" > {tmp_path}/deleted',
        "environment": {"GREETING": "hello"},
        "stdin": "world\n",
        "connection": connection,
    }
    made = workshop.up(command(**declared))
    assert made.steps == [("create", "it")]
    assert made.outputs == {"stdout": "hello, world\n", "stderr": "to stderr"}, "one newline is cut off each"
    assert workshop.up(command(**declared)).steps == []

    before = workshop.state()["it"]
    assert re.fullmatch(r"it[0-9a-f]{8}", before["id"])
    assert before["outputs"] == before["inputs"] | {"stdout": "hello, world\n", "stderr": "to stderr"}

    changed = declared | {"update": 'printf "was: %s" "$PULUMI_COMMAND_STDOUT"'}
    updated = workshop.up(command(**changed))
    assert (updated.steps, updated.diffs) == ([("update", "it")], {"it": {"update": "add"}})
    assert updated.outputs == {"stdout": "was: hello, world", "stderr": ""}
    assert workshop.state()["it"]["id"] == before["id"]

    assert workshop.destroy().steps == [("delete", "it")]
    assert (tmp_path / "deleted").read_text() == "was: hello, world"


def test_state_of_a_connection(workshop: Workshop, sshd: Sshd) -> None:
    """If this fails, private keys lie open in the state, or a switch of plugins runs everything again."""
    minimal = {"host": "127.0.0.1", "private_key": sshd.private_key, "password": "pass", "proxy": {"host": "elsewhere"}}
    workshop.up(command(connection=minimal))
    stored = str(workshop.state(secrets=False)["it"])
    assert "PRIVATE KEY" not in stored
    assert "127.0.0.1" not in stored

    state = workshop.state()["it"]
    assert set(state["inputs"]) == {"connection"}
    assert state["outputs"] == state["inputs"] | {"stdout": "", "stderr": ""}, "without create nothing runs"
    text = state["inputs"]["connection"]["plaintext"].replace("\\", "")
    for default in ('"user":"root"', '"port":22', '"dialErrorLimit":10', '"perDialTimeout":15'):
        assert text.count(default) == 2, default
    assert text.count("4dabf18193072939515e22adb298388d") == 2, "the key and the password are secrets of their own"


def test_preview(workshop: Workshop, sshd: Sshd) -> None:
    """If this fails, a preview needs the board, or promises outputs that the command has yet to produce."""

    def program(**first: Any) -> Callable[[], None]:
        def declare() -> None:
            one = remote.Command("one", **first)
            remote.Command("two", create=one.stdout.apply(lambda out: f"echo {out}"), connection=first["connection"])

        return declare

    dead = workshop.preview(program(create="echo a", connection=DEAD))
    assert (dead.failure, dead.steps) == (None, [("create", "one"), ("create", "two")])

    connection = sshd.connection()
    workshop.up(program(create="echo a", connection=connection))
    changed = workshop.preview(program(create="echo b", connection=connection))
    assert changed.steps == [("update", "one"), ("update", "two")], "a changed command may have other output"
    added = workshop.preview(program(create="echo a", stdin="x", connection=connection))
    assert added.steps == [("update", "one")], "an input that is only added leaves the output as it was"
    assert added.failure is None


def test_triggers_replace(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, the project's rule "no delete where there are triggers" rests on something that is not so."""
    log = tmp_path / "log"

    def declared(**more: Any) -> Callable[[], None]:
        verbs = {verb: f"echo {verb} >> {log}" for verb in ("create", "update", "delete")}
        return command(**verbs, connection=sshd.connection(), **more)

    def ran() -> list[str]:
        lines = log.read_text().split()
        log.write_text("")
        return lines

    workshop.up(declared())
    assert ran() == ["create"]
    for triggers in (["a"], ["b"], ["b", pulumi.StringAsset("text")], ["b", pulumi.StringAsset("other")], None):
        result = workshop.up(declared(**({"triggers": triggers} if triggers else {})))
        assert [step for step, _ in result.steps] == ["create-replacement", "replace", "delete-replaced"], triggers
        assert ran() == ["create", "delete"], triggers


def test_failures(workshop: Workshop, sshd: Sshd) -> None:
    """If this fails, a failed command looks like a success in the state, or its output and status are not told."""
    connection = sshd.connection()
    failed = workshop.up(command(create='echo "o\u00e9"; echo err >&2; exit 3\n', connection=connection))
    assert failed.failure is not None
    (message,) = failed.told("it", "error")[:1]
    quoted = r'"echo \"oé\"; echo err >&2; exit 3\n"'
    assert f"Process exited with status 3: running {quoted}:\n" in message
    assert {"oé", "err"} <= set(message.splitlines())
    assert workshop.state() == {}, "a failed create leaves nothing"

    workshop.up(command(create="echo good", connection=connection))
    before = workshop.state()["it"]
    for cause, status in {
        "kill -KILL $$": "Process exited with status 137 from signal KILL",
        "kill -KILL $PPID; sleep 1": "wait: remote command exited without exit status or exit signal",
    }.items():
        failed = workshop.up(command(create=f"echo partial; {cause}", connection=connection))
        assert failed.failure is not None, cause
        assert f"{status}: running " in failed.told("it", "error")[0]
        after = workshop.state()["it"]
        assert (after["inputs"], after["outputs"]) == (before["inputs"], before["outputs"]), (
            "a failed update changes nothing"
        )

    assert workshop.up(command(create="echo good", connection=connection, delete="exit 4")).failure is None
    assert workshop.destroy().failure is not None
    assert "it" in workshop.state(), "what could not be deleted stays in the state"


def test_environment_that_the_server_refuses(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, a command runs without a variable it was given and nobody is told."""
    connection = sshd.connection()
    touched = tmp_path / "ran"
    refused = workshop.up(command(create=f"touch {touched}", environment={"PRIVATE": "x"}, connection=connection))
    assert "Unable to set 'PRIVATE'. This only works if your SSH server is configured" in refused.told("it", "error")[0]
    assert 'could not set environment variable "PRIVATE": ssh: setenv failed' in refused.told("it", "error")[1]
    assert not touched.exists()

    def both(word: str) -> Callable[[], None]:
        def program() -> None:
            for name, wanted in (("it", True), ("bare", False)):
                remote.Command(
                    name,
                    create=f"echo {word}; echo err >&2; echo $PULUMI_COMMAND_STDOUT",
                    add_previous_output_in_env=wanted,
                    connection=connection,
                )

        return program

    workshop.up(both("first"))
    second = workshop.up(both("second"))
    assert second.failure is None
    assert "Unable to set 'PULUMI_COMMAND_STDERR'" in second.told("it", "warning")[0], "the server accepts only STDOUT"
    assert second.told("bare", "warning") == []
    outputs = {name: resource["outputs"]["stdout"] for name, resource in workshop.state().items()}
    assert outputs == {"it": "second\nfirst", "bare": "second\n"}


def test_logging(workshop: Workshop, sshd: Sshd) -> None:
    """If this fails, output that was meant to stay hidden is shown, or progress is not shown while a command runs."""
    connection = sshd.connection()
    script = r"printf 'out\n'; sleep 0.2; printf '1%%\r2%%\r\n\nlast' >&2"
    modes = {"none": [], "stdout": ["out"], "stderr": ["1%\r2%", "", "last"], "stdoutAndStderr": None, "default": None}

    def program() -> None:
        for mode in modes:
            logging: dict[str, Any] = {} if mode == "default" else {"logging": mode}
            remote.Command(mode, create=script, connection=connection, **logging)

    result = workshop.up(program)
    assert result.failure is None
    for mode, lines in modes.items():
        assert result.shown(mode) == (["out", "1%\r2%", "", "last"] if lines is None else lines), mode
        assert not result.told(mode, "info"), "lines pass by; they do not stay"
    assert all(resource["outputs"]["stderr"] == "1%\r2%\r\n\nlast" for resource in workshop.state().values())


def test_long_output(workshop: Workshop, sshd: Sshd) -> None:
    """If this fails, a command with much output is cut short."""
    result = workshop.up(
        command(create="head -c 1000000 /dev/zero | tr '\\0' x", logging="none", connection=sshd.connection())
    )
    assert result.failure is None
    assert result.outputs["stdout"] == "x" * 1_000_000


def test_output_that_is_not_text(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, a stack works here and fails with the official plugin, which cannot store such output."""
    result = workshop.up(command(create=f"touch {tmp_path}/ran; printf 'a\\377'", connection=sshd.connection()))
    assert result.failure is not None
    assert "invalid UTF-8" in " ".join(result.told("it", "error"))
    assert (tmp_path / "ran").exists()
    assert workshop.state() == {}
    told = workshop.up(command(create="printf 'a\\377\\nb\\n' >&2; exit 1", connection=sshd.connection()))
    assert "Process exited with status 1" in told.told("it", "error")[0]


def test_secrets(workshop: Workshop, sshd: Sshd) -> None:
    """If this fails, a secret input lies open in the state."""

    def program() -> None:
        remote.Command(
            "it",
            create=pulumi.Output.secret("cat; : hidden-command"),
            stdin=pulumi.Output.secret("hidden-input"),
            environment={"GREETING": pulumi.Output.secret("hidden-variable")},
            connection=sshd.connection(),
        )

    assert workshop.up(program).failure is None
    assert workshop.up(program).steps == []
    outputs = workshop.state(secrets=False)["it"]["outputs"]
    assert "hidden" not in str({key: value for key, value in outputs.items() if key != "stdout"})
    assert outputs["stdout"] == "hidden-input", "the output is not secret because of its inputs"


def test_refresh(workshop: Workshop, sshd: Sshd) -> None:
    """If this fails, `pulumi refresh` needs the host for resources that it cannot read anyway."""
    workshop.up(command(create=None, connection=DEAD))
    refreshed = workshop.refresh()
    assert (refreshed.failure, [step for step, _ in refreshed.steps if step != "refresh"]) == (None, [])


def test_a_changed_connection_runs_again(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, the project's rule that every command is idempotent rests on something that is not so."""
    for limit in (0, 1):
        connection = sshd.connection(dial_error_limit=limit)
        workshop.up(command(create=f"echo ran >> {tmp_path}/log", connection=connection))
    assert (tmp_path / "log").read_text() == "ran\nran\n"
