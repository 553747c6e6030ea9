"""HTTP that leaves no connection behind when a request is cancelled, as every request of a client that goes away is.

httpcore 1.0 forgets a connection whose task is cancelled when it has just come about: between the kernel's "connected"
and the first byte of the request nobody owns it, so that it stays open, and a file descriptor with it, until the
service ends. A crowd that goes away as it pleases left one behind for each five hundred of it.
"""

from __future__ import annotations

import asyncio
import ssl
from contextvars import ContextVar

import httpcore
import httpx

_opened: ContextVar[list[asyncio.Task[httpcore.AsyncNetworkStream]] | None] = ContextVar("opened", default=None)
"""What the request at hand has connected."""
_closing: set[asyncio.Task[None]] = set()
"""Kept until they end, because asyncio itself does not keep tasks."""


class Transport(httpx.AsyncHTTPTransport):
    """As httpx's own; a request that ends before it is answered takes with it what it connected."""

    def __init__(self, *, verify: ssl.SSLContext, proxy: str | None, limits: httpx.Limits) -> None:
        super().__init__(verify=verify, proxy=proxy, limits=limits, trust_env=False)
        self._pool._network_backend = _Backend()  # noqa: SLF001 - httpx takes none

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and clean up where that does not come to an answer."""
        opened = list[asyncio.Task[httpcore.AsyncNetworkStream]]()
        before = _opened.set(opened)
        try:
            return await super().handle_async_request(request)
        except BaseException:
            for task in opened:
                task.add_done_callback(_close)
            raise
        finally:
            _opened.reset(before)


class _Backend(httpcore.AnyIOBackend):
    """Connects in a task of its own, so that there is always somebody who knows of the connection."""

    async def connect_tcp(self, *args: object, **options: object) -> httpcore.AsyncNetworkStream:
        task = asyncio.ensure_future(super().connect_tcp(*args, **options))  # type: ignore[arg-type] # handed on
        if (opened := _opened.get()) is not None:
            opened.append(task)
        return await asyncio.shield(task)


def _close(connected: asyncio.Task[httpcore.AsyncNetworkStream]) -> None:
    if connected.cancelled() or connected.exception() is not None:
        return
    closing = asyncio.ensure_future(connected.result().aclose())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
