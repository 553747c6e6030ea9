"""`pollex config`: a stack's settings in each reader's form, and a service's settings checked."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pollex import keys, settings
from tests.cli.conftest import Pollex

TOOLCHAIN = Path(__file__).parents[2] / ".toolchain" / "libexec"

APP_CONFIG = {
    "pollex": {"port": 8090, "llamacpp_url": "http://127.0.0.1:8080", "llamacpp_model": "Größe & $1"},
    "mimir": {
        "MIMIR_EMBEDDINGS_ENABLED": "true",
        "MIMIR_EMBEDDINGS_API": "http://llama-server:8080",
        "MIMIR_EMBEDDINGS_API_PATH": "/v1/embeddings",
        "MIMIR_EMBEDDINGS_DIMENSIONS": 768,
    },
}

Stack = Callable[[object], dict[str, str]]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """`stack(appConfig)`: a real stack `board` with that output; the environment in which `pulumi` finds it."""
    env = {
        "PATH": f"{TOOLCHAIN}:{os.environ['PATH']}",
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "public",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_HOME": str(tmp_path / "home"),
    }
    (tmp_path / "Pulumi.yaml").write_text("name: tried\nruntime: yaml\n")

    def make(app_config: object) -> dict[str, str]:
        def pulumi(*arguments: str, text: str | None = None) -> str:
            command = ["pulumi", *arguments, "--stack", "board", "--non-interactive"]
            done = subprocess.run(
                command, env=os.environ | env, cwd=tmp_path, input=text, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        subprocess.run(
            ["pulumi", "stack", "init", "board", "--non-interactive"],
            env=os.environ | env,
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        state = json.loads(pulumi("stack", "export"))
        outputs = {} if app_config is None else {"appConfig": app_config}
        root = {
            "urn": "urn:pulumi:board::tried::pulumi:pulumi:Stack::tried-board",
            "type": "pulumi:pulumi:Stack",
            "custom": False,
            "outputs": outputs,
        }
        state["deployment"]["resources"] = [root]
        pulumi("stack", "import", text=json.dumps(state))
        return env

    return make


def show(pollex: Pollex, env: dict[str, str], form: str) -> subprocess.CompletedProcess[bytes]:
    folder = env["PULUMI_BACKEND_URL"].removeprefix("file://")
    return pollex("config", "show", "--stack", "board", "--cwd", folder, "--format", form, env=env)


def test_every_reader_gets_its_form(pollex: Pollex, stack: Stack, tmp_path: Path) -> None:
    """If this fails, the service, the original Go program or Mimir cannot read what the stack declares."""
    env = stack(APP_CONFIG)
    assert json.loads(show(pollex, env, "json").stdout) == APP_CONFIG

    file = tmp_path / "config.yaml"
    file.write_bytes(show(pollex, env, "pollex-yaml").stdout)
    assert yaml.safe_load(file.read_text()) == APP_CONFIG["pollex"]
    loaded = settings.load(file)
    assert (loaded.port, str(loaded.llamacpp_url), loaded.llamacpp_id) == (8090, "http://127.0.0.1:8080/", "Größe & $1")
    checked = pollex("config", "check", str(file))
    assert (checked.returncode, "serves Größe & $1 on port 8090" in checked.stdout.decode()) == (0, True)

    mimir = show(pollex, env, "mimir-env").stdout.decode()
    assert sorted(mimir.splitlines()) == sorted(f"{name}={value}" for name, value in APP_CONFIG["mimir"].items())


@pytest.mark.parametrize("model", ["qwen2.5:1.5b-gpu", "two words", "it's", "a;b&c|d #e", "größe*?"])
def test_a_shell_reads_the_variables(pollex: Pollex, stack: Stack, tmp_path: Path, model: str) -> None:
    """If this fails, a sourced file gives other settings than the stack's, or runs a part of them as a command."""
    env = stack({"pollex": {"port": 8090, "llamacpp_model": model}})
    file = tmp_path / "pollex.env"
    file.write_bytes(show(pollex, env, "pollex-env").stdout)
    script = 'set -a; . "$1"; printf "%s\\n%s" "$POLLEX_PORT" "$POLLEX_LLAMACPP_MODEL"'
    read = subprocess.run(["sh", "-c", script, "sh", str(file)], capture_output=True, check=True)
    assert read.stdout.decode() == f"8090\n{model}"


