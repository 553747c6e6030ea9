"""`pollex models`, `pollex health`, `pollex completion` and the options that they share."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pollex import __version__
from tests.cli.conftest import COMMAND, Answer, Pollex, Scripted

Script = Callable[..., Scripted]

MODELS = [
    {"id": "qwen2.5:1.5b", "name": "Qwen\t2.5", "provider": "ollama"},
    {"id": "qwen2.5:1.5b-gpu", "name": "Qwen [bold]GPU[/bold]", "provider": "llamacpp"},
]


def test_lists_models_of_a_real_service(pollex: Pollex, service: str) -> None:
    """If this fails, nobody learns what to write after --model."""
    at = pollex.at(service)
    plain = at("models")
    assert plain.returncode == 0
    assert plain.stdout.split(b"\t")[0] == b"mock"
    assert [model["id"] for model in json.loads(at("models", "--json").stdout)] == ["mock"]


def test_a_row_is_a_line_in_a_pipe(pollex: Pollex, scripted: Script) -> None:
    """If this fails, `pollex models | cut -f1` gives anything but ids."""
    done = pollex.at(scripted(Answer.json(200, MODELS)).url)("models")
    assert done.stdout.decode() == "qwen2.5:1.5b\tQwen 2.5\tollama\nqwen2.5:1.5b-gpu\tQwen [bold]GPU[/bold]\tllamacpp\n"


def test_a_table_on_a_terminal(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a person sees ragged columns, or a server's text acts as markup."""
    seen = pollex.at(scripted(Answer.json(200, MODELS)).url).on_a_terminal("models", env={"NO_COLOR": "1"})
    lines = [line.rstrip() for line in seen.splitlines() if "qwen" in line]
    assert lines[1].split() == ["qwen2.5:1.5b-gpu", "Qwen", "[bold]GPU[/bold]", "llamacpp"]
    assert lines[0].index("ollama") == lines[1].index("llamacpp")


def test_a_reader_may_leave(pollex: Pollex, scripted: Script) -> None:
    """If this fails, `pollex models | head -1` prints a traceback under the answer."""
    many = Answer.json(200, [{"id": f"m{number}", "name": "x" * 100, "provider": "p"} for number in range(5000)])
    process = pollex.at(scripted(many).url).start("models", stdin=b"")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"m0\t")
    process.stdout.close()
    process.stdout = None
    assert process.communicate()[1] == b""
    assert process.returncode == 141


def test_starts_without_an_output(pollex: Pollex, service: str) -> None:
    """If this fails, a job whose output was closed from the beginning fills a mailbox with tracebacks."""

    def ended(closed: str) -> subprocess.CompletedProcess[bytes]:
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "models"]
        return subprocess.run(command, env=pollex.at(service).environment(), capture_output=True, check=False)

    assert (ended(">&-").returncode, ended(">&-").stderr) == (141, b"")
    assert (ended("2>&-").returncode, ended("2>&-").stdout) == (0, b"mock\tMock (dev)\tmock\n")


def test_health_of_a_real_service(pollex: Pollex, service: str) -> None:
    """If this fails, `pollex health` cannot guard a script."""
    at = pollex.at(service)
    assert (at("health").returncode, at("health").stdout) == (0, b"mock\tavailable\t\n")
    assert json.loads(at("health", "--json").stdout)["adapters"] == {"mock": {"available": True}}


@pytest.mark.parametrize(
    ("adapters", "status"),
    [
        ({"a": {"available": False, "reason": "llama-server unreachable"}, "b": {"available": True}}, 0),
        ({"a": {"available": False, "reason": "llama-server unreachable"}}, 1),
        ({}, 1),
    ],
)
def test_health_counts_what_can_answer(
    pollex: Pollex, scripted: Script, adapters: dict[str, dict[str, object]], status: int
) -> None:
    """If this fails, a service that can polish nothing passes for healthy, or one with a fallback for dead."""
    server = scripted(Answer.json(200, {"status": "ok", "version": "1", "adapters": adapters}))
    done = pollex.at(server.url)("health")
    assert done.returncode == status
    assert done.stdout.decode().startswith("a\tdown\tllama-server unreachable\n" if adapters else "")


def test_a_service_without_models_says_so(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a service that is not configured gives an error about something else."""
    done = pollex.at(scripted(Answer.json(200, [])).url)("polish", stdin=b"text")
    assert (done.returncode, b"offers no model" in done.stderr) == (1, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(pollex: Pollex, shell: str) -> None:
    """If this fails, a shell's start-up file gets an error instead of a completion."""
    done = pollex("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"_POLLEX_COMPLETE" in done.stdout


def test_bash_completes_models(pollex: Pollex, scripted: Script, tmp_path: Path) -> None:
    """If this fails, TAB after --model shows files, or nothing, or the models of another service."""
    server = scripted(Answer.json(200, MODELS))
    program = tmp_path / "bin" / "pollex"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    script = f"""
        PATH={program.parent}:$PATH
        eval "$(pollex completion bash)"
        COMP_WORDS=(pollex polish --url {server.url} --model qwen) COMP_CWORD=5
        "$(complete -p pollex | sed 's/.* -F \\([^ ]*\\).*/\\1/')" pollex
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=pollex.environment(), capture_output=True, check=True)
    assert done.stdout.decode().split() == ["qwen2.5:1.5b", "qwen2.5:1.5b-gpu"], done.stderr


def test_completion_is_quiet_without_a_service(pollex: Pollex) -> None:
    """If this fails, TAB prints an error into the command line while the board is off."""
    done = pollex(
        env={"_POLLEX_COMPLETE": "bash_complete", "COMP_WORDS": "pollex polish --model ", "COMP_CWORD": "3"},
    )
    assert (done.stdout.strip(), done.stderr) == (b"", b"")


def test_says_its_version_and_its_usage(pollex: Pollex) -> None:
    """If this fails, a bug report cannot name a version, or a typing mistake gets no usage."""
    assert pollex("--version").stdout.decode() == f"pollex {__version__}\n"
    wrong = pollex("polsh")
    assert (wrong.returncode, b"No such command 'polsh'" in wrong.stderr) == (2, True)


def test_is_installed_as_a_command(pollex: Pollex) -> None:
    """If this fails, the package installs no `pollex`, whatever the module can do."""
    command = Path(sys.executable).with_name("pollex")
    assert subprocess.run([command, "--version"], capture_output=True, check=True).stdout.startswith(b"pollex ")
