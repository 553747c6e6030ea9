"""The tools arrive whole, whatever the copy lost, and say what is wrong with their use."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.hosttools.pollex_host import displaced, manifest, prepare
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


def test_a_copy_keeps_no_bytecode(copied: Host, folder: Path) -> None:
    """Tools that are copied over others within a second would run as those, if no file's size differs."""
    copied.json("prepare")
    assert not list(folder.rglob("__pycache__"))


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


def declare(folder: Path, layout: int) -> None:
    """Make the tools in a folder those of another revision."""
    file = folder / "pollex_host/prepare.py"
    text, changes = re.subn(r"^LAYOUT = \d+$", f"LAYOUT = {layout}", file.read_text(), flags=re.MULTILINE)
    assert changes == 1
    file.write_text(text)


def test_older_tools_leave_a_newer_board_alone(copied: Host, folder: Path) -> None:
    """Whoever goes back to an older revision would have it read what it does not know, and stop half-way."""
    declare(folder, 12)
    newer = copied.json("prepare")["tools"]
    declare(folder, 11)
    refused = copied.run("prepare")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "a newer revision of the project set this host up" in refused.stderr
    assert "(layout 12, and this one knows 11); nothing was changed" in refused.stderr
    assert "`pulumi destroy` with it first" in refused.stderr
    assert (copied.root / "bin").readlink() == Path("lib") / newer
    # what `destroy` takes away
    (copied.root / "layout").unlink()
    assert copied.json("prepare")["tools"] != newer
    declare(folder, 12)
    assert copied.json("prepare")["tools"] == newer


KEPT = """\
Claim: kind place enabled active ours keeps former
Build: key name target source patches flags packages jobs proof substituters former_keys
Bundle: key name target substituters former_keys
File: path mode sha256 text
Gate: health completion seconds
Generation: id units secrets settings
Link: path target
Model: key name file size sha256 mirrors adopt substituters former_keys
Patch: name text
Proof: model logprobs request
Quantised: key name file arguments type source tool substituters former_keys
Serves: program model file alias options adopts
Setting: name value
Source: commit tree number mirrors folders
Substituter: url public_key
Unit: name text needs links files gate serves
"""
"""What tools of layout 1 read."""


def test_what_a_host_keeps_is_what_its_layout_says() -> None:
    """Older tools would find something new on a host and stop half-way: count LAYOUT up, and write it down here."""
    classes: list[type[Any]] = [displaced.Claim, *(each for _, each in inspect.getmembers(manifest, inspect.isclass))]
    kept = [each for each in classes if is_dataclass(each) and not each.__name__.startswith("_")]
    lines = [f"{each.__name__}: {' '.join(field.name for field in fields(each))}\n" for each in kept]
    assert (prepare.LAYOUT, "".join(lines)) == (1, KEPT)


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
