"""Brings Debian packages that are missing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence

from . import files, places, run
from .errors import Exit, HostToolError
from .say import Pulse, duration, last_lines, say

_NAME = re.compile(r"[a-z0-9][a-z0-9.+:-]*")
_STALE = re.compile(rb"Unable to locate|no installation candidate|Failed to fetch|not available|404")
"""What apt says when its lists are too old."""
_BUSY = b"Could not get lock"
_INTERRUPTED = b"dpkg was interrupted"
_PATIENCE = 900
"""Seconds to wait for another apt: a fresh board's first unattended upgrade takes minutes."""
_LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)


def install(wanted: Sequence[str]) -> list[str]:
    """Install those that are not, in one go; which those were.

    Raises:
        HostToolError: one cannot be had.
    """
    for name in wanted:
        if not _NAME.fullmatch(name):
            raise HostToolError(Exit.USAGE, f"'{name}' is not the name of a Debian package (pollex:build.packages)")
    missing = _missing(wanted)
    if not missing:
        return []
    if run.which("apt-get") is None:
        raise HostToolError(
            Exit.FAILED,
            f"missing packages, and this host has no apt-get: {' '.join(missing)}",
            "install them by hand, or name what this host has in pollex:build.packages",
        )
    log = f"{places.LOGS}/packages.log"
    os.makedirs(places.LOGS, exist_ok=True)
    files.write(log, "")
    if not _apt_install(missing, log):
        with open(log, "rb") as file:
            errors = [line[3:] for line in file.read().splitlines() if line.startswith(b"E: ")]
        for line in last_lines(b"\n".join(errors), 10):
            say(f"  {line}")
        raise HostToolError(
            Exit.FAILED,
            f"cannot install {' '.join(missing)}: check what the stack names "
            "(pollex:build.packages, pollex:polish.python) and the host's package sources",
            f"whole log: {os.uname().nodename}:{log}",
        )
    return missing


def _missing(wanted: Sequence[str]) -> list[str]:
    """Those that are not installed, in the order given."""
    if not wanted:
        return []
    form = "${Package} ${Package}:${Architecture} ${db:Status-Status}\n"
    _, said = run.output("dpkg-query", "-W", "-f", form, *wanted)
    installed = set()
    for line in said.decode("utf-8", "replace").splitlines():
        *names, status = line.split(" ")
        if status == "installed":
            installed.update(names)
    return [name for name in wanted if name not in installed]


def _apt_install(missing: Sequence[str], log: str) -> bool:
    """The lists are refreshed only when apt does not know a package, or knows one that is gone."""
    what = f"installing {' '.join(missing)}"
    command = ("install", "--no-install-recommends", *missing)
    if _apt(what, command, log) == 0:
        return True
    with open(log, "rb") as file:
        if not _STALE.search(file.read()):
            return False
    return _apt("refreshing the package lists", ("update",), log) == 0 and _apt(what, command, log) == 0


def _apt(what: str, command: Sequence[str], log: str) -> int:
    """Run apt-get with lines of progress; waits while another apt holds the lock."""
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "a"}
    told = ("apt-get", command[0], "-q", "-y", "-o", "Acquire::Retries=3", *command[1:])
    until = float("inf")  # counted from when it is found to be busy: what apt itself takes is no waiting
    mended = False
    while True:
        say(what)
        with open(f"{log}.now", "wb") as now:
            status = run.attend(run.start(told, now, environment=environment), _line(what), Pulse(first=places.POLL))
        with open(f"{log}.now", "rb") as now, open(log, "ab") as whole:
            said = now.read()
            whole.write(said)
        files.remove(f"{log}.now")
        if _INTERRUPTED in said and not mended:
            say("dpkg was interrupted at some time: letting it end what it had begun (dpkg --configure -a)")
            run.quiet("dpkg", "--force-confdef", "--force-confold", "--configure", "-a")
            mended = True
        elif status == 0 or _BUSY not in said or time.monotonic() > until:
            return status
        else:
            until = min(until, time.monotonic() + _PATIENCE)
            what = f"waiting for {_holder() or 'another apt'} to end"
            time.sleep(min(10, places.POLL))


def _holder() -> str:
    """Who holds one of apt's locks, such as `unattended-upgr (process 138)`; empty where it cannot be told."""
    locks = {os.stat(path).st_ino for path in _LOCKS if os.path.exists(path)}
    for line in (files.read("/proc/locks") or "").splitlines():
        # 1: POSIX  ADVISORY  WRITE 138 fe:01:12345 0 EOF
        words = line.split()
        if words[1] == "POSIX" and int(words[5].rpartition(":")[2]) in locks:
            name = (files.read(f"/proc/{words[4]}/comm") or "").strip()
            return f"{name} (process {words[4]})" if name else ""
    return ""


def _line(what: str) -> Callable[[], str]:
    began = time.monotonic()
    return lambda: f"{what}, {duration(time.monotonic() - began)}"
