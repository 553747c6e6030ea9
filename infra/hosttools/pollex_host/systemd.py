"""What is asked of systemd."""

from __future__ import annotations

import os
from collections.abc import Mapping

from . import run


def is_running() -> bool:
    """Whether this host runs systemd."""
    return os.path.isdir("/run/systemd/system")


def asked(question: str, unit: str) -> str:
    """The word that answers `is-active` or `is-enabled`; empty where systemd knows no such unit."""
    return run.output("systemctl", question, "--", unit)[1].decode("utf-8", "replace").strip()


def show(properties: tuple[str, ...], *units: str) -> list[Mapping[str, str]]:
    """Properties of units, in the order of the units, with one question; empty where there is no systemd to ask."""
    flags = [word for name in properties for word in ("-p", name)]
    told = run.output("systemctl", "show", *flags, "--", *units)[1].decode("utf-8", "replace")
    return [dict(line.partition("=")[::2] for line in block.splitlines()) for block in told.split("\n\n") if block]


def reload() -> None:
    """Read what was written below /etc/systemd."""
    run.quiet("systemctl", "daemon-reload")


def forget_failure(unit: str) -> None:
    """A unit that failed before may start again at once."""
    run.quiet("systemctl", "reset-failed", unit)


def enable(unit: str) -> None:
    """Let it start with the host."""
    run.quiet("systemctl", "enable", "-q", unit)


def start(unit: str) -> bool:
    """Whether it started."""
    return run.quiet("systemctl", "start", unit)


def restart(unit: str) -> None:
    """Start it anew; whether it comes up is for a gate to say."""
    forget_failure(unit)
    run.quiet("systemctl", "restart", unit)


def stop_for_good(unit: str) -> None:
    """Stop it, and let it not start with the host; one that cannot be disabled is stopped at least."""
    if not run.quiet("systemctl", "disable", "--now", "-q", unit):
        run.quiet("systemctl", "stop", unit)


def stop(unit: str) -> None:
    """Stop it for now."""
    run.quiet("systemctl", "stop", unit)


def restart_later(unit: str) -> None:
    """Have it started anew without waiting for it."""
    forget_failure(unit)
    run.quiet("systemctl", "restart", "--no-block", unit)
