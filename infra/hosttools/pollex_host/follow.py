"""Watching a build that goes on elsewhere. A follower only reads: any number of them, any of which may die.

The build writes one line into build/KEY/state:  PHASE SINCE COUNT DETAIL
SINCE is in seconds since the epoch; COUNT is the number of steps of a compile, or the exit status of `failed`, whose
DETAIL is how long the build took.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from . import files, locks, manifest, places, run, store
from .errors import Ended, Exit, HostToolError
from .say import LINE_LIMIT, Pulse, clean, duration, say

SHOWN = 60
"""Lines of a failed build's log that are shown."""
NO_SPACE_MB = 16
"""With less than this left, whatever could not be written is to be blamed on the disk."""
MEMORY_ADVICE = "the compiler was killed for want of memory: lower pollex:build.jobs"
_FOUND_OUT = {Exit.USAGE, Exit.WRONG_BYTES, Exit.PATCH, Exit.NO_MIRROR}
"""Ends whose reason the tools found out for themselves; of the others, the log says it."""
_NINJA = re.compile(r"\[(\d+)/(\d+)\]")
_MAKE = re.compile(r"\[ *(\d+)%\]")
_ERROR = re.compile(r"^FAILED: |(^|[^a-z_])error: |^CMake Error|undefined reference|: not found$|^make.*\*\*\*|Killed")


def unit(key: str) -> str:
    """The systemd unit of a build."""
    return f"pollex-build@{key}.service"


def work(key: str) -> str:
    """The folder of a build under way; its lock is held while it runs."""
    return f"{places.BUILDS}/{key}"


def state_file(key: str) -> str:
    """Where a build says how far it is."""
    return f"{work(key)}/state"


def log_file(key: str) -> str:
    """The whole log of the last build of a key."""
    return f"{places.LOGS}/{key}.log"


def host_name() -> str:
    """This host's, for people who read a message elsewhere."""
    return os.uname().nodename


@dataclass(frozen=True)
class State:
    """How far a build is; `phase` is empty when none has begun."""

    phase: str = ""
    since: int = 0
    count: int = 0
    detail: str = ""

    @classmethod
    def read(cls, key: str) -> State:
        """As the build has written it last."""
        parts = (files.read(state_file(key)) or "").rstrip("\n").split(" ", 3)
        phase, since, count, detail = (*parts, "", "", "", "")[:4]
        return cls(phase, int(since) if since.isdigit() else 0, int(count) if count.isdigit() else 0, detail)

    def write(self, key: str) -> None:
        """In one step, so that a follower reads the former line or this one."""
        files.write(state_file(key), f"{self.phase} {self.since} {self.count} {self.detail}\n")


def building(key: str) -> bool:
    """Does a build run, as a unit or by hand?"""
    if os.path.isdir(work(key)) and locks.is_locked(work(key)):
        return True
    return os.path.isdir("/run/systemd/system") and run.quiet("systemctl", "is-active", "-q", unit(key))


def follow(given: manifest.Build) -> None:
    """Return when the store path is there.

    Raises:
        Ended: the build failed, with its exit status; why was said.
        HostToolError: it was stopped.
    """
    said, pulse = "", Pulse()
    while not os.path.isdir(store.path(given.item)):
        if not building(given.key):
            if os.path.isdir(store.path(given.item)):
                return
            _failed(given)
        now = State.read(given.key)
        # When it has failed it is about to end, and then building() says so.
        if now.phase != "failed" and (pulse.due() or now.phase != said):
            if now.phase != said:
                pulse = Pulse(first=places.POLL)
            say(f"{store.label(given)}: {_doing(now, given.key)}")
            said = now.phase
        time.sleep(1)


def _doing(now: State, key: str) -> str:
    """The phase in words."""
    spent = duration(max(0, time.time() - now.since))
    words = {
        "packages": f"installing the compilers, {spent}",
        "source": f"getting the source from {now.detail}, {spent}",
        "patch": "applying the patches",
        "configure": f"configuring with CMake, {spent}",
        "check": "running it once",
        "proof": f"checking what it computes, {spent}",
        "install": "installing it into the store",
    }
    if now.phase == "compile":
        return f"compiling{compiled(_log(key), now.count, time.time() - now.since)}"
    return words.get(now.phase, "waiting for the build to begin")


