"""LanguageTool's HTTP API, version 2, for its many clients: /v2/check, /v2/languages and what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pollex import __version__, words
from pollex.access import Door, client_address
from pollex.gate import QueueFullError
from pollex.languagetool import wire
from pollex.languagetool.desk import Desk, Looked
from pollex.languagetool.languages import LANGUAGES
from pollex.languagetool.matches import matches, ranges
from pollex.languagetool.request import Asked, RefusedError, read
from pollex.languagetool.text import Annotated
from pollex.metrics import Metrics
from pollex.middleware import note_person
from pollex.polish import Polisher
from pollex.prompts import Prompt
from pollex.settings import Settings
from pollex.stream import GoneError, unless_gone
from pollex.upstream import LoadingError
from pollex.words import Change, Options

PREFIXES = ("", "/api", "/languagetool")
"""Before `/v2`; the second is that of LanguageTool's older public address."""
MAX_BODY = 1024 * 1024
"""Bytes of a form; every letter may have become three, and each of these three characters."""
_FIELDS = 100
"""Fields of a form."""

SOFTWARE = wire.Software(name="pollex", version=__version__, buildDate="", apiVersion=1, premium=False, status="")


class LanguageTool:
    """The routes and what they share."""

    def __init__(self, settings: Settings, polisher: Polisher, prompts: Mapping[str, Prompt], metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._door = Door(settings, settings.check_rate_limit)
        mode = settings.check_mode
        self._model = settings.check_model or settings.model_ids()[0]
        self._desk = Desk(polisher, self._model, prompts[mode], Options(mode=mode), settings=settings, metrics=metrics)

    def routes(self) -> list[Route]:
        """All of them, below each prefix."""
        known = (
            ("check", self.check, ["GET", "POST"]),
            ("languages", self.languages, ["GET"]),
            ("info", self.info, ["GET"]),
            ("maxtextlength", self.most, ["GET"]),
            ("healthcheck", self.healthy, ["GET"]),
            ("{action:path}", self.unknown, ["GET", "POST"]),
        )
        return [
            Route(f"{prefix}/v2/{action}", answer, methods=methods)
            for prefix in PREFIXES
            for action, answer, methods in known
        ]

    async def close(self) -> None:
        """Stop whatever runs."""
        await self._desk.close()

    async def languages(self, _: Request) -> Response:
        """GET /v2/languages."""
        told = [wire.LanguageEntry(name=one.name, code=one.code, longCode=one.long) for one in LANGUAGES]
        return JSONResponse([one.model_dump() for one in told])

    async def info(self, _: Request) -> Response:
        """GET /v2/info."""
        return JSONResponse(wire.Info(software=SOFTWARE).model_dump())

    async def most(self, _: Request) -> Response:
        """GET /v2/maxtextlength."""
        return PlainTextResponse(str(self._settings.check_max_chars))

    async def healthy(self, _: Request) -> Response:
        """GET /v2/healthcheck."""
        return PlainTextResponse("OK")

    async def unknown(self, request: Request) -> Response:
        """Whatever else."""
        return _refuse(RefusedError(f"Unsupported action: '{request.path_params['action']}'", 404))

    async def check(self, request: Request) -> Response:
        """GET and POST /v2/check."""
        try:
            given = await _parameters(request)
            who = self._pass(request, given)
            asked = read(given, self._settings.check_max_chars)
            request.state.log.update(model=self._model, mode=self._settings.check_mode, chars=len(asked.text.read))
            result = await unless_gone(request.receive, self._checked(asked, who))
        except RefusedError as error:
            return _refuse(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except GoneError:
            request.state.log["gone"] = True
            return Response(status_code=499)  # nobody reads it; counted as such
        return JSONResponse(result.model_dump(exclude_none=True))

    def _pass(self, request: Request, given: Mapping[str, str]) -> str:
        """Who asks.

        Raises:
            RefusedError: without a key that is needed, or too often.
        """
        peer = request.client.host if request.client else "local"
        address = client_address(peer, request.headers, self._settings.trusted_proxies)
        key = given.get("apiKey", "").encode().decode("latin-1") or request.headers.get("x-api-key", "")
        agent = request.headers.get("user-agent", "")
        who = "\0".join([address, agent, given.get("username", ""), given.get("textSessionId", "")])
        visitor = self._door.look(key, address, "check")
        note_person(request.scope, visitor.person)
        if visitor.retry_after:
            self._metrics.rate_limited.inc()
            words = f"Client request limit of {visitor.limit} requests per 60 seconds exceeded"
            raise RefusedError(f"Access from {address} denied: {words}", 429, visitor.retry_after)
        if visitor.welcome:
            return who
        if key:
            raise RefusedError("The 'apiKey' is not this server's", 403)
        raise RefusedError("This server wants its key, as 'apiKey' beside any 'username', or as header X-API-Key", 403)

    async def _checked(self, asked: Asked, who: str) -> wire.CheckResult:
        """The answer.

        Raises:
            RefusedError: nothing is known of the text.
        """
        self._metrics.input_chars.observe(len(asked.text.read))
        blocks = _paragraphs(asked.text)
        wait = self._settings.check_seconds
        looked = await self._desk.look([text for _, text in blocks], who, asked.session, wait)
        if blocks and not looked.known:
            self._refuse_nothing(asked, looked)
        changes = [change for at, text in blocks for change in _moved(looked.known.get(text, ()), at)]
        seemed = asked.detected
        return wire.CheckResult(
            software=SOFTWARE,
            warnings=_warnings(looked, wait),
            language=wire.CheckedLanguage(
                name=asked.language.name,
                code=asked.language.long,
                detectedLanguage=wire.DetectedLanguage(
                    name=seemed.language.name, code=seemed.language.long, confidence=seemed.confidence, source="pollex"
                ),
            ),
            matches=matches(asked.text, changes, asked.switches),
            sentenceRanges=ranges(asked.text),
        )

    def _refuse_nothing(self, asked: Asked, looked: Looked) -> None:
        """Say why nothing is known, to whoever would take an empty answer for a good text."""
        problem = looked.problem
        if isinstance(problem, QueueFullError):
            self._metrics.queue_full.inc()
            words = "There are currently too many parallel requests. Please try again later."
            raise RefusedError(words, 503, problem.retry_after)
        if problem is not None and not isinstance(problem, TimeoutError):
            after = problem.retry_after if isinstance(problem, LoadingError) else None
            raise RefusedError(f"polish failed: {problem}", 503, after)
        if not asked.incomplete:
            raise RefusedError(
                f"Checking took longer than {self._settings.check_seconds:.1f} seconds, which is this server's limit. "
                "It goes on, and answers at once when it is asked again; or consider submitting a shorter text.",
                500,
            )


async def _parameters(request: Request) -> dict[str, str]:
    """What the client gives, in the address or as a form, which wins."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise RefusedError(
                f"Your request exceeds the limit of {MAX_BODY} bytes. Please submit a shorter text.", 413
            )
    query = request.scope.get("query_string", b"")
    given: dict[str, str] = {}
    for source in (query, bytes(body)):
        try:
            fields = parse_qsl(source.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS)
        except ValueError as error:
            raise RefusedError(f"More than {_FIELDS} parameters") from error
        given |= dict(fields)
    return given


def _paragraphs(text: Annotated) -> list[tuple[int, str]]:
    """What of a text is for a model, each with its place in what is read."""
    found = []
    at = 0
    for block in words.blocks(text.read):
        if block.prose:
            found.append((at + len(block.before), block.body))
        at += len(block.whole)
    return found


def _moved(changes: tuple[Change, ...], at: int) -> tuple[Change, ...]:
    return words.Judged("", changes).moved(at).changes


def _warnings(looked: Looked, seconds: float) -> wire.Warnings:
    if looked.problem is not None:
        return wire.Warnings(
            incompleteResults=True, incompleteResultsReason=f"Results are incomplete: {looked.problem}"
        )
    if looked.late:
        words = f"Results are incomplete: text checking took longer than allowed maximum of {seconds:.2f} seconds"
        return wire.Warnings(incompleteResults=True, incompleteResultsReason=words)
    return wire.Warnings(incompleteResults=False)


def _refuse(error: RefusedError) -> Response:
    headers = None if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return PlainTextResponse(f"Error: {error}", error.status, headers)
