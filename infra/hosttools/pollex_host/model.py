"""`ensure-model`: a model file is there, or taken over where it lies already, or downloaded, or made out of another."""

from __future__ import annotations

import os
import stat
import time
from typing import Union

from . import download, ensure, files, kept, places, run, say, store
from .locks import Lock
from .manifest import Model, Quantised
from .substitute import substitute

ModelFile = Union[Model, Quantised]


def ensure_model(arguments: list[str]) -> None:
    """The verb."""
    run.end_on_signals()
    began = time.monotonic()
    given = kept.take("ensure-model", (Model.kind, Quantised.kind), ensure.without_ready(arguments))
    assert isinstance(given, (Model, Quantised))  # noqa: S101 - `take` has refused every other kind
    how = ensure.ready(given, _exists(given)) if ensure.READY in arguments else make_exist(given)
    ensure.report(given, how, began)


def make_exist(given: ModelFile) -> str:
    """How the file came to be there.

    Raises:
        HostToolError: it cannot be had, or not be made, or there is no room for it.
        Ended: the program that makes it could not be built; why was said.
    """
    how = _exists(given) or _obtained(given)
    say.say(f"{given.file}: {how}")
    return how


def _exists(given: ModelFile) -> str:
    """How it can be had without work, if it can."""
    if os.path.isdir(store.path(given.item)):
        return "present"
    if store.take_over(given):
        return "adopted"
    return "substituted" if substitute(given) else ""


def _obtained(given: ModelFile) -> str:
    """One process at a time works on a key; the others say how far it is."""
    work = f"{places.BUILDS}/{given.key}"
    part = f"{work}/part"
    lock = _alone(work, given, part)
    try:
        # The one before may have finished, and have taken the folder away with its lock.
        if os.path.isdir(store.path(given.item)):
            return "present"
        if isinstance(given, Quantised):
            from .quantise import quantise  # noqa: PLC0415 - most models are served as they were published

            how, digest = "quantised", quantise(given, part)
        elif _adopt(given, part):
            how, digest = "adopted", given.sha256
        else:
            download.Download(given, part).fetch()
            how, digest = "downloaded", given.sha256
        _install(given, part, digest)
        files.remove(work)
    finally:
        lock.release()
    return how


def _alone(work: str, given: ModelFile, part: str) -> Lock:
    """The lock of the work folder, once it is ours."""
    while True:
        lock = Lock.made(work)
        say.wait_until(lock.take, lambda: f"{given.file}: another run is at it: {_so_far(given, part)}")
        if lock.is_of(work) or os.path.isdir(store.path(given.item)):
            return lock
        lock.release()


def _so_far(given: ModelFile, part: str) -> str:
    """How much there is, of a size that is only known of a published file."""
    got = files.size(part)
    return download.percent(got, given.size) if isinstance(given, Model) else f"{got // download.MB} MB"


def _install(given: ModelFile, part: str, digest: str) -> None:
    new = f"{part}.store"
    files.remove(new)
    os.mkdir(new)
    # first, so that a disk that has no room even for this does not cost what has arrived
    files.write(f"{new}/{store.SUMS}", f"{digest}  {given.file}\n")
    os.replace(part, f"{new}/{given.file}")
    os.chmod(f"{new}/{given.file}", 0o644)
    store.install(new, given.item)


def _adopt(given: Model, part: str) -> bool:
    """Take the file that lies at the visible path, if it is the right one."""
    if given.adopt is None or not os.path.isfile(given.adopt) or files.size(given.adopt) != given.size:
        return False
    say.say(f"{given.file}: checking the file at {given.adopt}")
    found = os.path.realpath(given.adopt)
    digest = files.sha256(found)
    if digest != given.sha256:
        say.say(f"{given.file}: {given.adopt} has SHA-256 {digest}, wanted {given.sha256}: not taken")
        return False
    files.remove(part)
    if not _second_name(found, part):
        download.need_space(given.file, given.size, part)
        with open(f"{part}.said", "wb") as said:
            copy = run.start(["cp", "--reflink=auto", "--", found, part], said)
            status = run.attend(copy, lambda: f"{given.file}: copying, {_so_far(given, part)}")
        return status == 0 and files.size(part) == given.size
    return True


def _second_name(found: str, part: str) -> bool:
    """A second name costs no space, but only root may be able to write through the first one."""
    status = os.stat(found)
    if status.st_uid != 0 or stat.S_IMODE(status.st_mode) not in {0o644, 0o744}:
        return False
    try:
        os.link(found, part)
    except OSError:
        return False
    return True
