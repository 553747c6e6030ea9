"""Making something once: complete or not at all, by one, never by way of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra import ROOT
from infra.toolchain import once
from infra.toolchain.once import NestedError, locked, made


def write(part: Path) -> None:
    part.write_text("made")


def never(part: Path) -> None:
    pytest.fail(f"{part} is made again")


def test_what_is_there_is_taken(tmp_path: Path) -> None:
    """Everything that takes minutes would take them again."""
    final = made(tmp_path / "shelf" / "thing", write)
    assert made(final, never).read_text() == "made"


def test_what_failed_leaves_nothing(tmp_path: Path) -> None:
    """Half of something would be taken for all of it."""

    def fail(part: Path) -> None:
        part.mkdir()
        (part.parent / "log").write_text("on the way")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        made(tmp_path / "thing", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]
    assert made(tmp_path / "thing", write).read_text() == "made"


def test_what_is_damaged_is_made_again(tmp_path: Path) -> None:
    """A damaged file or folder in the cache would fail everything until somebody finds and deletes it."""
    for damaged in (tmp_path / "file", tmp_path / "folder"):
        if damaged.name == "folder":
            (damaged / "part").mkdir(parents=True)
        else:
            damaged.write_text("damaged")
        assert made(damaged, write, good=Path.is_fifo).read_text() == "made"


def test_making_one_thing_may_want_others(tmp_path: Path) -> None:
    """An image, whose builder is made once in the same folder, would wait for itself for ever."""

    def image(part: Path) -> None:
        part.write_text(made(tmp_path / "tools", write).read_text() + made(tmp_path / "base", write).read_text())

    assert made(tmp_path / "image", image).read_text() == "mademade"


@pytest.mark.timeout(20)
def test_what_wants_itself_is_refused(tmp_path: Path) -> None:
    """A defect of ours would be a command that never ends and never says why."""

    def image(part: Path) -> None:
        made(tmp_path / "tools", tools, what="the tools")

    def tools(part: Path) -> None:
        made(tmp_path / "image", image, what="the image")

    with pytest.raises(NestedError, match="itself: the image, which wants the tools, which wants the image"):
        made(tmp_path / "image", image, what="the image")
    assert made(tmp_path / "image", write).read_text() == "made"


@pytest.mark.timeout(20)
def test_a_folder_cannot_be_held_twice(tmp_path: Path) -> None:
    """Two engines with one cache in one process would wait for each other for ever."""
    with locked(tmp_path, "the cache"), pytest.raises(NestedError, match="the cache, which wants an engine"):
        locked(tmp_path, "an engine").__enter__()
    with locked(tmp_path, "an engine"):
        pass


def test_leavings_of_a_killed_process_go(tmp_path: Path) -> None:
    """Each killed build would keep its gigabytes for ever; and another thing's must not be taken for them."""
    (tmp_path / ".thing.part-killed" / "half").mkdir(parents=True)
    (tmp_path / ".thing-else.part-alive").mkdir()
    made(tmp_path / "thing", write)
    assert {path.name for path in tmp_path.iterdir()} == {".thing.lock", ".thing-else.part-alive", "thing"}


WAITER = """
import sys
from pathlib import Path
from infra.toolchain import once
once.made(Path(sys.argv[1]), lambda part: part.write_text("made twice"), what="the thing")
"""


def test_others_wait_and_are_told(tmp_path: Path) -> None:
    """`make` in two terminals would build twice at the same time, or seem to hang."""
    waiting = []

    def make(part: Path) -> None:
        command = [sys.executable, "-c", WAITER, str(tmp_path / "thing")]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert process.stderr.readline() == "another process makes the thing: waiting for it …\n"
        waiting.append(process)
        part.write_text("made once")

    made(tmp_path / "thing", make, what="the thing")
    (process,) = waiting
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert (tmp_path / "thing").read_text() == "made once"


def test_the_cache_is_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small home would fill up though another disk was named, or two checkouts would not share."""
    monkeypatch.setenv("POLLEX_CACHE", str(tmp_path))
    assert once.cache() == tmp_path
    monkeypatch.delenv("POLLEX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert once.cache() == tmp_path / "xdg" / "pollex"
