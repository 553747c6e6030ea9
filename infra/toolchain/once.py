"""What is made once and kept: it appears complete or not at all, and one process makes it while others wait.

Each thing has a lock file of its own beside it, so that making one may well want another: an image its builder, the
builder its compiler. Only what wants itself on the way would wait for ever, and that is an error here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.toolchain.progress import Progress

_POLL_SECONDS = 0.2


class NestedError(RuntimeError):
    """Something that is being made wants itself: a defect of its maker, which would otherwise wait for ever."""


class _Held(threading.local):
    """The locks that this thread holds, the outermost first: what the kernel knows each by, and what it guards."""

    def __init__(self) -> None:
        self.locks: dict[tuple[int, int], str] = {}


_held = _Held()


def cache() -> Path:
    """Where things that several checkouts share are kept: $POLLEX_CACHE, else pollex under the user's cache folder."""
    if chosen := os.environ.get("POLLEX_CACHE"):
        return Path(chosen).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pollex"


@contextmanager
def locked(place: Path, what: str | None = None) -> Iterator[None]:
    """Hold a folder or a lock file against everybody who asks for it too; the kernel lets go if this process dies.

    Args:
        place: a folder that is there, or a file, which is made if it is missing.
        what: named to whoever has to wait, such as `the image`; the place's name without it.

    Raises:
        NestedError: this thread holds it already; names both ends and what lies between.
    """
    what = what or place.name
    flags = os.O_RDONLY if place.is_dir() else os.O_RDWR | os.O_CREAT
    handle = os.open(place, flags, 0o666)
    try:
        status = os.fstat(handle)
        identity = (status.st_dev, status.st_ino)
        if identity in _held.locks:
            chain = [*list(_held.locks.values())[list(_held.locks).index(identity) :], what]
            raise NestedError(f"waits for itself: {', which wants '.join(chain)} ({place})")
        _wait(handle, what)
        _held.locks[identity] = what
        try:
            yield
        finally:
            _held.locks.pop(identity, None)
    finally:
        os.close(handle)


def made(
    final: Path,
    make: Callable[[Path], None],
    *,
    what: str | None = None,
    good: Callable[[Path], bool] = Path.exists,
) -> Path:
    """A file or folder that `make(part)` makes unless it is there.

    Args:
        final: where it is kept.
        make: writes it to the path that it is given, which does not exist; beside that is room for what is needed on
            the way, and all of it is thrown away if this fails.
        what: named to whoever waits for another process that makes it.
        good: whether what is there can be taken; what cannot is made again.

    Raises:
        NestedError: `make` wants this very thing.
    """
    if good(final):
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{final.name}.part-"
    with locked(final.with_name(f".{final.name}.lock"), what or final.name):
        if good(final):
            return final
        # left by a process that was killed; named apart, because a child of it may still write there
        for abandoned in final.parent.iterdir():
            if abandoned.name.startswith(prefix):
                shutil.rmtree(abandoned, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=prefix) as scratch:
            part = Path(scratch, final.name)
            make(part)
            if final.is_dir():
                shutil.rmtree(final)
            part.replace(final)
    return final


def _wait(handle: int, what: str) -> None:
    """Take the lock; says so where that takes time."""
    if _taken(handle):
        return
    with Progress(f"another process makes {what}: waiting for it", sys.stderr) as progress:
        while not _taken(handle):
            progress.say("still at it")
            time.sleep(_POLL_SECONDS)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
