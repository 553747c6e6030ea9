"""What one board promises: it is a machine of its own, and power is switched on, off and cut."""

from __future__ import annotations

import os
import subprocess

import pytest

from sandbox.board import Board
from sandbox.machine import SandboxError

WITNESS = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo started >>/var/lib/witness; sync'
ExecStop=/bin/sh -c 'echo stopped >>/var/lib/witness; sync'
[Install]
WantedBy=multi-user.target
"""


def witness(board: Board) -> list[str]:
    """What the unit above has seen so far."""
    return board.run("cat /var/lib/witness").stdout.split()


def test_a_fresh_board_is_a_bare_machine_in_order(board: Board) -> None:
    """Everything tried on a board would be tried on something that is not like a flashed Jetson."""
    assert board.run("hostname").stdout.strip() == board.name
    assert board.run("systemctl is-system-running").stdout.strip() == "running"
    assert board.run("sudo -n id -u").stdout.strip() == "0"
    assert board.run("id -u", user="root").stdout.strip() == "0"
    assert board.run("command -v g++ cmake ninja make", check=False).stdout == ""


def test_a_board_is_who_its_pinned_key_says(board: Board) -> None:
    """The stack file would pin a key that the board does not have, and every `up` would be refused."""
    offered = subprocess.run(
        ["ssh-keyscan", "-t", "ed25519", board.address], capture_output=True, text=True, check=True
    ).stdout.split()
    assert offered[1:3] == board.host_key.read_text().split()


def test_a_board_admits_nobody_else(board: Board) -> None:
    """A test of a refused login could not fail."""
    board.private_key.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", board.private_key], check=True)
    refused = board.run("true", check=False)
    assert (refused.returncode, "Permission denied (publickey)" in refused.stderr) == (255, True)


def test_orders_reach_units_and_a_power_cut_does_not(board: Board) -> None:
    """A power cut that is a shutdown in truth would prove nothing about interrupted builds."""
    board.run("cat >/etc/systemd/system/witness.service", input=WITNESS.encode(), user="root")
    board.run("systemctl enable -q --now witness", user="root")
    board.reboot()
    assert witness(board) == ["started", "stopped", "started"]
    board.kill()
    assert board.state() == "off"
    board.start()
    board.wait_ready()
    assert witness(board) == ["started", "stopped", "started", "started"]
    board.stop()
    assert board.state() == "off"
    board.start()
    board.wait_ready()
    assert witness(board)[4:] == ["stopped", "started"]
    # The journal of every boot is kept, the one that was cut included.
    assert len(board.run("journalctl -q --list-boots --no-pager", user="root").stdout.splitlines()) >= 4


def test_a_reboot_from_inside_is_followed_by_a_boot(board: Board) -> None:
    """`sudo reboot` on the board would switch it off for good."""
    first = board.guest.init()
    board.run("sudo systemctl reboot", check=False)
    while board.guest.init() in {None, first}:
        assert board.state() == "on"
    board.wait_ready()


def test_packages_install_over_the_network_and_build_tools_without(board: Board) -> None:
    """`pollex-host prepare` could not install a compiler, or would fetch 86 MB for every fresh board."""
    board.run("sudo apt-get update -q")
    board.run("sudo apt-get install -q -y --no-install-recommends bc")
    assert board.run("echo 6*7 | bc").stdout.strip() == "42"
    offered = board.run(
        "sudo apt-get install -q -y --no-install-recommends --print-uris make ninja-build ccache"
    ).stdout
    assert "://" not in offered


def test_a_small_disk_fills_up_and_survives_a_power_cut() -> None:
    """A full disk could only be tried by filling the machine's own."""
    with Board.temporary("test-disk", disk_mb=24) as board:
        full = board.run("head -c 30M /dev/zero >/opt/filler", user="root", check=False)
        assert (full.returncode, "No space left on device" in full.stderr) == (1, True)
        board.run("rm /opt/filler; echo kept >/opt/note; sync", user="root")
        board.cut_power()
        assert board.run("cat /opt/note").stdout.strip() == "kept"


def test_a_failed_command_says_where_and_why(board: Board) -> None:
    """A broken test on a board would show an exit status and nothing else."""
    with pytest.raises(SandboxError, match=r"(?s)test: ls /nowhere: exit status 2.*No such file"):
        board.run("ls /nowhere")


def test_without_root_it_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody without root would see a traceback and not the way around it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match=r"needs root.*pulumi config set --path 'pollex:host\.address'"):
        Board.create("test-refused")


def test_missing_tools_are_named_where_nothing_can_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without apt the first sign of trouble would be a failing command deep inside."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxError, match=r"systemd-nspawn.* not found on PATH: install .*systemd-container"):
        Board.create("test-refused")


def test_names_that_no_host_can_have_are_refused() -> None:
    """A name like ../x would put a board, and its removal, outside the checkout's own folder."""
    with pytest.raises(SandboxError, match="not a name for a board"):
        Board.create("../x")
