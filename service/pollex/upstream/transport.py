"""HTTP that leaves no connection behind when a request is cancelled, as every request of a client that goes away is.

httpcore 1.0 forgets connections in two moments. Between the kernel's "connected" and the first byte of the request
nobody owns one. And what closes one yields first, to take a lock, so that a cancellation at just that turn of the event
loop ends the closing, which is then marked as done. Either way the connection stays open, and a file descriptor with
it, until the service ends: a crowd that goes away as it pleases left one behind for each few hundred of it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextvars import ContextVar
from typing import Any, cast

import httpcore
import httpx

_opened: ContextVar[list[asyncio.Task[httpcore.AsyncNetworkStream]] | None] = ContextVar("opened", default=None)
"""What the request at hand has connected."""
_closing: set[asyncio.Task[None]] = set()
"""Kept until they end, because asyncio itself does not keep tasks."""


class Transport(httpx.AsyncHTTPTransport):
    """As httpx's own; a request that ends before its answer does takes with it what it connected."""

    def __init__(self, *, verify: ssl.SSLContext, proxy: str | None, limits: httpx.Limits) -> None:
        super().__init__(verify=verify, proxy=proxy, limits=limits, trust_env=False)
        self._pool._network_backend = _Backend()  # noqa: SLF001 - httpx takes none

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and clean up where that does not come to an answer."""
        opened = list[asyncio.Task[httpcore.AsyncNetworkStream]]()
        before = _opened.set(opened)
        try:
            response = await super().handle_async_request(request)
        except BaseException:
            for task in opened:
                task.add_done_callback(_close)
            raise
        finally:
            _opened.reset(before)
        response.stream = _Body(response)
        return response


class _Body(httpx.AsyncByteStream):
    """A response's body, whose connection is closed whatever befalls its reader."""

    def __init__(self, response: httpx.Response) -> None:
        self._stream = cast(httpx.AsyncByteStream, response.stream)
        self._connection: httpcore.AsyncNetworkStream = response.extensions["network_stream"]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except BaseException:
            # one that was not read to its end is of no further use
            _alone(self._connection.aclose())
            raise

    async def aclose(self) -> None:
        await asyncio.shield(_alone(self._stream.aclose()))


class _Backend(httpcore.AnyIOBackend):
    """Connects in a task of its own, so that there is always somebody who knows of the connection."""

    async def connect_tcp(self, *args: object, **options: object) -> httpcore.AsyncNetworkStream:
        task = asyncio.ensure_future(super().connect_tcp(*args, **options))  # type: ignore[arg-type] # handed on
        if (opened := _opened.get()) is not None:
            opened.append(task)
        return await asyncio.shield(task)


def _close(connected: asyncio.Task[httpcore.AsyncNetworkStream]) -> None:
    if not connected.cancelled() and connected.exception() is None:
        _alone(connected.result().aclose())


def _alone(closing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that nobody cancels."""
    task = asyncio.ensure_future(closing)
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    return task
