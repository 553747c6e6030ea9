"""One connection to each host, shared by all that goes on there at a time.

A login costs a key exchange, seven round trips and a session on the host; a refresh asks three things at once. SSH is
imported with the first connection, so that a preview, or an `up` that changes nothing, starts without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from infra.provider.connection import Connection

if TYPE_CHECKING:
    from infra.provider.ssh import Session

LINGER_S: Final = 5.0
"""Seconds that an unused connection stays open: the engine's next question comes at once or after a build, and over a
build's length a connection may break without anybody noticing."""


@dataclass(slots=True)
class _Line:
    """A connection being made or open, and how many use it."""

    opening: asyncio.Task[Session]
    stack: AsyncExitStack
    users: int = 0
    expiry: asyncio.TimerHandle | None = None

    def usable(self) -> bool:
        """Whether it may still become, or is, an open connection."""
        if not self.opening.done():
            return True
        return not self.opening.cancelled() and self.opening.exception() is None and not self.opening.result().closed


class Hosts:
    """The open connections of a provider process, for the length of an `async with` block."""

    def __init__(self) -> None:
        self._lines: dict[Connection, _Line] = {}
        self._closing: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all of them, whoever still uses one."""
        for to, line in tuple(self._lines.items()):
            await self._close(to, line)

    @asynccontextmanager
    async def connect(self, to: Connection) -> AsyncIterator[Session]:
        """A session with a host, over the connection that is open already or over a new one.

        Raises:
            Unreachable: no login was possible; names the one setting to change.
        """
        line = self._line(to)
        line.users += 1
        try:
            # whoever is cancelled while it is being made does not take it from the others
            yield await asyncio.shield(line.opening)
        finally:
            line.users -= 1
            if line.users == 0:
                await self._rest(to, line)

    def _line(self, to: Connection) -> _Line:
        """The one to join; a broken one is left to those who still use it."""
        line = self._lines.get(to)
        if line is None or not line.usable():
            stack = AsyncExitStack()
            line = self._lines[to] = _Line(asyncio.ensure_future(_open(to, stack)), stack)
        if line.expiry is not None:
            line.expiry.cancel()
            line.expiry = None
        return line

    async def _rest(self, to: Connection, line: _Line) -> None:
        """Keep it for a while, unless it is of no more use."""
        if self._lines.get(to) is line and line.usable():
            line.expiry = asyncio.get_running_loop().call_later(LINGER_S, self._expire, to, line)
        else:
            await self._close(to, line)

    def _expire(self, to: Connection, line: _Line) -> None:
        """Forget it at once, so that nobody joins it while it is being closed."""
        self._lines.pop(to)
        closing = asyncio.ensure_future(self._close(to, line))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close(self, to: Connection, line: _Line) -> None:
        if self._lines.get(to) is line:
            del self._lines[to]
        if line.expiry is not None:
            line.expiry.cancel()
        line.opening.cancel()
        await line.stack.aclose()


async def _open(to: Connection, stack: AsyncExitStack) -> Session:
    from infra.provider import ssh  # noqa: PLC0415 - see the module's docstring

    return await stack.enter_async_context(ssh.connect(to))
