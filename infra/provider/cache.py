"""Where what one host has made is kept for others, signed: a folder of the operator's, or a server that takes PUT.

Nothing here fails an `up`: whoever asks learns that there is nothing, or that it could not be put there, and why.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol

from infra.hosttools.pollex_host import entry
from infra.hosttools.pollex_host.entry import Entry
from infra.hosttools.pollex_host.manifest import ManifestError

_CHUNK: Final = 1 << 20
_PATIENCE_S: Final = 10.0
"""Seconds for whatever is short, and in which `_SLOWEST` must arrive; what hosts give a cache, too."""
_SLOWEST: Final = 100_000
"""Bytes a second."""


class CacheError(Exception):
    """A cache cannot be used; the text says why."""


class Place(Protocol):
    """Files by name."""

    def get(self, name: str, to: IO[bytes], limit: int) -> bool:
        """Write a file's first bytes, one more than the limit at most; whether there is such a file."""

    def put(self, name: str, content: Path) -> None:
        """Put a file there in one step."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine, perhaps on a disk that others see."""

    path: Path

    def get(self, name: str, to: IO[bytes], limit: int) -> bool:
        """As `Place` has it."""
        try:
            with (self.path / name).open("rb") as file:
                left = limit + 1
                while left and (chunk := file.read(min(_CHUNK, left))):
                    to.write(chunk)
                    left -= len(chunk)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CacheError(f"{self.path / name} cannot be read: {error.strerror}") from error
        return True

    def put(self, name: str, content: Path) -> None:
        """As `Place` has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            new = self.path / f".{name}.{os.getpid()}"
            try:
                with new.open("wb") as file, content.open("rb") as given:
                    while chunk := given.read(_CHUNK):
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self.path / name)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(f"{self.path} cannot be written to: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Server:
    """A web server that gives and takes files below an address."""

    url: str

    def get(self, name: str, to: IO[bytes], limit: int) -> bool:
        """As `Place` has it."""
        import httpx  # noqa: PLC0415 - a tenth of the plugin's start, and seldom needed

        address, began, got = f"{self.url}/{name}", time.monotonic(), 0
        try:
            with httpx.stream("GET", address, timeout=_PATIENCE_S, follow_redirects=True) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return False
                answer.raise_for_status()
                for chunk in answer.iter_bytes():
                    to.write(chunk)
                    got += len(chunk)
                    seconds = time.monotonic() - began
                    if got > limit:
                        return True
                    if seconds > _PATIENCE_S and got < _SLOWEST * seconds:
                        raise CacheError(f"{address} is slower than {_SLOWEST // 1000} kB/s")
        except (httpx.HTTPError, OSError) as error:
            raise CacheError(f"{address} cannot be read: {error or type(error).__name__}") from error
        return True

    def put(self, name: str, content: Path) -> None:
        """As `Place` has it."""
        import httpx  # noqa: PLC0415 - as above

        address = f"{self.url}/{name}"
        try:
            with content.open("rb") as file:
                size = str(content.stat().st_size)
                answer = httpx.put(address, content=file, headers={"Content-Length": size}, timeout=_PATIENCE_S)
            answer.raise_for_status()
        except (httpx.HTTPError, OSError) as error:
            raise CacheError(f"{address} takes nothing: {error or type(error).__name__}") from error


def at(where: str) -> Place:
    """The cache at an address, or in an absolute folder."""
    return Server(where.rstrip("/")) if is_server(where) else Folder(Path(where))


def is_server(where: str) -> bool:
    """Whether that is an address, and no folder."""
    return where.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Cache:
    """What lies at a place, as far as the owner of a key has signed it."""

    place: Place
    private_key: str = field(repr=False)

    def entry(self, kind: str, item: str) -> Entry | None:
        """What is said of a store path, `<key>-<name>`; None where nothing is.

        Raises:
            CacheError: the cache cannot be read, or somebody else has written what it says.
        """
        text, signed = (self._short(f"{item}{suffix}") for suffix in (entry.ENTRY, entry.SIGNATURE))
        if text is None or signed is None:
            return None
        from infra.core import signing  # noqa: PLC0415 - cryptography is a tenth of the plugin's start

        if not signing.is_signed(signing.public_key(self.private_key), text, signed):
            raise CacheError(f"the entry of {item} is not signed by pollex:cachePrivateKey")
        try:
            said = entry.parse(text.decode())
        except (ManifestError, UnicodeDecodeError) as error:
            raise CacheError(f"the entry of {item} {error}") from None
        if (said.kind, f"{said.key}-{said.name}") != (kind, item):
            raise CacheError(f"the entry of {item} is that of {said.kind} {said.key}-{said.name}")
        return said

    @contextmanager
    def archive(self, said: Entry) -> Iterator[IO[bytes]]:
        """The archive that an entry speaks of, for a `with` block.

        Raises:
            CacheError: it cannot be read, or is another.
        """
        with self.scratch() as part:
            name = f"{said.key}-{said.name}{entry.ARCHIVE}"
            if not self.place.get(name, part, said.size):
                raise CacheError(f"there is an entry of {said.key}-{said.name}, and no archive")
            part.flush()
            if _told(said.kind, name, Path(part.name)) != said:
                raise CacheError(f"the archive {name} is not the one that its entry speaks of")
            part.seek(0)
            yield part

    def scratch(self) -> AbstractContextManager[IO[bytes]]:
        """A file for an archive under way: on the cache's own disk, where that is one, as archives may be large."""
        folder = self.place.path if isinstance(self.place, Folder) and self.place.path.is_dir() else None
        return tempfile.NamedTemporaryFile(prefix=".pollex-", dir=folder)

    def keep(self, kind: str, item: str, archive: Path) -> None:
        """Sign an archive and put it there; the entry last, so that one that is there speaks of something.

        Raises:
            CacheError: it cannot be put there.
        """
        name = f"{item}{entry.ARCHIVE}"
        said = _told(kind, name, archive)
        self.place.put(name, archive)
        from infra.core import signing  # noqa: PLC0415 - as above

        beside = signing.vouched(said, self.private_key)
        for suffix in (entry.SIGNATURE, entry.ENTRY):
            with tempfile.NamedTemporaryFile(prefix="pollex-cache-") as part:
                part.write(beside[suffix])
                part.flush()
                self.place.put(f"{item}{suffix}", Path(part.name))

    def _short(self, name: str) -> bytes | None:
        with tempfile.TemporaryFile() as part:
            if not self.place.get(name, part, entry.LIMIT):
                return None
            part.seek(0)
            return part.read()


def _told(kind: str, name: str, archive: Path) -> Entry:
    """What there is to say of an archive."""
    key, _, rest = name.removesuffix(entry.ARCHIVE).partition("-")
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(kind=kind, name=rest, key=key, sha256=digest, size=archive.stat().st_size)
