"""Which boards answer the request of this task, as the gateway in front of them names them."""

from __future__ import annotations

from contextvars import ContextVar

HEADER = "X-Served-By"
"""Where the gateway says it, and where clients are told."""


class Boards:
    """The boards that had a part in one answer, in the order in which they came."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def headers(self) -> dict[str, str]:
        """What a client is told, as far as it is known."""
        return {HEADER: ", ".join(self.names)} if self.names else {}


_current: ContextVar[Boards | None] = ContextVar("boards", default=None)


def begin() -> Boards:
    """The record of the request that this task begins to answer."""
    boards = Boards()
    _current.set(boards)
    return boards


def note(name: str) -> None:
    """A board answers for the request of this task."""
    boards = _current.get()
    if boards is not None and name not in boards.names:
        boards.names.append(name)
