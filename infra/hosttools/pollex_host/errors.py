"""How a verb ends: the exit statuses, and the one exception that carries them."""

from __future__ import annotations

import errno
from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of pollex-host, each with its meaning; there is no other list of them."""

    meaning: str

    def __new__(cls, status: int, meaning: str) -> Exit:
        """An integer with words to it."""
        made = int.__new__(cls, status)
        made._value_ = status
        made.meaning = meaning
        return made

    DONE = 0, "done"
    FAILED = 1, "failed"
    USAGE = 2, "usage: an unknown verb or argument, or a manifest that cannot be used"
    WRONG_BYTES = 3, "the source, the model or an archive has other bytes than its identity says"
    PATCH = 4, "a patch does not apply"
    BUILD = 5, "the build failed"
    NO_SPACE = 6, "no space left"
    UNHEALTHY = 7, "unhealthy, so the host returned to what was live before"
    NO_MIRROR = 8, "no mirror could be reached"
    BUSY = 9, "another activation, measurement or build is running on the host"
    NOWHERE = 10, "what is asked for is neither on the host nor at a substituter"
    NO_PYTHON = 11, "the host has no Python that the tools can run on"


class HostToolError(Exception):
    """A verb cannot go on: an exit status, the reason, and lines that say what to do."""

    def __init__(self, status: Exit, *lines: str) -> None:
        """Keep the lines as they will be shown, each after `pollex: `."""
        super().__init__("\n".join(lines))
        self.status = status
        self.lines = lines


def refusal(error: OSError) -> tuple[Exit, str]:
    """What the system refused, as an exit status and a line: a full disk is the reason that a person can act on."""
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Exit.NO_SPACE, f"no space left{place}: make room (pollex-host gc), or choose a larger disk"
    return Exit.FAILED, f"{error.strerror or error}{place}"


class Ended(Exception):  # noqa: N818 - an end whose reason was said already
    """A verb ends with a status, and what there is to say was said."""

    def __init__(self, status: int) -> None:
        """The status may be that of a program that it ran."""
        super().__init__(str(status))
        self.status = status
