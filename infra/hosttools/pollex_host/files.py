"""Files that are there whole or not at all, links that flip, hashes, and room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NEW = ".pollex-new"
"""What a file is called while it is written; beside its place, so that a rename puts it there."""


_BUFFER = memoryview(bytearray(1 << 18))
"""One for all files that are hashed: a bundle has hundreds of small ones, and a new buffer costs more than a hash."""


def read(path: str) -> str | None:
    """The text of a file, or None where there is none that can be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def write(path: str, content: str | bytes, mode: int = 0o644) -> None:
    """Put a file there in one step, with its mode from the first moment on.

    Its bytes reach the disk before its name, so that a power cut leaves the former file or the new one, never an empty
    one. No other run may write the same file meanwhile: see `locks`.
    """
    new = path + NEW
    with suppress(FileNotFoundError):
        os.unlink(new)
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except OSError as error:
        # half of it is of no use, and what is full is fuller by it
        with suppress(OSError):
            os.unlink(new)
        raise OSError(error.errno, error.strerror, path) from error


def link(target: str, path: str) -> None:
    """Put a symbolic link there in one step, whatever stood there before (but for a folder)."""
    new = path + NEW
    with suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    os.replace(new, path)


def link_target(path: str) -> str | None:
    """Where a symbolic link points, or None."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def there(path: str) -> bool:
    """Whether anything stands there, a broken link included."""
    return os.path.lexists(path)


def size(path: str) -> int:
    """Bytes of a file; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def sha256(path: str) -> str:
    """The hash of a file's content, 64 hex digits."""
    from hashlib import sha256 as new  # noqa: PLC0415 - costs a start 3 ms where nothing is hashed

    digest = new()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(_BUFFER):
            digest.update(_BUFFER[:count])
    return digest.hexdigest()


def sha256_of(content: str | bytes) -> str:
    """The hash of a text (as UTF-8) or of bytes."""
    from hashlib import sha256 as new  # noqa: PLC0415 - as above

    return new(content.encode() if isinstance(content, str) else content).hexdigest()


def free_mb(path: str) -> int:
    """MB that are free where a path is, or would be."""
    return free_kb(path) >> 10


def free_kb(path: str) -> int:
    """KB that are free where a path is, or would be."""
    while not os.path.exists(path):
        path = os.path.dirname(path) or "/"
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize >> 10


def used_kb(path: str) -> int:
    """What a file or a folder takes on the disk; a file with several names counts once."""
    seen = set()
    total = 0
    for place in (path, *everything(path)):
        with suppress(OSError):
            stat = os.lstat(place)
            if (stat.st_dev, stat.st_ino) not in seen:
                seen.add((stat.st_dev, stat.st_ino))
                total += stat.st_blocks
    return total // 2


def everything(folder: str) -> Iterator[str]:
    """All paths below a folder, depth first and sorted, the folders before what is in them; links are not followed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError:
        return
    for entry in entries:
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from everything(entry.path)


def remove(path: str) -> None:
    """Whatever stands there is gone."""
    if os.path.isdir(path) and not os.path.islink(path):
        from shutil import rmtree  # noqa: PLC0415 - brings compression along, 8 ms of a start

        rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def scratch(folder: str, name: str) -> str:
    """A hidden path in a folder for this process's unfinished work; what cut runs left of the same name is removed.

    After a power cut another program may have the number of the process that was cut, so it is looked at what that is.
    """
    with suppress(FileNotFoundError):
        for entry in os.listdir(folder):
            pid = entry[len(name) + 2 :].partition(".")[0] if entry.startswith(f".{name}.") else ""
            if pid.isdigit() and (int(pid) == os.getpid() or "pollex_host" not in (read(f"/proc/{pid}/cmdline") or "")):
                remove(f"{folder}/{entry}")
    return f"{folder}/.{name}.{os.getpid()}"


def sync(path: str) -> None:
    """What was written to the file system of a path is on the disk when this returns (syncfs)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _syncfs()(descriptor)
    finally:
        os.close(descriptor)


def _syncfs() -> Callable[[int], object]:
    """The C library's, which Python does not offer; everything is written out where it cannot be had."""
    try:
        from ctypes import CDLL  # noqa: PLC0415 - costs a start 5 ms

        return CDLL(None).syncfs
    except (ImportError, OSError, AttributeError):
        return lambda _: os.sync()


def copy(source: IO[bytes], target: IO[bytes]) -> None:
    """All bytes of one into the other."""
    while chunk := source.read(1 << 20):
        target.write(chunk)
