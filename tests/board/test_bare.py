"""`make board` from what comes out of the box, on a stand-in board; the tests share it and depend on those before."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import ROOT
from infra.board import __main__ as wizard
from infra.board import record
from sandbox.board import Board
from sandbox.board.bare import PASSWORD, strip

STACK = "sandbox"


class Operator:
    """Who runs it: a checkout, a home, a key that does not exist yet, and a file of answers."""

    def __init__(self, board: Board, folder: Path) -> None:
        self.board = board
        self.stack = folder / "stacks" / f"Pulumi.{STACK}.yaml"
        self.stack.parent.mkdir()
        shutil.copy(ROOT / "stacks" / self.stack.name, self.stack)
        self.key = folder / "keys" / "id_ed25519"
        self.answers = folder / "answers.yaml"
        told = ["ssh-keygen", "-lf", str(board.host_key)]
        shown = subprocess.run(told, check=True, capture_output=True, text=True).stdout.split()[1]
        self.answers.write_text(f"fingerprint: {shown}\nloginPassword: {PASSWORD}\n")
        self.answers.chmod(0o600)

    def make_board(self, *more: str) -> int:
        """`make board`, as a script runs it."""
        common = [f"manu@{self.board.address}", "--stack", STACK, "--key", str(self.key), "--yes"]
        return wizard.main([*common, "--answers", str(self.answers), *more])

    def ssh(self, command: str) -> int:
        """Whether the key logs in and the command succeeds."""
        line = [word if "IdentityFile" not in word else f"-oIdentityFile={self.key}" for word in self.board.ssh()]
        return subprocess.run([*line, command], capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Somebody in front of a bare board, whose clock stands in the year 2000 and whose shell greets."""
    folder = tmp_path_factory.mktemp("operator")
    with Board.temporary("e2e-bare") as board, pytest.MonkeyPatch.context() as patch:
        strip(board, clock=946684800)
        board.run("printf '%s\\n' 'printf welcome' 'umask 077' >~manu/.bashrc", user="root")
        patch.setattr(wizard, "ROOT", folder)
        patch.setenv("HOME", str(folder))
        yield Operator(board, folder)


def test_a_wrong_password_changes_nothing(operator: Operator, capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails, a mistyped password leaves half of a preparation behind."""
    right = operator.answers.read_text()
    before = operator.stack.read_text()
    operator.answers.write_text(f"{right}sudoPassword: wrong\n")
    assert operator.make_board("--no-preview") == 1
    assert "does not take that password for sudo" in capfd.readouterr().err
    operator.answers.write_text(right)
    assert operator.stack.read_text() == before
    assert operator.board.run("ls /etc/sudoers.d/pollex", user="root", check=False).returncode


def test_it_is_ready_for_pulumi(operator: Operator, capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails, a bare board needs hands: for sudo, the clock, the key or the stack file."""
    assert operator.make_board("--no-preview") == 0, capfd.readouterr().err
    assert "its clock is" in (said := capfd.readouterr().out)
    assert "years behind" in said
    assert operator.ssh("sudo -n true") == 0
    there = int(operator.board.run("date +%s", user="root").stdout)
    assert abs(there - time.time()) < 600
    written = operator.stack.read_text()
    assert operator.make_board("--no-preview") == 0
    assert "clock" not in capfd.readouterr().out
    assert operator.stack.read_text() == written
    keys = operator.board.run("cat ~manu/.ssh/authorized_keys", user="root").stdout
    assert len(keys.splitlines()) == 1


def test_it_is_taken_back(operator: Operator, capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails, a board that was given away keeps a door open, or undoing works only once."""
    operator.board.run("echo 'ssh-ed25519 AAAA a friend' >>~manu/.ssh/authorized_keys", user="root")
    for _ in range(2):
        assert operator.make_board("--undo") == 0, capfd.readouterr().err
        left = operator.board.run("cat ~manu/.ssh/authorized_keys; ls /etc/sudoers.d /opt", user="root").stdout
        assert "a friend" in left
        assert "pollex" not in left
    assert operator.ssh("true") != 0
    assert operator.stack.read_text() == (ROOT / "stacks" / operator.stack.name).read_text()
    assert not record.key_file(STACK).exists()
