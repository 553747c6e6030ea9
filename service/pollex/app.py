"""The HTTP API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pollex import __version__, boards, deadline, prompts, wire
from pollex.boards import Boards
from pollex.gate import QueueFullError
from pollex.languagetool import LanguageTool
from pollex.metrics import Metrics
from pollex.middleware import CrossOrigin, Guarded, Observed, refuse
from pollex.polish import Listener, Polisher, TextTooLongError, UnknownModelError
from pollex.settings import Settings
from pollex.stream import Events, EventStream, GoneError, unless_gone, wants_events
from pollex.tegra import Tegra
from pollex.upstream import LoadingError, UpstreamError, adapters
from pollex.words import Options

_PATIENCE = 0.9
"""Share of a request's time in which a server that loads its model is waited for; then there is time to say so."""


class Api:
    """The routes and what they share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.prompts = prompts.of_modes(settings.prompt_path, settings.modes)
        self.polisher = Polisher(adapters(settings), settings, self.prompts, self.metrics)

    def routes(self) -> list[BaseRoute]:
        """Everything but the page."""
        return [
            Route("/api/polish", self.polish, methods=["POST"]),
            Route("/api/models", self.models),
            Route("/api/modes", self.modes),
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
            options = self._options(asked)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except _BadRequestError as error:
            return refuse(error.status, error.error)
        except UnknownModelError as error:
            return refuse(400, wire.Error(error=str(error), code="model_unknown"))
        request.state.log.update(model=asked.model_id, mode=options.mode, chars=len(asked.text))
        self.metrics.input_chars.observe(len(asked.text))
        served = boards.begin()
        request.state.log["boards"] = served.names
        if asked.stream or wants_events(request):
            return EventStream(
                lambda events: self._stream(request, asked, options, served, events),
                detailed=asked.detailed,
                headers=served.headers,
            )
        try:
            answer = await unless_gone(request.receive, self._answer(request, asked, options, served, None))
        except GoneError:
            request.state.log["gone"] = True
            return Response(status_code=499)  # nobody reads it; counted as such
        return answer if isinstance(answer, Response) else JSONResponse(_told(answer), headers=served.headers())

    def _options(self, asked: wire.PolishRequest) -> Options:
        mode = asked.mode or prompts.DEFAULT
        if mode not in self.prompts:
            words = f"unknown mode: {mode} (there are {', '.join(self.prompts)})"
            raise _BadRequestError(wire.Error(error=words, code="mode_unknown"))
        return Options(mode=mode, keep=frozenset(asked.keep or ()), quoted=asked.quoted)

    async def _stream(
        self, request: Request, asked: wire.PolishRequest, options: Options, served: Boards, events: Events
    ) -> None:
        answer = await self._answer(request, asked, options, served, events)
        if isinstance(answer, Response):
            events.refuse(answer)
        else:
            events.put("done", _told(answer))

    async def _answer(
        self,
        request: Request,
        asked: wire.PolishRequest,
        options: Options,
        served: Boards,
        listener: Listener | None,
    ) -> wire.PolishResponse | Response:
        """The polished text, or the refusal that says why there is none."""
        started = time.monotonic()
        deadline.begin(_PATIENCE * self.settings.request_timeout)
        try:
            async with asyncio.timeout(self.settings.request_timeout):
                batch = asked.priority == "batch"
                polished = await self.polisher.polish(asked.text, asked.model_id, listener, options, batch=batch)
        except TimeoutError:
            return refuse(503, wire.Error(error="request timeout", code="out_of_time"))
        except QueueFullError as error:
            self.metrics.queue_full.inc()
            return refuse(503, wire.Error(error=str(error), code="queue_full"), error.retry_after)
        except TextTooLongError as error:
            return refuse(400, _too_long(str(error), error.tokens, error.most, "tokens"))
        except LoadingError as error:
            return refuse(503, wire.Error(error=f"polish failed: {error}", code="loading"), error.retry_after)
        except UpstreamError as error:
            return refuse(502, wire.Error(error=f"polish failed: {error}", code="upstream_failed"))
        request.state.log["answered"] = polished.model
        elapsed = round((time.monotonic() - started) * 1000)
        answer = wire.PolishResponse(polished=polished.text, model=polished.model, elapsed_ms=elapsed)
        if asked.detailed:
            answer.boards = served.names or None
            answer.changes, answer.kept = wire.changes(polished.changes), wire.kept(polished.kept)
        return answer

    async def models(self, _: Request) -> Response:
        """GET /api/models."""
        return JSONResponse([upstream.adapter.model.model_dump() for upstream in self.polisher.upstreams.values()])

    async def modes(self, _: Request) -> Response:
        """GET /api/modes."""
        told = [
            wire.Mode(id=mode, name=prompts.TITLES.get(mode, mode), default=mode == prompts.DEFAULT)
            for mode in self.prompts
        ]
        return JSONResponse([one.model_dump() for one in told])

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


def _told(answer: wire.PolishResponse) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude_none=True)


class _BadRequestError(Exception):
    """The body is not what it should be."""

    def __init__(self, error: wire.Error, status: int = 400) -> None:
        super().__init__(error.error)
        self.error = error
        self.status = status


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > wire.MAX_BODY:
            raise _BadRequestError(wire.Error(error="request body too large", code="body_too_large"), 413)
    return bytes(body)


def _parse(body: bytes, max_chars: int) -> wire.PolishRequest:
    """The request, or the first thing wrong with it in the original's order and words."""
    try:
        asked = wire.PolishRequest.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        absent = {problem["loc"] for problem in problems if problem["loc"] in _REQUIRED and _absent(problem)}
        if len(absent) < len(problems):
            raise _BadRequestError(wire.Error(error=_wrong(problems), code="invalid_body")) from None
        if ("text",) in absent:
            raise _BadRequestError(wire.Error(error="text is required", code="text_missing")) from None
        _check_length(json.loads(body)["text"], max_chars)
        raise _BadRequestError(wire.Error(error="model_id is required", code="model_missing")) from None
    _check_length(asked.text, max_chars)
    return asked