def compiled(log: Iterable[str], known: int, spent: float) -> str:
    """How far a compile is, from its log: ` 42% (51/121), about 48 min left`; nothing before its first step.

    Args:
        log: its lines.
        known: the steps that its first start had, 0 if unknown. After an interruption ninja counts only what is left,
            so what it no longer counts was done before.
        spent: seconds since it started this time.
    """
    done = of = percent = 0
    first = None
    for line in log:
        if line.startswith("== phase compile"):
            done = of = percent = 0
            first = None
        elif match := _NINJA.match(line):
            done, of = int(match[1]), int(match[2])
        elif match := _MAKE.match(line):
            percent = int(match[1])
            first = percent if first is None else first
    long_enough = spent > 5  # noqa: PLR2004 - earlier than that, a rate is a guess
    if of:
        total = max(known, of)
        through = total - of + done
        left = f", about {duration(spent * (of - done) / done)} left" if done > 1 and long_enough else ""
        return f" {100 * through // total}% ({through}/{total}){left}"
    if percent:
        begun = first or 0
        rest = spent * (100 - percent) / (percent - begun) if percent > begun and long_enough else None
        return f" {percent}%" + (f", about {duration(rest)} left" if rest is not None else "")
    return ""


def _failed(given: manifest.Build) -> None:
    """Say why a build ended without a store path, and end as it did."""
    key = given.key
    where = f"whole log: {host_name()}:{log_file(key)}"
    state = State.read(key)
    if state.phase != "failed":
        if no_space_left(key):
            raise HostToolError(Exit.NO_SPACE, f"the build of {store.label(given)} ended: {space_advice(key)}", where)
        _, result = run.output("systemctl", "show", "-p", "Result", "--value", unit(key))
        if clean(result).strip() == "oom-kill":
            # systemd ends a unit one process of which the kernel has killed, since 243
            raise HostToolError(Exit.BUILD, f"the build of {store.label(given)} ended: {MEMORY_ADVICE}", where)
        raise HostToolError(
            Exit.BUILD,
            f"the build of {store.label(given)} was stopped before it was done "
            f"({clean(result).strip() or 'unknown'}); the next ensure goes on with it",
            where,
        )
    took = duration(int(state.detail) if state.detail.isdigit() else 0)
    say(f"pollex: build of {store.label(given)} failed on {host_name()} after {took}")
    for line in reasons(this_run(_log(key)), state.count):
        say(f"  {line}")
    if state.count == Exit.NO_SPACE:
        say(f"  {space_advice(key)}")
    say(f"  {where}")
    raise Ended(state.count or Exit.BUILD)


def reasons(log: list[str], status: int) -> list[str]:
    """What of a failed build's log says why."""
    own = [line[len("pollex: ") :] for line in log if line.startswith("pollex: ")]
    if status in _FOUND_OUT:
        return own[-SHOWN:]
    last = max((index for index, line in enumerate(log) if line.startswith("== phase")), default=0)
    own = [line[len("pollex: ") :] for line in log[last:] if line.startswith("pollex: ")]
    return [*own, *real_error(log)]


def real_error(log: list[str]) -> list[str]:
    """Up to 60 lines from where the first thing went wrong, which is seldom the end of the log."""
    lines = [line for line in log if not line.startswith("pollex: ")]
    first = next((index for index, line in enumerate(lines) if _ERROR.search(line)), max(0, len(lines) - SHOWN))
    shown = [line[:LINE_LIMIT] for line in lines[first:] if not (_NINJA.match(line) or _MAKE.match(line))][:SHOWN]
    if any("Killed signal terminated program" in line for line in lines):
        shown.append(MEMORY_ADVICE)
    return shown


def _log(key: str) -> list[str]:
    return clean(files.read(log_file(key)) or "").splitlines()


def this_run(log: list[str]) -> list[str]:
    """The log since the build last began."""
    last = max((index for index, line in enumerate(log) if line.startswith("== begin")), default=0)
    return log[last:]


def no_space_left(key: str) -> bool:
    """Is that what ended this build?"""
    return files.free_mb(places.ROOT) < NO_SPACE_MB or any(
        "No space left on device" in line for line in this_run(_log(key))
    )


def space_advice(key: str) -> str:
    """How much is left, how much more than that was needed, and what to do."""
    free, taken = files.free_mb(places.ROOT), files.used_kb(work(key)) >> 10
    return (
        f"no space left: {free} MB free at {places.ROOT}, and the build needs more than that beside the {taken} MB "
        "that it has taken so far; make room (pollex-host gc), or choose a larger disk"
    )
