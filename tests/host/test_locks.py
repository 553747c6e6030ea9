"""Folders that are locked, made and taken away by several runs at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import locks


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
