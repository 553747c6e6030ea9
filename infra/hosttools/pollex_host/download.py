"""A large file from the first mirror that yields the right bytes: resumed, with progress, and judged by its hash."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable

from . import files, run, say
from .errors import Exit, HostToolError

if TYPE_CHECKING:
    from .manifest import Model

MB = 1_000_000
FIRST_LINE_S = 3
"""People learn soon how long it will take."""
SPARE_MB = 8
"""What must stay free for everything else."""
SLOWEST = 1000
"""Bytes a second below which a mirror is as good as none: a gigabyte would take eleven days."""
STALL_S = os.environ.get("POLLEX_STALL", "60")
"""Seconds of that after which a mirror has had its chance."""
PATIENCE = ("--speed-limit", str(SLOWEST), "--speed-time", STALL_S)
RETRIES = ("--retry", "3", "--retry-max-time", STALL_S)
"""curl takes a mirror that hangs for one that may do better the next time; it has had its chance then."""
TOO_SLOW = 28
"""curl's status then."""
NOT_WRITTEN = 23
"""curl's status where what came could not be written."""
CANNOT_RESUME = 33
"""curl's status where a server knows no ranges."""


class Unreachable(Exception):  # noqa: N818 - not an error while there are other mirrors
    """A mirror does not yield the file; what has arrived is kept."""


class Download:
    """A model file on its way into a folder."""

    def __init__(self, model: Model, part: str) -> None:
        """`part` is where it grows, and may hold what an earlier attempt left."""
        self._model = model
        self._part = part
        self._said = f"{part}.said"

    def fetch(self) -> None:
        """Leave the right bytes in `part`.

        Raises:
            HostToolError: no mirror has them, none could be reached, or they do not fit.
        """
        wrong = False
        for url in self._model.mirrors:
            with suppress(Unreachable):
                if self._from(url):
                    return
                wrong = True
        file = self._model.file
        if wrong:
            raise HostToolError(
                Exit.WRONG_BYTES,
                f"no mirror has the right {file}: "
                "correct pollex:model.sha256, pollex:model.size or pollex:model.mirrors",
            )
        raise HostToolError(
            Exit.NO_MIRROR,
            f"no mirror of {file} could be reached; what has arrived is kept, and the next run goes on from there",
            "see pollex:model.mirrors",
        )

    def _from(self, url: str) -> bool:
        """Whether this mirror has the right bytes."""
        resumed = files.size(self._part) > 0
        self._complete(url)
        if self._is_right(url):
            return True
        if not resumed:
            return False
        # What an earlier attempt left may be what was wrong, so this mirror is not judged by it.
        self._tell("once more from the beginning")
        self._complete(url)
        return self._is_right(url)

    def _is_right(self, url: str) -> bool:
        """Judge what has arrived; what is wrong is thrown away."""
        got, wanted = files.size(self._part), self._model.size
        if got != wanted:
            has = str(got) if got < wanted else f"more than {wanted}"
            self._tell(f"{url} has {has} bytes, wanted {wanted}")
            files.remove(self._part)
            return False
        self._tell("checking its SHA-256")
        digest = files.sha256(self._part)
        if digest != self._model.sha256:
            self._tell(f"{url} has SHA-256 {digest}, wanted {self._model.sha256}")
            files.remove(self._part)
            return False
        return True

    def _complete(self, url: str) -> None:
        """Get what is missing; a connection that ends early is taken up again as long as bytes arrive."""
        while (had := files.size(self._part)) < self._model.size:
            need_space(self._model.file, self._model.size - had, self._part)
            began = time.monotonic()
            status = self._curl(url)
            got = files.size(self._part)
            drips = status == TOO_SLOW and got - had < SLOWEST * (time.monotonic() - began)
            if status == 0 or got > self._model.size:
                return
            if status == NOT_WRITTEN:
                # no mirror is to blame for a disk that something else has filled meanwhile
                need_space(self._model.file, self._model.size - got, self._part)
            if status == CANNOT_RESUME and had > 0:
                self._tell(f"{url} cannot resume: once more from the beginning")
                files.remove(self._part)
            elif got <= had or drips:
                self._tell(f"{url} cannot be used: {say.curl_reason(files.read(self._said) or '', status)}")
                raise Unreachable
            else:
                self._tell(f"the connection ended at {percent(got, self._model.size)}; going on")

    def _curl(self, url: str) -> int:
        """Its status; progress is said meanwhile."""
        options = ("-fL", "-sS", "-C", "-", "--connect-timeout", "10", *RETRIES, *PATIENCE)
        self._tell(f"downloading from {url} ({self._model.size // MB} MB)")
        pace = _Pace(self._part, self._model.size)
        with open(self._said, "wb") as said:
            limit = no_larger_than(self._model.size + 1)
            process = run.start(["curl", *options, "-o", self._part, "--", url], said, preexec_fn=limit)
            return run.attend(process, lambda: f"{self._model.file}: {pace.line()}", say.Pulse(FIRST_LINE_S))

    def _tell(self, text: str) -> None:
        say.say(f"{self._model.file}: {text}")


def no_larger_than(size: int) -> Callable[[], None]:
    """What a process does before it becomes curl, so that a server that sends without end fills no disk."""

    def limit() -> None:
        import resource  # noqa: PLC0415 - in the process that becomes curl
        import signal  # noqa: PLC0415 - as above

        # a write beyond the limit fails, and ends no process with a dump
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


class _Pace:
    """How far a growing file is, how fast it grows, and how long that will take."""

    def __init__(self, path: str, size: int) -> None:
        self._path, self._size = path, size
        self._clock = say.Pulse()
        self._before = (0.0, files.size(path))

    def line(self) -> str:
        now = (self._clock.elapsed, files.size(self._path))
        seconds, grown = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        if seconds <= 0 or grown <= 0:
            return percent(now[1], self._size)
        speed = grown / seconds
        left = say.duration((self._size - now[1]) / speed)
        return f"{percent(now[1], self._size)}, {speed / MB:.1f} MB/s, {left} left"


def percent(got: int, size: int) -> str:
    """How much of a file that is."""
    return f"{got * 100 // max(size, 1)}% ({got // MB} of {size // MB} MB)"


def need_space(file: str, size: int, place: str) -> None:
    """End where a file of that size does not fit.

    Raises:
        HostToolError: it does not.
    """
    free, wanted = files.free_mb(os.path.dirname(place)), (size >> 20) + 1
    if free < wanted + SPARE_MB:
        raise HostToolError(
            Exit.NO_SPACE,
            f"{file} needs {wanted} MB more at {place}, and {free} MB are free: "
            "make room (pollex-host gc), or choose a smaller pollex:model",
        )
