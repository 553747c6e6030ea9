"""`ensure`: a build is there, or a substituter or the archive has it, or the host builds it."""

from __future__ import annotations

import os
import time

from . import files, follow, kept, manifest, places, run, say, store
from .errors import Exit, HostToolError
from .store import RefusedError
from .substitute import substitute


def ensure(arguments: list[str]) -> None:
    """The verb."""
    began = time.monotonic()
    given = kept.take("ensure", ("build",), without_ready(arguments))
    assert isinstance(given, manifest.Build)  # noqa: S101 - `take` has refused every other kind
    report(given, ready(given, _exists(given)) if READY in arguments else make_exist(given), began)


READY = "--ready"
"""Asks for what need not be made; that is asked before another host's is waited for."""


def without_ready(arguments: list[str]) -> list[str]:
    """A verb's other arguments."""
    return [word for word in arguments if word != READY]


def ready(given: manifest.Stored, how: str) -> str:
    """How it came to be there without being made.

    Raises:
        HostToolError: it would have to be made, with 10.
    """
    if not how:
        raise HostToolError(Exit.NOWHERE, f"{store.label(given)} is not on this host, and no substituter has it")
    say.say(f"{store.label(given)}: {how}")
    return how


def report(given: manifest.Stored, how: str, began: float) -> None:
    """The JSON line of the verbs that make a store path exist."""
    say.answer(
        key=given.key,
        name=given.name,
        path=store.path(given.item),
        how=how,
        seconds=int(time.monotonic() - began),
    )


def make_exist(given: manifest.Build) -> str:
    """How the build came to be there.

    Raises:
        HostToolError: it could not be started.
        Ended: it failed, with its own exit status; why was said.
    """
    how = _exists(given) or _built(given)
    say.say(f"{store.label(given)}: {how}")
    return how


def _exists(given: manifest.Build) -> str:
    """How it can be had without a build, if it can."""
    if os.path.isdir(store.path(given.item)):
        return "present"
    if follow.building(given.key):
        return ""
    if store.take_over(given):
        store.keep_archive(given)
        return "adopted"
    if substitute(given):
        return "substituted"
    if restore(given):
        return "restored"
    return ""


def _built(given: manifest.Build) -> str:
    if follow.building(given.key):
        say.say(f"{store.label(given)}: attached to the running build")
    else:
        _start(given)
    follow.follow(given)
    return "built"


def restore(given: manifest.Stored) -> bool:
    """Make it again from this host's own archive; one that is damaged is thrown away."""
    packed = store.archive(given.item)
    if not os.path.isfile(packed):
        return False
    try:
        store.unpack(packed, given)
    except RefusedError as error:
        say.say(f"{store.label(given)}: not from {packed}: {error}")
        files.remove(packed)
        return False
    return True


def _start(given: manifest.Build) -> None:
    """As a unit of this host, so that it outlives the session and, enabled, a reboot."""
    unit = follow.unit(given.key)
    if not os.path.isdir("/run/systemd/system"):
        raise HostToolError(
            Exit.FAILED,
            "this host does not run systemd, which a build needs to outlive its session",
            f"build it in the foreground: pollex-host build {given.key}",
        )
    template = f"{places.UNITS}/pollex-build@.service"
    if not os.path.exists(template):
        raise HostToolError(Exit.FAILED, f"{template} is missing: run pollex-host prepare")
    if follow.State.read(given.key).phase == "failed":
        files.remove(follow.state_file(given.key))
    run.quiet("systemctl", "reset-failed", unit)
    for action in (("enable", "-q"), ("start", "--no-block")):
        status, said = run.output("systemctl", *action, unit, both=True)
        if status:
            reason = (say.last_lines(said, 1) or [f"status {status}"])[0]
            raise HostToolError(Exit.FAILED, f"systemd does not start the build ({unit}): {reason}")
    say.say(f"{store.label(given)}: build started")
    # pulumi-command hears a single SIGTERM only when this command has ended
    say.say("you may leave: it goes on here, and `pulumi up` again follows it; ^C twice ends this one at once")
    # The job is queued, so for a moment neither the unit nor the lock shows it.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (
            follow.building(given.key)
            or os.path.isdir(store.path(given.item))
            or os.path.exists(follow.state_file(given.key))
        ):
            return
        time.sleep(0.2)
