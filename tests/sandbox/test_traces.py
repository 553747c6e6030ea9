"""What boards leave on the machine: nothing, however they ended; and what several of them do to each other: nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.board import Board, destroy
from sandbox.board.claims import claims
from sandbox.board.network import FORWARD
from sandbox.debian import rootfs
from sandbox.machine import CHECKOUT, SandboxError
from sandbox.serving import NEVER


def traces(index: int, folder: Path) -> dict[str, set[str]]:
    """Everything on the machine that speaks of a board, by kind."""
    name, link = f"pollex-{index}", f"pollex{index}"

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    return {
        "processes": {pid for pid, mounts in _mounts().items() if str(folder) in mounts},
        "namespaces": {line for line in lines("ip", "netns") if line.split()[0] == name},
        "links": {line for line in lines("ip", "-br", "link") if line.startswith(f"{link}@")},
        "rules": {line for line in lines("iptables-save") if f"--comment {name} " in line},
        "groups": _called(name, "/sys/fs/cgroup"),
        "loops": {line for line in lines("losetup", "-a") if str(folder) in line},
        "run": _called(name, "/run") | {str(path) for path in _claim(index)},
        "files": {str(path) for path in [folder] if path.exists()},
    }


def _called(name: str, top: str) -> set[str]:
    """Everything of a name under a folder; `os.walk` passes over what goes away meanwhile, and `rglob` does not."""
    found = os.walk(top)
    return {f"{at}/{each}" for at, folders, files in found for each in (*folders, *files) if each == name}


def _mounts() -> dict[str, str]:
    """Process → its mount table. A board's mounts are seen by its own processes only."""
    tables = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            tables[path.name] = (path / "mountinfo").read_text()
        except OSError:
            continue
    return tables


def _claim(index: int) -> list[Path]:
    return [path for path in [Path("/run/pollex", str(index))] if path.is_symlink()]


