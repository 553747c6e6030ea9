"""What surrounds every request: other origins, ids, counting, logging, and who may pass."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pollex import boards
from pollex.access import Door, client_address
from pollex.logs import request_id
from pollex.metrics import Metrics
from pollex.settings import Settings
from pollex.wire import Error

log = logging.getLogger("pollex.request")

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OPEN = frozenset({"/api/health"})
"""Paths below /api that need no key, so that monitoring needs none."""


def refuse(status: int, error: Error, retry_after: int | None = None) -> JSONResponse:
    """An error as every error looks."""
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse(error.model_dump(exclude_none=True), status, headers)


def note_person(scope: Scope, person: str) -> None:
    """Let the log and the metrics name whose key it was; nothing is noted of the shared one."""
    if person:
        scope["state"]["log"]["person"] = person


class CrossOrigin:
    """Lets pages and extensions of any origin use everything but the metrics. Outermost, so that they see errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST", "OPTIONS"],
            allow_headers=["Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After", boards.HEADER],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer a browser that asks whether it may send one."""
        closed = scope["type"] == "http" and scope["path"] == "/metrics"
        await (self._app if closed else self._open)(scope, receive, send)


class Observed:
    """Gives each request an id, counts and logs it. Around all that answers, so that it sees every answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        id_ = given if _ID.fullmatch(given) else secrets.token_hex(16)
        request_id.set(id_)
        scope.setdefault("state", {})["log"] = {}
        started, status = time.monotonic(), 499  # nginx's number for a client that went away before an answer

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = id_
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception:
            if status == 499:  # noqa: PLR2004 - see above
                error = Error(error=f"internal error; the log has it under {id_}", code="internal")
                await refuse(500, error)(scope, receive, observed)
            log.exception("internal error")
        finally:
            self._note(scope, status, time.monotonic() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # Labels come from a fixed set, or anybody could fill the memory with them.
        path = scope["path"] if scope["path"] in self._paths else "other"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, path, str(status)).inc()
        if (person := scope["state"]["log"].get("person")) is not None:
            self._metrics.persons.labels(person).inc()
        log.log(
            logging.DEBUG if path in ("/livez", "/readyz", "/metrics") else logging.INFO,
            "request",
            extra={
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "duration_ms": round(seconds * 1000),
                **scope["state"]["log"],
            },
        )


class Guarded:
    """Lets requests to /api pass that have a key, or, where none is needed, not too many of them."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._trusted = settings.trusted_proxies
        self._door = Door(settings, settings.rate_limit)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        path = scope["path"] if scope["type"] == "http" else ""
        # LanguageTool's own looks for its key itself: it may stand in the form
        guarded = path.startswith("/api/") and not path.startswith("/api/v2/")
        refusal = self._refusal(scope) if guarded else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        given = headers.get("x-api-key", "")
        peer = scope["client"][0] if scope.get("client") else "local"
        client = client_address(peer, headers, self._trusted)
        visitor = self._door.look(given, client, scope["path"])
        note_person(scope, visitor.person)
        if visitor.retry_after:
            self._metrics.rate_limited.inc()
            return refuse(429, Error(error="rate limit exceeded", code="rate_limited"), visitor.retry_after)
        if visitor.welcome or scope["path"] in _OPEN:
            return None
        if given:
            return refuse(401, Error(error="invalid API key", code="key_wrong"))
        return refuse(401, Error(error="missing API key", code="key_missing"))
