"""`gc` and `pack`: what no kept generation needs is deleted; a finished build is packed for others."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from . import files, follow, generations, kept, locks, manifest, places, say, store, tools
from .errors import Exit, HostToolError

KEEP = 2
"""Former generations that stay."""
_OLD = 3600
"""Seconds after which what a run has left half done belongs to no running one."""


def gc(arguments: list[str]) -> None:
    """The verb."""
    keep, dry_run = _options(arguments)
    kept.need_root()
    os.makedirs(places.GENERATIONS, exist_ok=True)
    if not locks.Lock(places.GENERATIONS).take():
        raise HostToolError(Exit.BUSY, "an activation is running: try again when it is done")
    sweep = _Sweep(dry_run=dry_run)
    sweep.run(keep)
    say.say(f"{'would free' if dry_run else 'freed'} {sweep.freed_kb // 1024} MB")
    say.answer(freed_mb=sweep.freed_kb // 1024, deleted=sweep.deleted)


def _options(arguments: list[str]) -> tuple[int, bool]:
    keep, dry_run, rest = KEEP, False, list(arguments)
    while rest:
        option = rest.pop(0)
        if option == "--dry-run":
            dry_run = True
        elif option == "--keep":
            number = rest.pop(0) if rest else ""
            if not number.isdigit():
                raise HostToolError(Exit.USAGE, f"--keep takes a number of former generations, not '{number}'")
            keep = int(number)
        else:
            raise HostToolError(Exit.USAGE, f"'gc' takes --keep N and --dry-run, not '{option}'")
    return keep, dry_run


class _Sweep:
    """Deletes, or says that it would, and adds up."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self.deleted: list[str] = []
        self.freed_kb = 0

    def run(self, keep: int) -> None:
        """Everything that is not needed."""
        names = _kept_generations(keep)
        needed = {item for name in names if generations.exists(name) for item in generations.load(name).stores()}
        for path in _inside(places.GENERATIONS, hidden=".n"):
            if os.path.isdir(path) and os.path.basename(path) not in names:
                self._delete(path)
        self._stored(needed)
        for path in _inside(places.BUILDS):
            self._delete_unless_made(path)
        self._tools()

    def _stored(self, needed: set[str]) -> None:
        """Store paths, their manifests and archives, and what cut runs left half done among them."""
        for folder in (places.STORE, places.MANIFESTS):
            for path in _inside(folder):
                if os.path.basename(path) not in needed:
                    self._delete_unless_made(path)
        for folder in (places.STORE, places.ARCHIVES, places.MANIFESTS):
            for path in _inside(folder, hidden="."):
                if os.path.basename(path).startswith(".") and _age(path) > _OLD:
                    self._delete(path)
        for path in _inside(places.ARCHIVES):
            if os.path.basename(path).replace(".tar.gz", "") not in needed:
                self._delete(path)

    def _tools(self) -> None:
        """Tools that are not in force, and interpreters that do not run those that are."""
        current = os.path.realpath(f"{places.ROOT}/bin")
        interpreter = files.link_target(f"{current}/{tools.PYTHON}") or ""
        for path in _inside(places.TOOLS, hidden=".n"):
            used = os.path.realpath(path) == current or interpreter.startswith(f"{path}/")
            if os.path.isdir(path) and not used:
                self._delete(path)

    def _delete(self, path: str) -> None:
        if not files.there(path):
            return
        self.freed_kb += files.used_kb(path)
        name = os.path.relpath(path, places.ROOT)
        self.deleted.append(name)
        say.say(f"{'would delete' if self._dry_run else 'deleting'} {name}")
        if not self._dry_run:
            files.remove(path)

    def _delete_unless_made(self, path: str) -> None:
        """Leave alone what a build or download of that key works on, or will after a reboot."""
        key = os.path.basename(path)[:32]
        waits = os.path.lexists(f"{places.UNITS}/multi-user.target.wants/{follow.unit(key)}")
        if waits or locks.is_locked(follow.work(key)):
            say.say(f"left alone: {os.path.relpath(path, places.ROOT)} is being made")
        else:
            self._delete(path)


def _kept_generations(keep: int) -> set[str]:
    """The live one, the one to return to while an activation is under way, and the last `keep` others."""
    live = generations.current()
    others = [name for name in generations.history() if name != live]
    former = others[max(0, len(others) - keep) :]
    return {name for name in (live, generations.pending(), *former) if name}


def _inside(folder: str, hidden: str | None = None) -> Iterator[str]:
    """What is in a folder, sorted; of the hidden, those whose names begin so."""
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder)):
            if not name.startswith(".") or (hidden is not None and name.startswith(hidden)):
                yield f"{folder}/{name}"


def _age(path: str) -> float:
    return time.time() - os.lstat(path).st_mtime


def pack(arguments: list[str]) -> None:
    """The verb."""
    if len(arguments) != 1 or not manifest.NAME.fullmatch(arguments[0]):
        raise HostToolError(Exit.USAGE, "'pack' takes the name of a store path: KEY-NAME")
    item = arguments[0]
    if sys.stdout.isatty():
        raise HostToolError(Exit.USAGE, "'pack' writes an archive to stdout: direct it to a file or a pipe")
    if (state := store.state(store.path(item))) != store.INTACT:
        raise HostToolError(Exit.FAILED, f"{store.path(item)} is {state}")
    level = 6 if kept.load(item).kind in store.ARCHIVED else 0
    store.pack(places.STORE, item, sys.stdout.buffer, level)
    sys.stdout.flush()
