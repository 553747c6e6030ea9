"""Store paths: sealed, checked, put there in one step, packed and unpacked.

A path is `store/KEY-NAME`. It appears complete or not at all and never changes; `.sha256sums` inside lists every file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from . import files, places
from .say import LINE_LIMIT, clean, say

if TYPE_CHECKING:
    import tarfile

    from .manifest import Stored

SUMS = ".sha256sums"
INTACT = "intact"
ARCHIVED = frozenset({"build", "bundle"})
"""Kinds of manifests whose store paths have an archive beside them, to be mended from."""
_HASH = 64


class RefusedError(Exception):
    """What would become a store path is none; the text says why."""


def path(item: str) -> str:
    """Where a store path is, by its name."""
    return f"{places.STORE}/{item}"


def archive(item: str) -> str:
    """Where the archive of a store path is kept, to mend it from."""
    return f"{places.ARCHIVES}/{item}.tar.gz"


def label(given: Stored) -> str:
    """What people are shown: `llama-server 3ba038…`."""
    return f"{given.name} {given.key[:6]}…"


def seal(folder: str) -> None:
    """List every file with its hash, as sha256sum does."""
    names = sorted(os.fsencode(name) for name in _plain_files(folder))
    lines = [files.sha256(f"{folder}/{os.fsdecode(name)}").encode() + b"  " + name + b"\n" for name in names]
    files.write(f"{folder}/{SUMS}", b"".join(lines))


def state(folder: str) -> str:
    """What the live map says of a store path: `intact`, `missing`, or `changed: FILE`."""
    if not os.path.isdir(folder):
        return "missing"
    listed: set[str] = set()
    with suppress(OSError), open(f"{folder}/{SUMS}", "rb") as sums:
        for line in sums:
            digest, name = line[:_HASH].decode("ascii", "replace"), os.fsdecode(line[_HASH + 2 :].rstrip(b"\n"))
            try:
                right = bool(name) and files.sha256(f"{folder}/{name}") == digest
            except OSError:
                right = False
            if not right:
                return f"changed: {clean(name) or SUMS}"
            listed.add(name)
    if not listed:
        return f"changed: {SUMS}"
    plain = set(_plain_files(folder))
    for place in files.everything(folder):
        name = place[len(folder) + 1 :]
        # a file that is not listed, or that is no longer a plain file
        if name != SUMS and not _is_folder(place) and not (name in listed and name in plain):
            return f"changed: {clean(name)}"
    return INTACT


def _plain_files(folder: str) -> list[str]:
    """Names of the plain files below a folder, but for the list."""
    inside = (place for place in files.everything(folder) if os.path.isfile(place) and not os.path.islink(place))
    return [name for name in (place[len(folder) + 1 :] for place in inside) if name != SUMS]


def _is_folder(place: str) -> bool:
    return os.path.isdir(place) and not os.path.islink(place)


def install(folder: str, item: str) -> None:
    """Let a complete folder become a store path in one step; whoever is first wins."""
    os.makedirs(places.STORE, exist_ok=True)
    files.sync(folder)
    try:
        os.rename(folder, path(item))
    except OSError:
        if not os.path.isdir(path(item)):
            raise
        files.remove(folder)
    files.sync(places.STORE)


def pack(folder: str, item: str, to: IO[bytes], level: int = 6) -> None:
    """Write a tar.gz of `folder/item` that depends on nothing but names, modes and contents.

    At level 0 nothing is compressed, which is right for a model's weights: they stay as large, and a board is slow.
    """
    import gzip  # noqa: PLC0415 - compression is costly to import, and only few verbs need it
    import tarfile  # noqa: PLC0415 - as above

    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=to, mtime=0) as squeezed,
        tarfile.open(mode="w", fileobj=squeezed, format=tarfile.GNU_FORMAT) as packed,
    ):
        for place in (f"{folder}/{item}", *files.everything(f"{folder}/{item}")):
            packed.add(place, arcname=place[len(folder) + 1 :], recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def keep_archive(given: Stored) -> None:
    """Keep an archive of an intact path, so that it can be mended where no substituter is at hand then."""
    kept = archive(given.item)
    if os.path.isfile(kept) or state(path(given.item)) != INTACT:
        return
    os.makedirs(places.ARCHIVES, exist_ok=True)
    try:
        with open(f"{kept}.new", "wb") as new:
            pack(places.STORE, given.item, new)
        os.replace(f"{kept}.new", kept)
    except OSError:
        files.remove(f"{kept}.new")
        say(f"{label(given)}: no archive of it is kept, where {files.free_mb(places.ROOT)} MB are free")


def unpack(packed: str, given: Stored) -> None:
    """Put a store path there from an archive, once it was found complete and its program to run and compute rightly.

    Raises:
        RefusedError: it is not what it should be.
    """
    scratch = files.scratch(places.STORE, f"unpack-{given.key}")
    os.makedirs(scratch)
    try:
        _extract(packed, scratch)
        accept(f"{scratch}/{given.item}", given)
    finally:
        files.remove(scratch)


def accept(folder: str, given: Stored) -> None:
    """Let a folder become a store path, once it was found complete and its program to run and compute rightly.

    Raises:
        RefusedError: it is not what it should be.
    """
    if (found := state(folder)) != INTACT:
        raise RefusedError(f"its content is {found}")
    _try_out(folder, given)
    try:
        install(folder, given.item)
    except OSError as error:
        raise RefusedError(f"it cannot be moved into {places.STORE}: {error.strerror}") from error


def _extract(packed: str, into: str) -> None:
    """Write the files of an archive; links and devices are passed over, since a store path holds none."""
    import gzip  # noqa: PLC0415 - as in `pack`
    import tarfile  # noqa: PLC0415 - as in `pack`
    import zlib  # noqa: PLC0415 - as in `pack`

    try:
        with gzip.open(packed) as squeezed:
            with tarfile.open(fileobj=squeezed, mode="r|") as members:
                for member in members:
                    parts = [part for part in member.name.split("/") if part != "."]
                    if {"", ".."} & set(parts):
                        raise RefusedError("it cannot be unpacked: a name in it leads out of it")
                    place = "/".join([into, *parts])
                    if member.isdir():
                        os.makedirs(place, exist_ok=True)
                    elif member.isfile() and (content := members.extractfile(member)) is not None:
                        os.makedirs(os.path.dirname(place), exist_ok=True)
                        with open(place, "wb") as file:
                            files.copy(content, file)
                        os.chmod(place, 0o755 if member.mode & 0o100 else 0o644)
            # up to the checksum at its end, which tar does not look at
            while squeezed.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise RefusedError("it cannot be unpacked") from error


def _try_out(folder: str, given: Stored) -> None:
    """Run the program once, and let it show that it computes rightly; a published model has its hash."""
    if given.kind == "model" and files.sha256(f"{folder}/{getattr(given, 'file', '')}") != getattr(given, "sha256", ""):
        raise RefusedError("its file has another SHA-256 than the declaration says")
    target = getattr(given, "target", "")
    if not target:
        return
    program = f"{folder}/bin/{target}"
    good, _ = runs(program)
    if not good:
        raise RefusedError(f"{target} does not run on this host{lacking(program)}")
    if (proof := getattr(given, "proof", None)) is None:
        return
    from .proof import computes  # noqa: PLC0415 - HTTP and compression, which only a proof needs
    from .trial import TrialError  # noqa: PLC0415 - as above

    try:
        computes(program, proof)
    except TrialError as error:
        raise RefusedError(f"{target} computes wrongly on this host: {error}") from error


def runs(program: str) -> tuple[bool, list[str]]:
    """Whether a program says its version, and what it said; one that cannot even do that is not installed.

    Those of llama.cpp's tools that know no --version end with 1 and say how they are used.
    """
    from . import run  # noqa: PLC0415 - as above

    status, said = run.output(program, "--version", timeout=60, both=True)
    return status == 0 or (status == 1 and b"usage:" in said), [line[:LINE_LIMIT] for line in clean(said).splitlines()]


def lacking(program: str) -> str:
    """Which libraries a program lacks here, as the end of a sentence."""
    from . import run  # noqa: PLC0415 - as above

    _, said = run.output("ldd", program)
    missing = not_found(said.decode("utf-8", "replace"))
    return f", it lacks {', '.join(missing)}" if missing else ""


def not_found(said: str) -> list[str]:
    """The libraries that ldd does not find, and of versions that a library does not have the newest of each name."""
    import re  # noqa: PLC0415 - as above

    missing = re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE)
    newest = dict[str, list[int]]()
    for name, version in re.findall(r"version `(\w+)_([\d.]+)' not found", said):
        newest[name] = max(newest.get(name, []), [int(part) for part in version.split(".")])
    return [*missing, *(f"{name}_{'.'.join(map(str, version))}" for name, version in sorted(newest.items()))]


def take_over(given: Stored) -> bool:
    """Let what lies in the store under a former key of the same bytes be the path of this one, too.

    The former path stays, for the generations that name it; a second name of a file costs no space.
    """
    for key in given.former_keys:
        former = path(f"{key}-{given.name}")
        if os.path.isdir(former) and state(former) == INTACT:
            say(f"{label(given)}: taken over from {key}, a former name of the same")
            new = files.scratch(places.STORE, f"former-{given.key}")
            os.mkdir(new)
            for place in files.everything(former):
                name = place[len(former) :]
                if _is_folder(place):
                    os.mkdir(new + name)
                else:
                    os.link(place, new + name)
            install(new, given.item)
            return True
    return False
