"""Somebody in front of a board as it comes out of the box, for the tests of `make board` and `pulumi up`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.board import __main__ as wizard
from infra.toolchain.once import cache
from sandbox import fetch, mirror
from sandbox.board import Board
from sandbox.board.bare import PASSWORD, strip
from sandbox.board.tegra import imitate
from sandbox.deployment import copy_project
from sandbox.engine import CHECKOUT, Pulumi
from sandbox.mirror import Mirror

STACK = "sandbox"
IN_2000 = 946684800
"""What the board's clock says: it has none that goes on without power."""
SERVED = "http://10.213.0.1:8470"
"""Where the stack file has source, model and finished builds from."""
FASTER = "  pollex:board:\n    powerMode: 0\n    clocks: true\n    fan: true\n"


def as_from_the_box(board: Board) -> None:
    """Make a board that is on look like a Nano: a clock in the year 2000, a slow mode, and a shell that greets."""
    imitate(board)
    strip(board, clock=IN_2000)
    board.run("nvpmodel -m 1; printf '%s\\n' 'printf welcome' 'umask 077' >~manu/.bashrc", user="root")


class Operator:
    """Who runs it: a checkout, a home, a key that does not exist yet, and a file of answers."""

    def __init__(self, board: Board, folder: Path, url: str, shelf: str) -> None:
        self.board = board
        self.project = folder / "project"
        copy_project(self.project)
        (self.project / ".toolchain").symlink_to(CHECKOUT / ".toolchain")
        self.stack = self.project / "stacks" / f"Pulumi.{STACK}.yaml"
        # what an operator may have written before: where things come from here, and all of the board's speed
        text = self.stack.read_text().replace(f"{SERVED}/store", f"{url}/{shelf}").replace(SERVED, url)
        self.former = text.replace("encryptionsalt:", f"{FASTER}encryptionsalt:")
        self.stack.write_text(self.former)
        environment = {"PYTHONPATH": str(self.project), "POLLEX_POLL": "2"}
        self.pulumi = Pulumi(project=self.project, stack=STACK, state=folder / "state", environment=environment)
        self.key = folder / "keys" / "id_ed25519"
        self.answers = folder / "answers.yaml"
        self.look()

    @property
    def shown(self) -> str:
        """The fingerprint of the board's key, as the board itself says it."""
        told = ["ssh-keygen", "-lf", str(self.board.host_key)]
        return subprocess.run(told, check=True, capture_output=True, text=True).stdout.split()[1]

    def look(self) -> None:
        """Write down what the board's screen shows, and the password that was chosen there."""
        self.answers.write_text(f"fingerprint: {self.shown}\nloginPassword: {PASSWORD}\n")
        self.answers.chmod(0o600)

    def flash(self) -> None:
        """Flash the board anew: nothing of what was on it, and another key."""
        as_from_the_box(self.board.flash())

    def make_board(self, *more: str) -> int:
        """`make board`, as a script runs it."""
        common = [f"manu@{self.board.address}", "--stack", STACK, "--key", str(self.key), "--yes"]
        return wizard.main([*common, "--answers", str(self.answers), *more])

    def ssh(self, command: str) -> int:
        """Whether the key logs in and the command succeeds."""
        line = [word if "IdentityFile" not in word else f"-oIdentityFile={self.key}" for word in self.board.ssh()]
        return subprocess.run([*line, command], capture_output=True, check=False).returncode


@contextmanager
def at_a_bare_board(name: str, folder: Path, shelf: str = "store") -> Iterator[Operator]:
    """Somebody in front of a bare board; what the checkout calls a home is `folder` meanwhile.

    Args:
        name: of the board.
        folder: for all that the operator has.
        shelf: the mirror's folder for finished builds; one that is not there has the board compile.
    """
    for fetched in (fetch.BUNDLE, fetch.MODEL):
        fetch.fetch(fetched)
    with (
        Board.temporary(name) as board,
        Mirror(mirror.directory(), board.gateway) as served,
        pytest.MonkeyPatch.context() as patch,
    ):
        as_from_the_box(board)
        someone = Operator(board, folder, served.url, shelf)
        patch.setattr(wizard, "ROOT", someone.project)
        patch.setenv("POLLEX_CACHE", str(cache()))
        patch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))
        patch.setenv("HOME", str(folder))
        for variable in ("PYTHONPATH", "PULUMI_BACKEND_URL"):
            patch.setenv(variable, someone.pulumi.env()[variable])
        yield someone
