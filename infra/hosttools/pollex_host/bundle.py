"""Programs that are packed elsewhere: they are there, or a substituter or the archive has them, or they are received.

A bundle is an archive of a sealed store path, as `pack` writes it.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
import zlib

from . import ensure, files, kept, places, run, say, store
from .errors import Exit, HostToolError
from .manifest import KINDS, Bundle, Generation, Stored
from .store import RefusedError
from .substitute import substitute


def ensure_bundle(arguments: list[str]) -> None:
    """The verb: 10 tells the other side that it has to pack and send it."""
    run.end_on_signals()
    began = time.monotonic()
    given = kept.take("ensure-bundle", (Bundle.kind,), arguments)
    how = _exists(given)
    store.keep_archive(given)
    say.say(f"{store.label(given)}: {how}")
    ensure.report(given, how, began)


def _exists(given: Stored) -> str:
    if os.path.isdir(store.path(given.item)):
        return "present"
    if store.take_over(given):
        return "adopted"
    if substitute(given):
        return "substituted"
    if ensure.restore(given):
        return "restored"
    raise HostToolError(
        Exit.NOWHERE,
        f"{store.label(given)} is not on this host, and no substituter has it: it is packed where pulumi runs",
    )


def receive(arguments: list[str]) -> None:
    """The verb: an archive on stdin of what another host, or pulumi's side, has made.

    It is kept, so that a damaged store path can be made again; that of a model, which is as large as the model, is not.
    """
    run.end_on_signals()
    began = time.monotonic()
    if len(arguments) != 1:
        raise HostToolError(Exit.USAGE, "'receive' takes one key")
    given = kept.take("receive", tuple(kind for kind in KINDS if kind != Generation.kind), arguments)
    os.makedirs(places.ARCHIVES, exist_ok=True)
    incoming = files.scratch(places.ARCHIVES, given.item)
    try:
        _keep(incoming, given)
        try:
            store.unpack(incoming, given)
        except RefusedError as error:
            raise _refused(incoming, given, str(error)) from error
        if given.kind in store.ARCHIVED:
            files.sync(incoming)
            os.replace(incoming, store.archive(given.item))
    finally:
        files.remove(incoming)
    say.say(f"{store.label(given)}: received")
    ensure.report(given, "received", began)


def _keep(incoming: str, given: Stored) -> None:
    try:
        with open(incoming, "wb") as file:
            files.copy(sys.stdin.buffer, file)
    except OSError as error:
        came = (files.size(incoming) >> 20) + 1
        files.remove(incoming)
        raise HostToolError(
            Exit.NO_SPACE,
            f"the archive of {store.label(given)} cannot be kept in {places.ARCHIVES}: it is larger than the {came} MB "
            f"that have come, and {files.free_mb(places.ROOT)} MB are free: make room (pollex-host gc), "
            "or choose a larger disk",
        ) from error


def _refused(incoming: str, given: Stored, why: str) -> HostToolError:
    """A whole archive is not to blame for a disk that cannot hold what is in it."""
    unpacked, free = _unpacked_mb(incoming), files.free_mb(places.ROOT)
    if unpacked is not None and unpacked >= free:
        return HostToolError(
            Exit.NO_SPACE,
            f"{store.label(given)} needs {unpacked} MB at {places.ROOT}, and {free} MB are free: "
            "make room (pollex-host gc)",
        )
    return HostToolError(Exit.WRONG_BYTES, f"the archive of {store.label(given)} is refused: {why}")


def _unpacked_mb(packed: str) -> int | None:
    """How much room an archive takes; None where it is none."""
    total = 0
    try:
        with gzip.open(packed) as squeezed:
            while chunk := squeezed.read(1 << 20):
                total += len(chunk)
    except (OSError, EOFError, zlib.error):
        return None
    return (total >> 20) + 1
