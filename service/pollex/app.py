"""The HTTP API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pollex import __version__, prompts, wire
from pollex.gate import QueueFullError
from pollex.metrics import Metrics
from pollex.middleware import Guarded, Observed, refuse
from pollex.polish import Listener, Polisher, TextTooLongError, UnknownModelError
from pollex.settings import Settings
from pollex.stream import Events, EventStream, GoneError, unless_gone, wants_events
from pollex.upstream import UpstreamError, adapters


class Api:
    """The routes and what they share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.polisher = Polisher(adapters(settings), settings, prompts.load(settings.prompt_path), self.metrics)

    def routes(self) -> list[BaseRoute]:
        """Everything but the page."""
        return [
            Route("/api/polish", self.polish, methods=["POST"]),
            Route("/api/models", self.models),
            Route("/api/health", self.health),
            Route("/metrics", self.show_metrics),
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            Route("/openapi.json", self.openapi),
        ]

    async def polish(self, request: Request) -> Response:
        """POST /api/polish."""
        try:
            asked = _parse(await _body(request), self.settings.max_chars)
            self.polisher.candidates(asked.model_id)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except (_BadRequest, UnknownModelError) as error:
            return refuse(getattr(error, "status", 400), str(error))
        request.state.log.update(model=asked.model_id, chars=len(asked.text))
        self.metrics.input_chars.observe(len(asked.text))
        if asked.stream or wants_events(request):
            return EventStream(lambda events: self._stream(request, asked, events))
        try:
            answer = await unless_gone(request.receive, self._answer(request, asked, None))
        except GoneError:
            request.state.log["gone"] = True
            return Response(status_code=499)  # nobody reads it; counted as such
        return answer if isinstance(answer, Response) else JSONResponse(answer.model_dump())

    async def _stream(self, request: Request, asked: wire.PolishRequest, events: Events) -> None:
        answer = await self._answer(request, asked, events)
        if isinstance(answer, Response):
            events.refuse(answer)
        else:
            events.put("done", answer.model_dump())

    async def _answer(
        self, request: Request, asked: wire.PolishRequest, listener: Listener | None
    ) -> wire.PolishResponse | Response:
        """The polished text, or the refusal that says why there is none."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.request_timeout):
                polished = await self.polisher.polish(asked.text, asked.model_id, listener)
        except TimeoutError:
            return refuse(503, "request timeout")
        except QueueFullError as error:
            self.metrics.queue_full.inc()
            return refuse(503, str(error), error.retry_after)
        except TextTooLongError as error:
            return refuse(400, str(error))
        except UpstreamError as error:
            return refuse(502, f"polish failed: {error}")
        request.state.log["answered"] = polished.model
        elapsed = round((time.monotonic() - started) * 1000)
        return wire.PolishResponse(polished=polished.text, model=polished.model, elapsed_ms=elapsed)

    async def models(self, _: Request) -> Response:
        """GET /api/models."""
        return JSONResponse([upstream.adapter.model.model_dump() for upstream in self.polisher.upstreams.values()])

    async def health(self, _: Request) -> Response:
        """GET /api/health: asks every upstream now."""
        upstreams = list(self.polisher.upstreams.values())
        available = await asyncio.gather(*(upstream.probe() for upstream in upstreams))
        report = wire.Health(
            status="ok",
            version=__version__,
            adapters={
                upstream.id: wire.AdapterHealth(available=up, reason=None if up else upstream.adapter.unreachable)
                for upstream, up in zip(upstreams, available, strict=True)
            },
        )
        return JSONResponse(report.model_dump(exclude_none=True))

    async def show_metrics(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(generate_latest(self.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(self, _: Request) -> Response:
        """GET /livez: the process answers."""
        return JSONResponse(wire.Probe(status="ok").model_dump(exclude_defaults=True))

    async def ready(self, _: Request) -> Response:
        """GET /readyz: at least one upstream has generated something since it started."""
        reasons = [upstream.reason for upstream in self.polisher.upstreams.values()]
        if None in reasons:
            return JSONResponse(wire.Probe(status="ok").model_dump(exclude_defaults=True))
        told = [reason for reason in reasons if reason is not None]
        return JSONResponse(wire.Probe(status="not ready", reasons=told).model_dump(), 503)

    async def openapi(self, _: Request) -> Response:
        """GET /openapi.json."""
        from pollex.openapi import document  # noqa: PLC0415 - hardly ever asked for

        return JSONResponse(document(self.settings))


class _BadRequest(Exception):  # noqa: N818 - a refusal
    """The body is not what it should be."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > wire.MAX_BODY:
            raise _BadRequest("request body too large", 413)
    return bytes(body)


def _parse(body: bytes, max_chars: int) -> wire.PolishRequest:
    """The request, or the first thing wrong with it in the original's order and words."""
    try:
        asked = wire.PolishRequest.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        absent = {problem["loc"] for problem in problems if _absent(problem)}
        if len(absent) < len(problems):
            raise _BadRequest("invalid JSON body") from None
        if ("text",) in absent:
            raise _BadRequest("text is required") from None
        _check_length(json.loads(body)["text"], max_chars)
        raise _BadRequest("model_id is required") from None
    _check_length(asked.text, max_chars)
    return asked


def _check_length(text: str, max_chars: int) -> None:
    if len(text) > max_chars:
        raise _BadRequest(f"text too long: {len(text)} characters (max {max_chars})")


def _absent(error: Mapping[str, Any]) -> bool:
    """Whether a required field is missing, null or empty, which are one and the same in the original."""
    return error["type"] in ("missing", "string_too_short") or (
        error["type"] == "string_type" and error["input"] is None
    )


async def _problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "not found", 405: "method not allowed"}
    response = refuse(status, words.get(status, "bad request"))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def create(settings: Settings) -> Starlette:
    """The application; it looks after its upstreams while it runs."""
    api = Api(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(api.polisher.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await api.polisher.close()

    routes = api.routes()
    known = frozenset(route.path for route in routes if isinstance(route, Route)) | {"/"}
    return Starlette(
        routes=[*routes, *_page()],
        middleware=[
            Middleware(Observed, metrics=api.metrics, paths=known),
            Middleware(Guarded, settings=settings, metrics=api.metrics),
        ],
        exception_handlers={HTTPException: _problem},
        lifespan=lifespan,
    )


def _page() -> list[BaseRoute]:
    """The web page at `/`."""
    from pollex import web  # noqa: PLC0415

    return list(web.routes())
