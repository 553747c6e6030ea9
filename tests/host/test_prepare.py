"""The tools arrive whole, whatever the copy lost, and say what is wrong with their use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host.conftest import TOOLS, Host


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tools as a copy can leave them: no file is executable."""
    folder = tmp_path / "copied host"
    shutil.copytree(TOOLS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in folder.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)
    return folder


@pytest.fixture
def copied(odd_host: Host, folder: Path) -> Host:
    """A host to which the tools were just copied."""
    odd_host.command = ["sh", str(folder / "pollex-host")]
    return odd_host


def test_tools_are_installed_by_content(copied: Host) -> None:
    """A host would run a mixture of two versions, or a file that is not executable."""
    answer = copied.json("prepare")
    assert answer["installed"] == []
    assert (copied.root / "bin").readlink() == Path("lib") / answer["tools"]
    units, program = (Path(copied.environment[name]) for name in ("POLLEX_UNIT_DIR", "POLLEX_BIN_DIR"))
    assert (units / "pollex-build@.service").read_text() == (TOOLS / "pollex-build@.service").read_text()
    done = subprocess.run(
        [program / "pollex-host", "status", "--json"],
        env=copied.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"generation":""' in done.stdout
    assert (copied.root / "bin/recipe.sh").stat().st_mode & 0o777 == 0o644


def test_a_second_time_changes_nothing(copied: Host) -> None:
    """Every deployment would look like a change of the host."""
    first = copied.json("prepare")
    before = (copied.root / "bin/recipe.sh").stat()
    assert copied.json("prepare") == first
    assert (copied.root / "bin/recipe.sh").stat().st_ino == before.st_ino


def test_new_tools_replace_the_old_in_one_step(copied: Host, folder: Path) -> None:
    """A running build would read half of its script from one version and half from the other."""
    old = copied.json("prepare")["tools"]
    with (folder / "recipe.sh").open("a") as script:
        script.write("# one more line\n")
    new = copied.json("prepare")["tools"]
    assert new != old
    assert (copied.root / "bin").readlink() == Path("lib") / new
    assert not (copied.root / "lib" / old / "recipe.sh").read_text().endswith("# one more line\n")


@pytest.mark.fault("upload", "tools are there", "one of them rots", "brought again")
def test_damaged_tools_are_replaced(copied: Host) -> None:
    """A tool that a disk error damaged would stay damaged under a name that says it is right."""
    tools = copied.json("prepare")["tools"]
    (copied.root / "lib" / tools / "pollex_host/gate.py").write_text("")
    copied.json("prepare")
    assert (copied.root / "bin/pollex_host/gate.py").read_text() == (TOOLS / "pollex_host/gate.py").read_text()


def test_a_package_is_a_name(copied: Host) -> None:
    """What stands in a stack file would become an option of apt-get, run as root."""
    done = copied.run("prepare", "-o", "x")
    assert done.returncode == 2
    assert "'-o' is not the name of a Debian package" in done.stderr


def without_python(copied: Host, tmp_path: Path, *, version: str = "") -> None:
    """Let the launcher see only a python3 of that version, or none at all."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dash", "readlink", "cat"):
        (programs / name).symlink_to(shutil.which(name) or name)
    if version:
        # answers whether it fits as an old interpreter would, whatever it is asked
        (programs / "python3").write_text("#!/bin/sh\nexit 1\n")
        (programs / "python3").chmod(0o755)
    copied.environment["PATH"] = str(programs)


@pytest.mark.parametrize("version", ["", "3.6"])
def test_a_host_without_a_python_says_what_to_declare(copied: Host, tmp_path: Path, version: str) -> None:
    """A Nano, whose own Python is 3.6, would fail with a trace of syntax errors."""
    without_python(copied, tmp_path, version=version)
    done = copied.run("prepare")
    assert (done.returncode, done.stdout) == (11, "")
    assert "these tools need Python 3.9 or newer, and this host has none: declare one" in done.stderr
    assert "pollex:polish.python.url" in done.stderr


def test_an_interpreter_that_was_brought_along_runs_them(copied: Host, tmp_path: Path) -> None:
    """A board with an old Python could not be served at all."""
    brought = copied.root / "lib/python-0123456789abcdef/bin"
    brought.mkdir(parents=True)
    (brought / "python3").symlink_to(Path(sys.executable).resolve())
    without_python(copied, tmp_path, version="3.6")
    answer = copied.json("prepare")
    assert (copied.root / "lib" / answer["tools"] / "python").readlink() == brought / "python3"
    copied.command = [str(Path(copied.environment["POLLEX_BIN_DIR"]) / "pollex-host")]
    assert copied.json("status", "--json")["generation"] == ""
    del copied.environment["PATH"]
    (copied.root / "lib/python-fedcba9876543210").mkdir()
    assert copied.json("gc")["deleted"] == ["lib/python-fedcba9876543210"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frobnicate"], "there is no verb 'frobnicate'"),
        (["build"], "'build' takes one key"),
        (["build", "../x"], "'../x' is not a key"),
        (["ensure", "a", "b"], "takes at most one key"),
        (["rollback", "a", "b"], "takes at most one generation"),
        (["status", "--yaml"], "takes nothing but --json"),
        (["activate", "x"], "takes --resource NAME --owner STACK"),
        (["deactivate", "x"], "takes --resource NAME --owner STACK"),
    ],
)
def test_wrong_use_is_said(host: Host, arguments: list[str], says: str) -> None:
    """A typing error would do something else than was meant."""
    done = host.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_help_names_every_verb(host: Host) -> None:
    """A verb would exist that nobody finds."""
    done = host.run("help")
    verbs = [
        "prepare",
        "ensure",
        "ensure-model",
        "ensure-bundle",
        "receive",
        "activate",
        "rollback",
        "deactivate",
        "status",
        "gc",
        "export",
        "build",
    ]
    assert done.returncode == 0
    assert all(f"\n  {verb} " in done.stdout for verb in verbs)
