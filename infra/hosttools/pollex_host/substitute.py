"""Takes what others have made from a cache, if somebody who is trusted has signed it.

A cache is a help and no need: one that is away, hangs or drips costs seconds, and whatever is wrong with what it has is
one line, and it is made here instead.
"""

from __future__ import annotations

import os
import resource
import signal
from typing import Callable

from . import entry, files, oci, places, run, say, store
from .entry import Entry
from .manifest import ManifestError, Stored, Substituter
from .store import RefusedError

PATIENCE = os.environ.get("POLLEX_CACHE_PATIENCE", "10")
"""Seconds for an entry, and for an archive that comes slower than `SLOWEST`."""
SLOWEST = "100000"
"""Bytes a second: at less, a large archive would take longer than many a build."""

_GET = ("curl", "-fsSL", "--proto", "=http,https,file", "--connect-timeout", "5")
_SHORT = ("--max-time", PATIENCE)
_LONG = ("--speed-limit", SLOWEST, "--speed-time", PATIENCE)
_NO_FILE = 37
"""curl's status where a file: URL leads to nothing."""


class _AbsentError(Exception):
    """A cache answers, and has nothing under that name."""


def substitute(given: Stored) -> bool:
    """Take it from the first cache that has it, signed; any failure is one line, and the next is asked."""
    for one in getattr(given, "substituters", ()):
        where = f"{one.url.rstrip('/')}/{given.item}"
        try:
            _from_cache(where, one, given)
        except _AbsentError:
            say.say(f"{store.label(given)}: no finished build at {one.url}")
        except RefusedError as error:
            say.say(f"{store.label(given)}: not from {where}{entry.ARCHIVE}: {error}")
        else:
            return True
    return False


def _from_cache(where: str, one: Substituter, given: Stored) -> None:
    os.makedirs(places.STORE, exist_ok=True)
    part = files.scratch(places.STORE, f"substitute-{given.key}")
    names = (entry.ENTRY, entry.SIGNATURE)
    get = _getter(where, one, given, part)
    try:
        for name in names:
            get(name, part + name, entry.LIMIT, *_SHORT)
        said = read_signed(part + entry.ENTRY, part + entry.SIGNATURE, one.public_key)
        if differs := said.differs(given):
            raise RefusedError(f"the entry {differs}")
        _need_room(said)
        try:
            get(entry.ARCHIVE, part, said.size, *_LONG)
        except _AbsentError:
            raise RefusedError("there is an entry, and no archive") from None
        check(part, said)
        store.unpack(part, given)
    finally:
        for name in ("", *names):
            files.remove(part + name)


def _getter(where: str, one: Substituter, given: Stored, part: str) -> Callable[..., None]:
    """What gets a file of an entry, by the end of its name, into a place, of at most so many bytes."""
    if one.url.startswith(oci.SCHEME):
        return oci.Registry(one.url, given.item, part, _get).get
    return lambda suffix, *how: _get(where + suffix, *how)


def read_signed(place: str, signature: str, public_key: str) -> Entry:
    """The entry in a file, once its signature is found right; nothing of it is read before.

    Raises:
        RefusedError: somebody else has written it, it was altered, or it is no entry.
    """
    check_signature(place, signature, public_key)
    try:
        return entry.parse(files.read(place) or "")
    except ManifestError as error:
        raise RefusedError(f"the entry {error}") from None


def check_signature(place: str, signature: str, public_key: str) -> None:
    """Whether the owner of the key has signed a file.

    Raises:
        RefusedError: not so, or it cannot be told here.
    """
    key = f"{signature}.pem"
    files.write(key, entry.pem(public_key))
    try:
        status, said = run.output(
            "openssl", "dgst", "-sha256", "-verify", key, "-signature", signature, place, both=True
        )
    finally:
        files.remove(key)
    if status == 127:  # noqa: PLR2004 - a missing program's
        raise RefusedError("this host has no openssl to check its signature with")
    if status:
        raise RefusedError("it is not signed by the key that the declaration names")
    if b"Verified OK" not in said:
        raise RefusedError(f"openssl does not say whether its signature is right: {''.join(say.last_lines(said, 1))}")


def check(archive: str, said: Entry) -> None:
    """Whether a file is the one that an entry speaks of.

    Raises:
        RefusedError: it is another.
    """
    if (size := files.size(archive)) != said.size:
        raise RefusedError(f"it has {size} bytes, and its entry says {said.size}")
    if (got := files.sha256(archive)) != said.sha256:
        raise RefusedError(f"its SHA-256 is {got}, and its entry says {said.sha256}")


def _need_room(said: Entry) -> None:
    """Archive and content are there together for a while."""
    if (free := files.free_mb(places.STORE)) < 3 * (said.size >> 20) + 1:
        raise RefusedError(f"there is no room to unpack it: {free} MB are free")


def _get(url: str, to: str, limit: int, *patience: str) -> None:
    """A file of at most so many bytes; a server that sends without end fills no disk."""

    def bounded() -> None:
        # a write beyond the limit fails, and ends no process with a dump
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    status, said = run.output(*_GET, *patience, "-o", to, "--", url, both=True, preexec_fn=bounded)
    if status == _NO_FILE or b"error: 404" in said:
        raise _AbsentError
    if status:
        raise RefusedError(say.curl_reason(said, status))
    if not os.path.exists(to):
        # curl makes no file of an empty answer
        files.write(to, "")
