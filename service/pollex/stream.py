"""Server-sent events, and noticing a client that goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pollex import wire
from pollex.words import Judged

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

    def __init__(self, *, detailed: bool = False) -> None:
        self._queue: asyncio.Queue[str | Response | None] = asyncio.Queue()
        self._detailed = detailed
        self._waited = False

    def queued(self, place: int) -> None:
        """The place in the queue; that it runs is news only to whoever waited."""
        self._waited |= place > 0
        if self._waited:
            self.put("queue", {"position": place})

    def wrote(self, text: str) -> None:
        """More of the polished text."""
        self.put("delta", {"text": text})

    def settled(self, start: int, end: int, judged: Judged) -> None:
        """What became of a part, for clients that asked for it; others know only `delta` and `done`."""
        if self._detailed:
            settled = wire.Settled(
                start=start,
                end=end,
                text=judged.text,
                changes=wire.changes(judged.changes),
                kept=wire.kept(judged.kept),
            )
            self.put("settled", settled.model_dump(mode="json"))

    def put(self, event: str, data: dict[str, Any]) -> None:
        """One event."""
        self._queue.put_nowait(_event(event, data))

    def refuse(self, refusal: Response) -> None:
        """There is no answer, and why."""
        self._queue.put_nowait(refusal)

    def end(self) -> None:
        """Nothing follows."""
        self._queue.put_nowait(None)

    async def next(self) -> str | Response | None:
        """The next event, a comment after a long silence, the refusal, or None at the end."""
        try:
            return await asyncio.wait_for(self._queue.get(), KEEP_ALIVE)
        except TimeoutError:
            return ": keep-alive\n\n"


def _event(name: str, data: dict[str, Any]) -> str:
    # JSON has no bare line ends, so one line of data is always enough.
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _error(refusal: Response) -> str:
    """A refusal as an event, for a client that was already answered with 200."""
    also = {"status": refusal.status_code, "retry_after": refusal.headers.get("retry-after")}
    error = wire.StreamError.model_validate(json.loads(bytes(refusal.body)) | also)
    return _event("error", error.model_dump(exclude_none=True))


class EventStream(Response):
    """Runs some work and sends its events while it goes; cancels it when the client goes away.

    It begins with the first event: what is refused before that is answered as it would be without streaming.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        work: Callable[[Events], Awaitable[None]],
        *,
        detailed: bool = False,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """Nothing runs yet; `headers` is asked when the first event is there."""
        self._work = work
        self._more = headers
        self._detailed = detailed
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await unless_gone(receive, self._run(scope, receive, send))
        except (GoneError, OSError):
            scope["state"]["log"]["gone"] = True

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        events = Events(detailed=self._detailed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._to_the_end(events))
            first = await events.next()
            if isinstance(first, Response):
                await first(scope, receive, send)
            elif first is not None:
                self.headers.update(self._more())
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await self._send(first, events, send)

    async def _to_the_end(self, events: Events) -> None:
        try:
            await self._work(events)
        finally:
            events.end()

    async def _send(self, event: str | Response | None, events: Events, send: Send) -> None:
        while event is not None:
            text = event if isinstance(event, str) else _error(event)
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            event = await events.next()
        await send({"type": "http.response.body", "body": b""})


def wants_events(request: Request) -> bool:
    """Whether the client asked for events by its `Accept`."""
    return "text/event-stream" in request.headers.get("accept", "")
