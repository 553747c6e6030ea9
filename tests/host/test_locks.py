"""Folders that are locked, made and taken away by several runs at once."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import locks
from tests.host.conftest import KEY, Host, model_manifest
from tests.waiting import wait_for, wait_until


def waits(process: int) -> bool:
    """Whether it waits for a lock that another one has."""
    waiting = [line for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return any(f" {process} " in line for line in waiting)


def test_a_folder_that_is_taken_away_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever begins in the moment in which another run ends, and tidies up, would end in a traceback."""
    folder = tmp_path / "work"
    made = list[str]()

    def makedirs(name: str, *, exist_ok: bool) -> None:
        Path(name).mkdir(exist_ok=exist_ok)
        if not made:
            Path(name).rmdir()
        made.append(name)

    monkeypatch.setattr(os, "makedirs", makedirs)
    lock = locks.Lock.made(str(folder))
    assert made == [str(folder)] * 2
    assert lock.is_of(str(folder))
    lock.release()


def test_the_lock_of_a_folder_that_is_gone_is_not_that_of_its_successor(tmp_path: Path) -> None:
    """Two runs would each think that they are alone."""
    folder = tmp_path / "work"
    former = locks.Lock.made(str(folder))
    assert former.take()
    folder.rmdir()
    later = locks.Lock.made(str(folder))
    assert later.take()
    assert (former.is_of(str(folder)), later.is_of(str(folder))) == (False, True)
    former.release()
    later.release()


def test_who_comes_second_begins_when_the_first_has_ended(tmp_path: Path) -> None:
    """Two operators who deploy at once would take away each other's half of a file, and one of them would fail."""
    folder = str(tmp_path / "made/on the way")
    ended = list[str]()

    def second() -> None:
        with locks.alone(folder):
            ended.append("second")

    with locks.alone(folder):
        other = threading.Thread(target=second)
        other.start()
        wait_until(lambda: waits(os.getpid()))
        ended.append("first")
    other.join()
    assert ended == ["first", "second"]
    assert not locks.is_locked(folder)


def test_who_waited_for_a_folder_that_is_gone_holds_that_of_its_name(tmp_path: Path) -> None:
    """A run that waited would hold what nobody else sees, and a third one would begin beside it."""
    folder = tmp_path / "work"
    held = list[bool]()

    def second() -> None:
        with locks.alone(str(folder)):
            held.append(locks.is_locked(str(folder)))

    with locks.alone(str(folder)):
        other = threading.Thread(target=second)
        other.start()
        wait_until(lambda: waits(os.getpid()))
        folder.rmdir()
    other.join()
    assert held == [True]


@pytest.mark.parametrize(("verb", "folder"), [("prepare", "lib"), ("ensure-model", f"drv/{KEY}-model")])
def test_two_operators_do_not_write_into_each_others_files(host: Host, verb: str, folder: str) -> None:
    """The second one takes the first one's half of a file away, and the first one's deployment fails."""
    command, text = [*host.command, verb], model_manifest(b"", [])
    (host.root / folder).mkdir(parents=True)
    with locks.alone(str(host.root / folder)):
        second = subprocess.Popen(command, env=host.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert second.stdin is not None
        second.stdin.write(text.encode())
        second.stdin.close()
        wait_for(lambda: waits(second.pid), second)
        assert list((host.root / folder).iterdir()) == []
    with second:
        assert second.stdout is not None
        second.stdout.read()
    assert list((host.root / folder).iterdir()) != []
