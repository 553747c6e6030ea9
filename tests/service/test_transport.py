"""What is left of a request that is cancelled at any of its steps."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

import httpx
import psutil
import pytest

from pollex.upstream.transport import Transport

STEPS = 40
"""Turns of the event loop after which a request is cancelled that is never answered: from some 15 on it waits."""
AFTER = 200
"""Turns of the event loop within which whatever is going to be closed is closed; some five are needed."""
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

Ask = Callable[[httpx.AsyncClient], Awaitable[object]]


async def get(client: httpx.AsyncClient) -> None:
    """An answer in one piece."""
    await client.get("/")


async def stream(client: httpx.AsyncClient) -> None:
    """An answer as it comes."""
    async with client.stream("GET", "/") as response:
        async for _ in response.aiter_bytes():
            pass


async def first(client: httpx.AsyncClient) -> None:
    """An answer of which the first piece is enough."""
    async with client.stream("GET", "/") as response:
        async for _ in response.aiter_bytes():
            break


async def silent(reader: StreamReader, writer: StreamWriter) -> None:
    """Nothing, until whoever asks goes away."""
    with suppress(ConnectionError):
        while await reader.read(65536):
            pass
    writer.close()


async def words(reader: StreamReader, writer: StreamWriter) -> None:
    """An answer in pieces, and the end."""
    with suppress(ConnectionError, EOFError):
        await reader.readuntil(b"\r\n\r\n")
        for piece in (ANSWER, b"one ", b"two ", b"three"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
    writer.close()


class World:
    """A client of a server in the same process."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._before = psutil.Process().num_fds()
        self.seen = 0
        """Requests that had come as far as a connection when they were cancelled."""

    def left(self) -> int:
        """Descriptors of connections, at both ends."""
        return psutil.Process().num_fds() - self._before

    async def cancelled(self, ask: Ask, steps: int, again: int | None) -> bool:
        """Cancel a request after so many turns of the loop, and once more; False where it was over by then."""
        asking = asyncio.ensure_future(ask(self._client))
        for _ in range(steps):
            await asyncio.sleep(0)
        over = asking.done()
        self.seen += bool(self.left())
        asking.cancel()
        if again is not None:
            for _ in range(again):
                await asyncio.sleep(0)
            asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        for _ in range(AFTER):
            if not self.left():
                break
            await asyncio.sleep(0)
        assert not self.left(), f"cancelled after {steps} turns, and after {again} more"
        return not over


async def world(
    answer: Callable[[StreamReader, StreamWriter], Awaitable[None]], scenario: Callable[[World], Awaitable[None]]
) -> None:
    """Play a scenario with a server that answers so, and the service's transport for plain HTTP."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    transport = Transport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), proxy=None, limits=limits)
    async with server, httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{port}") as client:
        await scenario(World(client))


AGAIN = pytest.mark.parametrize("again", [None, *range(6)])
"""A request's time can be up in the moment in which its client leaves."""


@AGAIN
def test_a_request_cancelled_before_its_answer_leaves_no_connection(again: int | None) -> None:
    """If this fails, each client that goes away in a bad moment costs a file descriptor, until there are no more."""

    async def scenario(world: World) -> None:
        for steps in range(STEPS):
            assert await world.cancelled(get, steps, again)
        assert world.seen > STEPS / 4, "no request came as far as a connection"

    asyncio.run(world(silent, scenario))


@AGAIN
@pytest.mark.parametrize("ask", [get, stream, first])
def test_a_request_cancelled_during_its_answer_leaves_no_connection(ask: Ask, again: int | None) -> None:
    """If this fails, whoever leaves while the last word arrives does the same."""

    async def scenario(world: World) -> None:
        for steps in count():
            if not await world.cancelled(ask, steps, again):
                break
        assert world.seen > steps / 4, "no request came as far as a connection"

    asyncio.run(world(words, scenario))
