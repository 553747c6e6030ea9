"""`. ./activate` in the shells that people use."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sandbox.engine import CHECKOUT

SHELLS = ("sh", "bash", "zsh")


def source(shell: str, file: str | Path, then: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Source a file in a strict shell, then run a command in it."""
    return subprocess.run(
        [shell, "-c", f"set -eu; . '{file}' && {then}"],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_an_activated_shell_has_this_pulumi_and_python(toolchain: None, shell: str) -> None:
    """Plain `pulumi up --stack sandbox` would run another pulumi than make does."""
    done = source(shell, "./activate", "command -v pulumi && command -v python && pulumi version", CHECKOUT)
    assert done.returncode == 0, done.stderr
    said, pulumi, python, version = done.stdout.splitlines()
    assert said.startswith(f"pollex: pulumi and python of {CHECKOUT} ")
    assert (pulumi, python) == (f"{CHECKOUT}/.toolchain/bin/pulumi", f"{CHECKOUT}/.venv/bin/python")
    assert version.startswith("v3.")


@pytest.mark.parametrize("shell", SHELLS[1:])
def test_bash_and_zsh_find_the_checkout_from_anywhere(toolchain: None, shell: str, tmp_path: Path) -> None:
    """Activating from another folder, or twice, would put wrong or double entries on PATH."""
    done = source(shell, CHECKOUT / "activate", f". {CHECKOUT}/activate && echo $PATH", tmp_path)
    assert done.stdout.splitlines()[-1].startswith(f"{CHECKOUT}/.toolchain/bin:{CHECKOUT}/.venv/bin:")
    assert done.stdout.splitlines()[-1].count(".toolchain/bin") == 1


def test_another_shell_says_where_to_stand(tmp_path: Path) -> None:
    """A plain sh cannot find the checkout, and would put folders on PATH that do not exist."""
    done = source("sh", CHECKOUT / "activate", "echo reached", tmp_path)
    assert done.returncode != 0
    assert "cd to the checkout" in done.stderr
    assert "reached" not in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_an_unprepared_checkout_says_so(shell: str, tmp_path: Path) -> None:
    """After a clone, `. ./activate && pulumi up` would run no pulumi, or a foreign one."""
    (tmp_path / "infra/toolchain").mkdir(parents=True)
    for file in ("activate", "infra/toolchain/shim"):
        shutil.copy(CHECKOUT / file, tmp_path / file)
    done = source(shell, "./activate", "echo reached", tmp_path)
    assert done.returncode != 0
    assert done.stderr == f"pollex: the toolchain is not prepared: make -C '{tmp_path}' toolchain\n"
    assert "reached" not in done.stdout