@pytest.mark.parametrize("model", ['say "hi"', "$HOME", "`id`", "two\nlines", "back\\slash"])
def test_a_value_that_readers_disagree_on_is_refused(pollex: Pollex, stack: Stack, model: str) -> None:
    """If this fails, systemd, a shell and Docker read three different values out of one file."""
    done = show(pollex, stack({"pollex": {"llamacpp_model": model}}), "pollex-env")
    assert (done.returncode, done.stdout) == (7, b"")
    assert b"POLLEX_LLAMACPP_MODEL" in done.stderr


@pytest.mark.parametrize(
    ("app_config", "form", "words"),
    [
        (None, "json", "does not have output property 'appConfig'"),
        ("text", "json", "no output appConfig"),
        ({"pollex": APP_CONFIG["pollex"]}, "mimir-env", "nothing for mimir"),
        ({"mimir": APP_CONFIG["mimir"]}, "pollex-yaml", "nothing for pollex"),
    ],
)
def test_a_stack_without_the_settings_says_so(
    pollex: Pollex, stack: Stack, app_config: object, form: str, words: str
) -> None:
    """If this fails, an empty file is written where a program expects its settings."""
    done = show(pollex, stack(app_config), form)
    assert (done.returncode, done.stdout) == (7, b"")
    assert words in done.stderr.decode()


def test_a_missing_stack_or_pulumi_says_so(pollex: Pollex, stack: Stack) -> None:
    """If this fails, a mistyped stack or a shell without the toolchain ends in a traceback."""
    env = stack(APP_CONFIG)
    folder = env["PULUMI_BACKEND_URL"].removeprefix("file://")
    missing = pollex("config", "show", "--stack", "bord", "--cwd", folder, env=env)
    assert (missing.returncode, b"bord" in missing.stderr) == (7, True)
    without = pollex("config", "show", "--stack", "board", "--cwd", folder, env={"PATH": "/nowhere"})
    assert (without.returncode, b"pulumi is not on PATH" in without.stderr) == (7, True)


def test_every_mistake_in_a_file_is_reported(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, a file is mended one restart at a time."""
    file = tmp_path / "config.yaml"
    file.write_text("port: ssh\nllamacp_url: http://127.0.0.1:8080\n")
    done = pollex("config", "check", str(file))
    assert (done.returncode, done.stdout) == (7, b"")
    assert all(words in done.stderr.decode() for words in ("port", "ssh", "llamacp_url", "llamacpp_url"))


def test_the_environment_is_checked_too(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, a file passes for right with which the service will not start."""
    file = tmp_path / "config.yaml"
    file.write_text("llamacpp_url: http://127.0.0.1:8080\n")
    assert pollex("config", "check", str(file)).returncode == 0
    assert pollex("config", "check", str(file), env={"POLLEX_PORT": "0"}).returncode == 7


def test_serve_refuses_wrong_settings(pollex: Pollex) -> None:
    """If this fails, a service starts with settings that are not those that were meant."""
    done = pollex("serve", "--mock", env={"POLLEX_SLOTS": "none"})
    assert (done.returncode, b"slots" in done.stderr) == (7, True)


def test_a_new_key_opens_what_its_line_stands_in(pollex: Pollex) -> None:
    """If this fails, somebody is given a key that opens nothing, or the same one as somebody else."""
    made = [yaml.safe_load(pollex("key", "new", name).stdout) for name in ("ana", "ana", "ben@laptop")]
    assert len({one["key"] for one in made}) == 3
    for one in made:
        (name,) = one.keys() - {"key"}
        known = settings.Settings.model_validate({"mock": True, "api_keys": {name: one[name]}})
        assert keys.Keys("", known.api_keys).whose(one["key"]) == name
    refused = pollex("key", "new", "no name")
    assert (refused.returncode, refused.stdout) == (2, b"")
