"""Connections of people that are slow, or too many: what nobody reads or finishes to send is ended."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from pollex.access import within
from pollex.settings import Settings

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

_SHARE = 2
"""One address may have at most this part of all connections, so that one machine cannot shut out the others."""


def limited(settings: Settings) -> type[H11Protocol]:
    """The server's protocol, with these settings' limits."""

    class Limited(_Limited):
        most = settings.max_connections
        receive_seconds = settings.receive_seconds
        send_seconds = settings.send_seconds
        trusted = tuple(settings.trusted_proxies)

    return Limited


class _Limited(H11Protocol):
    """HTTP/1.1 that waits for a whole request, and for its answer to be taken, for so long and no longer."""

    most: ClassVar[int]
    receive_seconds: ClassVar[float]
    send_seconds: ClassVar[float]
    trusted: ClassVar[tuple[IPv4Network | IPv6Network, ...]]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._coming: asyncio.TimerHandle | None = None
        """Ends a connection whose request is not whole in time."""
        self._leaving: asyncio.TimerHandle | None = None
        """Ends a connection whose client does not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Take it, unless there are too many."""
        super().connection_made(transport)
        self._expect()
        if self._too_many():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def _too_many(self) -> bool:
        if len(self.connections) > self.most:
            return True
        address = self.client[0] if self.client else ""
        if within(address, self.trusted):
            return False
        own = [each for each in self.connections if isinstance(each, _Limited)]
        same = sum(each.client is not None and each.client[0] == address for each in own)
        return same > self.most // _SHARE

    def data_received(self, data: bytes) -> None:
        """More of a request; from its first byte on it has so long to become whole."""
        if not self.transport.get_write_buffer_size():  # who only sends has still not read
            _cancel(self._leaving)
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            self._expect()
        else:
            self._whole()

    def _expect(self) -> None:
        if self._coming is None:
            self._coming = self.loop.call_later(self.receive_seconds, self._late)

    def _whole(self) -> None:
        _cancel(self._coming)
        self._coming = None

    def _late(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """End it, with a word where nothing was said yet."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()
        self._drain()

    def on_response_complete(self) -> None:
        """The answer was written; now it has to be read."""
        super().on_response_complete()
        self._drain()

    def pause_writing(self) -> None:
        """The client reads more slowly than is written."""
        super().pause_writing()
        self._drain()

    def _drain(self) -> None:
        _cancel(self._leaving)
        self._leaving = self.loop.call_later(self.send_seconds, self._unread)

    def _unread(self) -> None:
        if self.transport.get_write_buffer_size():
            # not close(), which waits until everything was read
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._whole()
        _cancel(self._leaving)
        super().connection_lost(exc)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
