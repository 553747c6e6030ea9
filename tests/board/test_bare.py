"""`make board` and `pulumi up` from what comes out of the box, on a stand-in board that looks like a Nano.

The tests share the board and depend on those before. llama-server comes from a cache, as on every board but the first;
where none was kept yet, the board compiles it, as tests/e2e/test_from_the_box.py has it do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from infra.board import record
from sandbox.__main__ import SENTENCE, keep_build, polish
from sandbox.board.bare import apt_at_work
from sandbox.deployment import SNAPSHOT
from tests.board.box import IN_2000, STACK, Operator, at_a_bare_board
from tests.waiting import read_until

pytestmark = pytest.mark.timeout(1800)

SPEED = "nvpmodel -q; cat /var/lib/nvpmodel/status; jetson_clocks --show; cat /sys/devices/pwm-fan/*"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Somebody in front of a bare board."""
    with at_a_bare_board("board-bare", tmp_path_factory.mktemp("operator")) as someone:
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
        read_until(r"waiting for apt-get \(process \d+\) to end", process.stdout)
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


def test_a_board_flashed_anew_takes_the_same_two_commands(
    operator: Operator, capfd: pytest.CaptureFixture[str]
) -> None:
    """If this fails, a board that was flashed anew is lost to its stack, or an impostor gets what was meant for it."""
    pulumi, former = operator.pulumi, operator.shown
    pulumi.up()
    written = operator.stack.read_text()
    operator.flash()
    capfd.readouterr()

    assert operator.make_board() == 1
    refused = capfd.readouterr().err
    assert f"expected {former}: this is another machine, or it was flashed anew" in refused
    assert f"if it is the same, give {operator.shown} as the fingerprint" in refused
    operator.look()
    assert operator.make_board() == 0, capfd.readouterr().err
    assert operator.stack.read_text() == written

    refreshed = pulumi.up("--refresh", check=False)
    assert refreshed.status != 0
    assert "`pulumi up` without --refresh" in refreshed.stdout + refreshed.stderr
    pulumi.up()
    declared = pulumi.outputs()
    assert "library" in polish(declared["page"], declared["model"], SENTENCE)
    assert pulumi.up("--refresh").changes == {}
