"""One at a time: locks on folders, held by an open descriptor, so that whatever ends a process ends its lock."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Lock:
    """The lock of a folder, held until `release` or the end of the process; programs that it starts do not hold it."""

    def __init__(self, folder: str) -> None:
        """Open the folder, which must be there; nothing is locked yet."""
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @classmethod
    def made(cls, folder: str) -> Lock:
        """That of a folder which is made where it is not there; whoever holds it may take the folder away any time."""
        while True:
            os.makedirs(folder, exist_ok=True)
            try:
                return cls(folder)
            except FileNotFoundError:
                pass  # it was taken away between the two

    def take(self, patience: float = 0) -> bool:
        """Lock it, waiting up to `patience` seconds for whoever has it; whether it is ours."""
        deadline = time.monotonic() + patience
        while not (ours := self._try()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return ours

    def wait(self) -> None:
        """Lock it once whoever has it is done."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_of(self, folder: str) -> bool:
        """Whether the folder is still the one that was opened, and not another of its name."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(folder))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


@contextmanager
def locked(folder: str) -> Iterator[bool]:
    """Hold the folder's lock if nobody else has it; whether it is held."""
    lock = Lock(folder)
    try:
        yield lock.take()
    finally:
        lock.release()


@contextmanager
def alone(folder: str) -> Iterator[None]:
    """Hold the folder's lock, once whoever has it is done; the folder is made where it is not there.

    For what takes moments: two runs that write one file at once take away each other's half of it (`files.write`).
    """
    while True:
        lock = Lock.made(folder)
        try:
            lock.wait()
            if lock.is_of(folder):
                yield
                return
        finally:
            lock.release()


def is_locked(folder: str) -> bool:
    """Whether another process holds the folder's lock; looking takes it for a moment."""
    try:
        with locked(folder) as ours:
            return not ours
    except OSError:
        return False
