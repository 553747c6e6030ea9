"""What is asked of systemd."""

from __future__ import annotations

import os
from collections.abc import Mapping


def is_running() -> bool:
    """Whether this host runs systemd."""
    return os.path.isdir("/run/systemd/system")


def asked(question: str, unit: str) -> str:
    """The word that answers `is-active` or `is-enabled`; empty where systemd knows no such unit."""
    return _told(question, "--", unit).strip()


def show(properties: tuple[str, ...], *units: str) -> list[Mapping[str, str]]:
    """Properties of units, in the order of the units, with one question; empty where there is no systemd to ask."""
    flags = [word for name in properties for word in ("-p", name)]
    told = _told("show", *flags, "--", *units)
    return [dict(line.partition("=")[::2] for line in block.splitlines()) for block in told.split("\n\n") if block]


def default_target() -> str:
    """What the host starts into."""
    return _told("get-default").strip()


def reload() -> None:
    """Read what was written below /etc/systemd."""
    _done("daemon-reload")


def forget_failure(unit: str) -> None:
    """A unit that failed before may start again at once."""
    _done("reset-failed", unit)


def enable(unit: str) -> None:
    """Let it start with the host."""
    _done("enable", "-q", unit)


def start(unit: str) -> bool:
    """Whether it started."""
    return _done("start", unit)


def restart(unit: str) -> None:
    """Start it anew; whether it comes up is for a gate to say."""
    forget_failure(unit)
    _done("restart", unit)


def stop_for_good(unit: str) -> None:
    """Stop it, and let it not start with the host; one that cannot be disabled is stopped at least."""
    if not _done("disable", "--now", "-q", unit):
        _done("stop", unit)


def stop(unit: str) -> None:
    """Stop it for now."""
    _done("stop", unit)


def restart_later(unit: str) -> None:
    """Have it started anew without waiting for it."""
    forget_failure(unit)
    _done("restart", "--no-block", unit)


def _done(*words: str) -> bool:
    """Whether systemctl did it; what it says is for nobody."""
    from . import run  # noqa: PLC0415 - starting programs in Python's way costs `status` a third of its time

    return run.quiet("systemctl", *words)


def _told(*words: str) -> str:
    """What systemctl says; nothing where there is none."""
    reads, writes = os.pipe()
    given = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writes, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        child = os.posix_spawnp("systemctl", ("systemctl", *words), os.environ, file_actions=given)
    except OSError:
        os.close(reads)
        return ""
    finally:
        os.close(writes)
    with open(reads, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told.decode("utf-8", "replace")