def _wrong(problems: Sequence[ErrorDetails]) -> str:
    """What is wrong with a body: where the original had no such field, with its name."""
    for problem in problems:
        place = problem["loc"]
        if place and place[0] in ("mode", "keep", "quoted", "changes", "priority"):
            return f"invalid JSON body: {'.'.join(map(str, place))}: {problem['msg'].lower()}"
    return "invalid JSON body"


def _check_length(text: str, max_chars: int) -> None:
    if len(text) > max_chars:
        words = f"text too long: {len(text)} characters (max {max_chars})"
        raise _BadRequestError(_too_long(words, len(text), max_chars, "characters"))


def _too_long(words: str, size: int, most: int, unit: Literal["characters", "tokens"]) -> wire.Error:
    return wire.Error(error=words, code="text_too_long", size=size, most=most, unit=unit)


_REQUIRED = (("text",), ("model_id",))


def _absent(error: Mapping[str, Any]) -> bool:
    """Whether a required field is missing, null or empty, which are one and the same in the original."""
    return error["type"] in ("missing", "string_too_short") or (
        error["type"] == "string_type" and error["input"] is None
    )


_PROBLEMS = {
    404: wire.Error(error="not found", code="not_found"),
    405: wire.Error(error="method not allowed", code="method_not_allowed"),
}


async def _problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    response = refuse(status, _PROBLEMS.get(status, wire.Error(error="bad request", code="bad_request")))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def create(settings: Settings, machine: Path = Path("/")) -> Starlette:
    """The application; it looks after its upstreams and its board while it runs.

    Args:
        settings: its own.
        machine: where the board's files are, for tests.
    """
    api = Api(settings)
    board = Tegra(machine)
    api.metrics.registry.register(board)
    languagetool = LanguageTool(settings, api.polisher, api.prompts, api.metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = [asyncio.create_task(each.watch()) for each in (api.polisher, board)]
        try:
            yield
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            await languagetool.close()
            await api.polisher.close()

    routes = [*languagetool.routes(), *api.routes()]
    known = frozenset(route.path for route in routes if isinstance(route, Route)) | {"/"}
    return Starlette(
        routes=[*routes, *_page()],
        middleware=[
            Middleware(CrossOrigin),
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
