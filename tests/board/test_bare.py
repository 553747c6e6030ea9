"""`make board` and `pulumi up` from what comes out of the box, on a stand-in board that looks like a Nano.

The tests share the board and depend on those before. llama-server comes from a cache, as on every board but the first;
where none was kept yet, the board compiles it. That one without CMake compiles is seen in tests/e2e/test_life.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.board import __main__ as wizard
from infra.board import record
from infra.toolchain.once import cache
from sandbox import fetch, mirror
from sandbox.__main__ import SENTENCE, keep_build, polish
from sandbox.board import Board
from sandbox.board.bare import PASSWORD, apt_at_work, strip
from sandbox.board.tegra import imitate
from sandbox.deployment import SNAPSHOT, copy_project
from sandbox.engine import CHECKOUT, Pulumi
from sandbox.mirror import Mirror

pytestmark = pytest.mark.timeout(1800)

STACK = "sandbox"
IN_2000 = 946684800
"""What the board's clock says: it has none that goes on without power."""
SERVED = "http://10.213.0.1:8470"
"""Where the stack file has source, model and finished builds from."""
FASTER = "  pollex:board:\n    powerMode: 0\n    clocks: true\n    fan: true\n"
SPEED = "nvpmodel -q; cat /var/lib/nvpmodel/status; jetson_clocks --show; cat /sys/devices/pwm-fan/*"


class Operator:
    """Who runs it: a checkout, a home, a key that does not exist yet, and a file of answers."""

    def __init__(self, board: Board, folder: Path, url: str) -> None:
        self.board = board
        self.project = folder / "project"
        copy_project(self.project)
        (self.project / ".toolchain").symlink_to(CHECKOUT / ".toolchain")
        self.stack = self.project / "stacks" / f"Pulumi.{STACK}.yaml"
        # what an operator may have written before: where things come from here, and all of the board's speed
        text = self.stack.read_text().replace(SERVED, url)
        self.former = text.replace("encryptionsalt:", f"{FASTER}encryptionsalt:")
        self.stack.write_text(self.former)
        environment = {"PYTHONPATH": str(self.project), "POLLEX_POLL": "2"}
        self.pulumi = Pulumi(project=self.project, stack=STACK, state=folder / "state", environment=environment)
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
    for name in (fetch.BUNDLE, fetch.MODEL):
        fetch.fetch(name)
    with (
        Board.temporary("board-bare") as board,
        Mirror(mirror.directory(), board.gateway) as served,
        pytest.MonkeyPatch.context() as patch,
    ):
        imitate(board)
        strip(board, clock=IN_2000)
        board.run("nvpmodel -m 1; printf '%s\\n' 'printf welcome' 'umask 077' >~manu/.bashrc", user="root")
        someone = Operator(board, folder, served.url)
        patch.setattr(wizard, "ROOT", someone.project)
        patch.setenv("POLLEX_CACHE", str(cache()))
        patch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))
        patch.setenv("HOME", str(folder))
        for name in ("PYTHONPATH", "PULUMI_BACKEND_URL"):
            patch.setenv(name, someone.pulumi.env()[name])
        yield someone


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
    assert operator.stack.read_text() == operator.former
    assert not record.key_file(STACK).exists()


def following(process: subprocess.Popen[str], pattern: str) -> None:
    """Wait for a line of a run's output; fails when the run ends without one."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(pattern, line):
            return
    pytest.fail(f"no line matches {pattern!r}:\n{''.join(seen)}")


def test_two_commands_reach_a_sentence(operator: Operator, capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails, a board out of the box needs a hand beside `make board` and `pulumi up`, or stays half as fast."""
    board, pulumi = operator.board, operator.pulumi
    board.run(f"date -s @{IN_2000}", user="root")
    has = "command -v cmake curl; runuser -u manu -- sudo -n true 2>/dev/null && echo sudo"
    assert board.run(has, user="root", check=False).stdout == ""

    assert operator.make_board() == 0, capfd.readouterr().err
    said = capfd.readouterr().out
    assert "L4T R32" in said
    assert "power mode 5W slows everything" in said
    assert "years behind: setting it" in said
    before = board.run(f"{SPEED}; {SNAPSHOT}", user="root").stdout
    assert "NV Power Mode: 5W" in before

    with apt_at_work(board):
        process = pulumi.popen_up()
        following(process, r"waiting for apt-get \(process \d+\) to end")
    told = process.communicate()[0]
    assert process.returncode == 0, told
    declared = pulumi.outputs()
    keep_build(board, f"{declared['key']}-llama-server")
    polished = polish(declared["page"], declared["model"], SENTENCE)
    assert polished != SENTENCE
    assert "library" in polished
    shown = board.run(SPEED, user="root").stdout
    assert "NV Power Mode: MAXN" in shown
    assert "cpu0: Online=1 Governor=schedutil MinFreq=1428000 MaxFreq=1428000" in shown
    assert "Fan: speed=255" in shown
    assert pulumi.up("--refresh").changes == {}

    pulumi.destroy()
    assert board.run(f"{SPEED}; {SNAPSHOT}", user="root").stdout == before
