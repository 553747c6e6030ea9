"""Server-sent events, and noticing a client that goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""


class GoneError(Exception):
    """The client has closed its connection: nobody waits for the answer."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled as soon as the client goes away.

    Raises:
        GoneError: it went.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise GoneError
    finally:
        for task in (working, leaving):
            task.cancel()
        # Whoever asked may rely on it that nothing runs any more.
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Events:
    """The events of one answer; a listener of the polishing."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def queued(self, place: int) -> None:
        """The place in the queue."""
        self.put("queue", {"position": place})

    def wrote(self, text: str) -> None:
        """More of the polished text."""
        self.put("delta", {"text": text})

    def put(self, event: str, data: dict[str, Any]) -> None:
        """One event."""
        # JSON has no bare line ends, so one line of data is always enough.
        self._queue.put_nowait(f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n")

    def end(self) -> None:
        """Nothing follows."""
        self._queue.put_nowait(None)

    async def next(self) -> str | None:
        """The next event, a comment after a long silence, or None at the end."""
        try:
            return await asyncio.wait_for(self._queue.get(), KEEP_ALIVE)
        except TimeoutError:
            return ": keep-alive\n\n"


class EventStream(Response):
    """Runs some work and sends its events while it goes; cancels it when the client goes away."""

    media_type = "text/event-stream"

    def __init__(self, work: Callable[[Events], Awaitable[None]]) -> None:
        self._work = work
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        events = Events()
        try:
            await unless_gone(receive, self._run(events, send))
        except (GoneError, OSError):
            scope["state"]["log"]["gone"] = True

    async def _run(self, events: Events, send: Send) -> None:
        async def work() -> None:
            try:
                await self._work(events)
            finally:
                events.end()

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            while (event := await events.next()) is not None:
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def wants_events(request: Request) -> bool:
    """Whether the client asked for events by its `Accept`."""
    return "text/event-stream" in request.headers.get("accept", "")
