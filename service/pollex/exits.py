"""How a command ends: exit statuses, and the error that carries one to the end of the program."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class Exit(IntEnum):
    """Exit statuses of `pollex`; the numbers are part of the interface, docs/reference/cli.md lists them."""

    meaning: str
    """What the status tells a script, in one line."""

    def __new__(cls, value: int, meaning: str) -> Self:
        """A status and what it means."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    DONE = 0, "done"
    FAILED = (
        1,
        "the service answered with an error, no model is available, a link was refused, or a measured request failed",
    )
    USAGE = 2, "the command line or the client's configuration file is wrong"
    INPUT = 3, "the text or the model was refused: empty, not UTF-8, too long, unknown model"
    KEY = 4, "the service wants an API key, or another one"
    UNREACHABLE = 5, "no service answered, or the connection broke off"
    BUSY = 6, "rate limited or the queue is full: the same command may succeed later"
    CONFIG = 7, "a service's configuration is wrong, or a stack's could not be read"
    INTERRUPTED = 130, "interrupted by ^C; the service was told to stop"
    CLOSED = 141, "the reader of the output went away, as in `pollex models | head -1`"


class PollexError(Exception):
    """What went wrong, what to do about it, and the status to end with."""

    def __init__(self, exit_: Exit, message: str, remedy: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.exit = exit_
        self.remedy = remedy
        self.retry_after = retry_after
        """Seconds after which the service says that it is worth trying again."""

    def __str__(self) -> str:
        return f"{self.args[0]}\n  {self.remedy}" if self.remedy else str(self.args[0])
