"""A service that answers as it is told: the page on top of a scripted API, for what a healthy service never says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pollex.middleware import CrossOrigin
from pollex.web import routes
from pollex.worddiff import diff

Answer = Callable[[dict[str, Any]], Response]


NEVER = threading.Event()
"""What nobody sets."""


def sse(*events: tuple[str, dict[str, Any]] | threading.Event, cut: bool = False) -> Response:
    """Server-sent events; what follows a threading.Event comes once that is set, `cut` leaves out the last byte."""

    async def body() -> AsyncIterator[str]:
        for event in events:
            if isinstance(event, threading.Event):
                while not event.is_set():  # noqa: ASYNC110 - it is set in another thread
                    await asyncio.sleep(0.01)
            else:
                yield f"event: {event[0]}\ndata: {json.dumps(event[1])}\n" + ("" if cut else "\n")

    return StreamingResponse(body(), media_type="text/event-stream")


def refuse(status: int, error: str, **headers: str) -> Answer:
    """An answer that is an error."""
    return lambda _: JSONResponse({"error": error}, status, headers)


def too_long(size: int, most: int, unit: str) -> Answer:
    """The refusal of a text that is too long."""
    told = {"code": "text_too_long", "size": size, "most": most, "unit": unit}
    return lambda _: JSONResponse({"error": f"text too long: {size} {unit} (max {most})", **told}, 400)


def change(text: str, before: str, after: str, verdict: str = "taken", message: str = "Mended.") -> dict[str, Any]:
    """A change of the first place in a text where some words stand."""
    start = text.index(before)
    told = {"before": before, "after": after, "kind": "wording", "verdict": verdict, "reason": "mode"}
    return {"start": start, "end": start + len(before), "message": message, **told}


def proposed(text: str, answer: str) -> list[dict[str, Any]]:
    """The changes that make an answer of a text, all taken, as the service words them."""
    found, at = list[dict[str, Any]](), 0
    for piece in diff(text, answer):
        if piece.changed:
            told = {"kind": "wording", "verdict": "taken", "reason": "mode", "message": "Mended."}
            place: dict[str, Any] = {"start": at, "end": at + len(piece.before)}
            found.append({**place, "before": piece.before, "after": piece.after, **told})
        at += len(piece.before)
    return found


def polished(
    text: str,
    *,
    model: str = "small",
    first: str = "",
    then: threading.Event = NEVER,
    changes: list[dict[str, Any]] | None = None,
    kept: tuple[dict[str, Any], ...] = (),
) -> Answer:
    """An answer that streams a text word by word; its changes are those that make it, unless others are given.

    With `first`, the words at its beginning, the others follow when `then` is set.
    """
    assert text.startswith(first)
    parts = [part.replace(" ", " \0").split("\0") if part else [] for part in (first, text[len(first) :])]
    begun, rest = ([("delta", {"text": word}) for word in words] for words in parts)
    streamed = [*begun, then, *rest] if first else rest

    def answer(asked: dict[str, Any]) -> Response:
        told = {"changes": proposed(asked["text"], text) if changes is None else changes, "kept": list(kept)}
        done = ("done", {"polished": text, "model": model, "elapsed_ms": 3210, **told})
        return sse(("queue", {"position": 0}), *streamed, done)

    return answer


@dataclass
class Standin:
    """What the service says; every test starts with a healthy one."""

    url: str
    polish: Answer = field(default_factory=lambda: polished("The cat sat."))
    key: str | None = None
    provider: str = "mock"
    unavailable: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the polish requests."""
    disconnected: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away before its answer was complete."""

    def app(self) -> Starlette:
        """The scripted API under the real page."""

        def guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
            async def endpoint(request: Request) -> Response:
                if self.key is not None and request.headers.get("X-API-Key") != self.key:
                    wrong = "invalid" if "X-API-Key" in request.headers else "missing"
                    return JSONResponse({"error": f"{wrong} API key"}, 401)
                return await answer(request)

            return endpoint

        async def models(_: Request) -> Response:
            return JSONResponse(
                [{"id": name, "name": name.title(), "provider": self.provider} for name in ("small", "large")]
            )

        async def health(_: Request) -> Response:
            adapters = {
                name: {"available": False, "reason": self.unavailable[name]}
                if name in self.unavailable
                else {"available": True}
                for name in ("small", "large")
            }
            return JSONResponse({"status": "ok", "version": "test", "adapters": adapters})

        async def modes(_: Request) -> Response:
            named = {"correct": "Correct: mend it", "polish": "Polish: say it better", "shorten": "Shorten"}
            return JSONResponse([{"id": i, "name": name, "default": i == "polish"} for i, name in named.items()])

        async def polish(request: Request) -> Response:
            body = await request.json()
            self.asked.append(body)
            response = self.polish(body)
            if isinstance(response, StreamingResponse):
                response.body_iterator = self._watched(response.body_iterator)
            return response

        return Starlette(
            routes=[
                *routes(),
                Route("/api/models", guarded(models)),
                Route("/api/modes", guarded(modes)),
                Route("/api/health", health),
                Route("/api/polish", guarded(polish), methods=["POST"]),
            ],
            middleware=[Middleware(CrossOrigin)],
        )

    async def _watched(self, body: Any) -> AsyncIterator[Any]:
        disconnected = self.disconnected  # of the test that asked: the client may be gone only after that one's end
        try:
            async for piece in body:
                yield piece
        except (asyncio.CancelledError, GeneratorExit):
            disconnected.set()
            raise

    def reset(self) -> None:
        """Makes it healthy again."""
        fresh = Standin(self.url)
        self.polish, self.key, self.provider = fresh.polish, fresh.key, fresh.provider
        self.unavailable = fresh.unavailable
        self.asked.clear()
        self.disconnected = fresh.disconnected


@contextlib.contextmanager
def serving(make: Callable[[str], Starlette]) -> Iterator[str]:
    """Serves `make(url)` on a free port of loopback from a thread; yields the URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(make(url), log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join()
