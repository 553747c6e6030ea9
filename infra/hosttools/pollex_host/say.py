"""How the tools speak: progress and reasons on stderr, a line each; one line of JSON on stdout.

What they say must be readable by any consumer, so what is not UTF-8 is replaced and long lines are cut.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from typing import Any, Callable

from . import places

LINE_LIMIT = 500
"""Characters of somebody else's line that are passed on."""

_SECONDS = 100
_MINUTES = 100
"""Up to here a duration is told in seconds, and in minutes."""

_alone_is_fine = False


def go_on_alone() -> None:
    """From here on nobody need listen: what was begun is ended although whoever asked has gone."""
    global _alone_is_fine  # noqa: PLW0603 - a property of the process, as the signals are
    _alone_is_fine = True


def say(text: str) -> None:
    """A line of progress; where nobody listens any more, the process ends, unless it may go on alone.

    Raises:
        SystemExit: the other end of stderr is closed.
    """
    try:
        os.write(2, (text + "\n").encode("utf-8", "replace"))
    except OSError:
        if not _alone_is_fine:
            # a second try to speak, while things are cleaned up, must not end in the middle of that
            go_on_alone()
            raise SystemExit(141) from None


def complain(lines: Iterable[str]) -> None:
    """Why a verb fails, and what to do."""
    for line in lines:
        say(f"pollex: {line}")


def answer(**values: Any) -> None:
    """The line of JSON that a verb ends with; keys are spelt in camel case."""
    spelt = {camel(name): value for name, value in values.items()}
    sys.stdout.write(json.dumps(spelt, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode())
    sys.stdout.write("\n")
    sys.stdout.flush()


def camel(name: str) -> str:
    """`former_keys` as JSON spells it: `formerKeys`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def clean(text: bytes | str) -> str:
    """Text that any consumer can read: valid UTF-8 without control characters but tab and newline."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "ignore")
    return "".join(c for c in text if c >= " " or c in "\t\n")


def last_lines(text: bytes | str, count: int) -> list[str]:
    """The end of what a program said, readable."""
    return [line[:LINE_LIMIT] for line in clean(text).splitlines()][-count:]


def curl_reason(text: bytes | str, status: int) -> str:
    """Why curl failed, of what it said: its own line, and not the advice on web pages that follows it.

    A certificate that is refused is often right, and the clock is wrong: what this host takes for today is said too.
    """
    lines = clean(text).splitlines()
    reason = next((line[:LINE_LIMIT] for line in lines if line.startswith("curl: (")), "")
    reason = reason or "".join(last_lines(text, 1)) or f"curl ended with {status}"
    return about_the_clock(reason)


def about_the_clock(reason: str) -> str:
    """The reason with this host's date, where a certificate was refused."""
    if "certificate" not in reason:
        return reason
    today = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    return (
        f"{reason} (this host's clock says {today} UTC; if that is wrong, set it: `sudo date -u -s '…'`, "
        "and if it is right: is ca-certificates up to date?)"
    )


def duration(seconds: float) -> str:
    """For people: 40 s, 12 min, 1 h 25 min."""
    whole = int(seconds)
    if whole < _SECONDS:
        return f"{whole} s"
    if whole < _MINUTES * 60:
        return f"{(whole + 30) // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Pulse:
    """Tells when the next line of progress is due."""

    def __init__(self, first: float = 0, every: float = places.POLL) -> None:
        """The first line is due after `first` seconds, each further one `every` seconds after the one before."""
        self.begun = time.monotonic()
        self._every = every
        self._next = self.begun + min(first, every)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begun

    def due(self) -> bool:
        """Whether a line is due now; the next one then is later."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._every
        return True


def wait_until(done: Callable[[], bool], line: Callable[[], str], pulse: Pulse | None = None) -> None:
    """Look once a second whether it is done, and say `line()` whenever one is due."""
    pulse = pulse or Pulse()
    while not done():
        if pulse.due():
            say(line())
        time.sleep(min(1, places.POLL))