def nothing(index: int, folder: Path) -> dict[str, set[str]]:
    """The same after a moment, because the kernel takes namespaces apart after the last process is gone."""
    deadline = time.monotonic() + NEVER
    while any((left := traces(index, folder)).values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {kind: found for kind, found in left.items() if found}


def supervisors(board: Board) -> list[int]:
    """boot.sh and systemd-nspawn."""
    commands = {}
    for pid in board.guest.processes():
        with suppress(FileNotFoundError, ProcessLookupError):  # it may have ended since it was listed
            commands[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
    return [pid for pid, command in commands.items() if command in {"sh", "systemd-nspawn"}]


def test_a_board_leaves_nothing() -> None:
    """Every `make test` would leave rules, mounts or processes on the operator's machine."""
    forwarding, others = FORWARD.read_text(), bool(claims())
    with Board.temporary("test", disk_mb=16) as board:
        index, folder = board.network.index, board.folder
        seen = traces(index, folder)
        # a probe that sees nothing now would see nothing afterwards either
        assert [kind for kind, found in seen.items() if not found] == []
    assert nothing(index, folder) == {}
    if not others and not claims():
        assert FORWARD.read_text() == forwarding
        assert not Path("/run/pollex").exists()


def test_a_board_whose_keepers_were_killed_starts_again(board: Board) -> None:
    """After an out-of-memory kill the only way back would be a reboot of the operator's machine."""
    for pid in supervisors(board):
        os.kill(pid, signal.SIGKILL)
    while board.state() == "on":
        time.sleep(0.05)
    assert board.state() == "crashed"
    board.start()
    board.wait_ready()
    assert board.state() == "on"
    board.reboot()


@pytest.mark.parametrize("damage", ["keepers", "network", "claim", "index", "folder"])
def test_down_takes_away_what_is_half_there(damage: str, tmp_path: Path) -> None:
    """A crash at the wrong moment would leave something that no command removes."""
    destroy("test")
    board = Board.create("test")
    board.start()
    board.wait_ready()
    index, folder = board.network.index, board.folder
    if damage == "keepers":
        for pid in supervisors(board):
            os.kill(pid, signal.SIGKILL)
    elif damage == "network":
        subprocess.run(["ip", "link", "delete", board.network.link], check=True)
        subprocess.run(["ip", "netns", "delete", board.network.name], check=True)
    elif damage == "claim":
        Path("/run/pollex", str(index)).unlink()
    elif damage == "index":
        (folder / "index").unlink()
    else:
        folder.rename(tmp_path / "gone")
    destroy("test")
    assert nothing(index, folder) == {}


def test_two_boards_have_ports_and_units_of_their_own(board: Board) -> None:
    """A fleet could not be tried, and a unit stopped on one board would stop on the other."""
    serve = (
        "systemd-run -q --unit=web --working-directory=/etc python3 -m http.server 8080 && "
        "until curl -sf localhost:8080/hostname >/dev/null; do sleep 0.1; done"
    )
    with Board.temporary("test-two") as other:
        assert other.address != board.address
        for one in (board, other):
            one.run(serve, user="root")
        for one in (board, other):
            page = ["curl", "-sf", f"http://{one.address}:8080/hostname"]
            assert subprocess.run(page, capture_output=True, text=True, check=True).stdout.strip() == one.name
        board.run("systemctl stop web", user="root")
        assert other.run("systemctl is-active web", check=False).stdout.strip() == "active"
        board.kill()
        assert other.run(f"curl -sf http://{other.address}:8080/hostname").stdout.strip() == other.name


def test_checkouts_do_not_take_each_others_addresses(board: Board, tmp_path: Path) -> None:
    """Two checkouts' boards would answer under one address, and each would deploy to the other's."""
    index = board.network.index
    elsewhere = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "sandbox", elsewhere / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))

    def there(script: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", f"from sandbox.board import Board, destroy; {script}"]
        environment = {**os.environ, "PYTHONPATH": str(elsewhere)}
        return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)

    try:
        refused = there(f"Board.create('other', index={index})")
        assert f"{board.address} is in use by the running board test of {CHECKOUT}" in refused.stderr
        board.run("true")
        board.kill()
        taken = there(f"b = Board.create('other', index={index}); b.start(); b.wait_ready()")
        assert (taken.returncode, "taking over" in taken.stderr) == (0, True), taken.stderr
        with pytest.raises(SandboxError, match=f"in use by the running board other of {elsewhere}"):
            board.start()
        board.destroy()
        assert there("assert Board('other').run('hostname').stdout == 'other\\n'").returncode == 0
    finally:
        there("destroy('other')")
    assert nothing(index, elsewhere / ".sandbox/boards/other") == {}


def test_a_board_that_is_flashed_keeps_its_address(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that another test makes at this moment would have its address, and be taken for it."""
    index, key = board.network.index, board.host_key.read_text()
    board.run("touch /mine", user="root")
    others = []

    def meanwhile(*kind: object) -> Path:
        monkeypatch.undo()
        others.append(Board.create("test-two").network.index)
        return rootfs.rootfs()

    monkeypatch.setattr("sandbox.board.rootfs", meanwhile)
    try:
        flashed = board.flash()
        assert (flashed.network.index, index in others, len(others)) == (index, False, 1)
        assert flashed.host_key.read_text() != key
        assert flashed.run("ls /mine", check=False).returncode != 0
    finally:
        destroy("test-two")


def test_a_claim_that_was_not_made_to_its_end_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed at the wrong moment would keep every further board from being made."""
    monkeypatch.setattr("sandbox.board.claims._CLAIMS", tmp_path)
    for name in ("3", ".5"):
        (tmp_path / name).symlink_to(CHECKOUT)
    (tmp_path / "ip_forward").write_text("0")
    assert claims() == {3: CHECKOUT}


def test_a_deleted_checkouts_board_gives_way(tmp_path: Path) -> None:
    """A checkout removed without `make sandbox-down` would block its address until the machine reboots."""
    with Board.temporary("test") as board:
        index = board.network.index
        board.folder.rename(tmp_path / "gone")
        with Board.temporary("test-next") as heir:
            assert heir.network.index == index
            heir.run("true")
