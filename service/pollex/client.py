"""The client of the HTTP API: everything that a program can ask a polish service, and every way it can answer.

It speaks to this service and to the original Go program alike: where a server does not stream, the whole answer comes
as one event.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import httpx

from pollex.exits import Exit, PollexError
from pollex.target import KEY_VARIABLE

CONNECT_SECONDS = 5.0
"""How long a server may take to accept a connection."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a request may name."""

    id: str
    name: str
    provider: str


@dataclass(frozen=True, slots=True)
class Adapter:
    """Whether a model's upstream answers."""

    available: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What `GET /api/health` says."""

    status: str
    version: str
    adapters: Mapping[str, Adapter]


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits; 0 means that it runs now."""

    position: int


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the polished text."""

    text: str


@dataclass(frozen=True, slots=True)
class Polished:
    """The whole polished text; the last event."""

    text: str
    model: str
    """The model that answered, which may be a fallback of the one that was asked for."""
    elapsed_ms: int
    """As the service measured it."""


Event = Queued | Delta | Polished


class Client:
    """A connection to one polish service, to be used in a `with` block.

    `timeout` is how many seconds the service may stay silent. Every method raises `PollexError`, whose status tells the
    causes apart.
    """

    def __init__(self, url: str, *, api_key: str | None, timeout: float) -> None:
        self.url = url.rstrip("/")
        headers = {"X-API-Key": api_key} if api_key is not None else {}
        if not url.startswith(("http://", "https://")):
            raise PollexError(Exit.USAGE, f"{url!r} is not the address of a service", "write it as http://HOST:8090")
        try:
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS)
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise PollexError(Exit.USAGE, f"address or API key of {url!r} cannot be sent: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def models(self) -> list[Model]:
        """The models of the service, its preferred one first."""
        with self._understood():
            return [Model(entry["id"], entry["name"], entry["provider"]) for entry in self._get("/api/models")]

    def health(self) -> Health:
        """Which models can answer now."""
        with self._understood():
            body = self._get("/api/health")
            adapters = {
                name: Adapter(available=entry["available"], reason=entry.get("reason") or "")
                for name, entry in body["adapters"].items()
            }
            return Health(body["status"], body["version"], adapters)

    def polish(self, text: str, model: str) -> Generator[Event]:
        """Polish `text`; the last event is `Polished`. Closing the iterator early cancels the work at the service."""
        with (
            self._understood(),
            self._http.stream(
                "POST",
                "/api/polish",
                json={"text": text, "model_id": model},
                headers={"Accept": "text/event-stream, application/json"},
            ) as response,
        ):
            self._check(response)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                yield _polished(json.loads(response.read()))
                return
            for kind, data in _server_sent(response.iter_bytes()):
                event = self._event(kind, json.loads(data))
                if event is not None:
                    yield event
                if isinstance(event, Polished):
                    return
        raise PollexError(Exit.UNREACHABLE, f"{self.url} broke off before the text was complete", "try again")

    def _event(self, kind: str, data: Any) -> Event | None:
        match kind:
            case "queue":
                return Queued(data["position"])
            case "delta":
                return Delta(data["text"])
            case "done":
                return _polished(data)
            case "error":
                raise self._refusal(data["status"], data, str(data.get("retry_after", "")))
        return None

    def _get(self, path: str) -> Any:
        response = self._http.get(path, headers={"Accept": "application/json"})
        self._check(response)
        return response.json()

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        response.read()
        try:
            told = response.json()
            _ = told["error"]
        except (ValueError, TypeError, KeyError):
            raise PollexError(
                Exit.FAILED,
                f"{response.url} answered {response.status_code} {response.reason_phrase}, not as a polish service",
                "is the address right? --url, POLLEX_URL",
            ) from None
        raise self._refusal(response.status_code, told, response.headers.get("Retry-After", ""))

    def _refusal(self, status: int, told: Mapping[str, Any], retry_after: str) -> PollexError:
        message = str(told["error"])
        match status:
            case HTTPStatus.UNAUTHORIZED:
                return PollexError(
                    Exit.KEY, f"{self.url}: {message}", f"name one: {KEY_VARIABLE} or --api-key-file FILE"
                )
            case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
                seconds = float(retry_after) if retry_after.isdecimal() else None
                remedy = f"try again in {seconds:.0f} s" if seconds is not None else ""
                return PollexError(Exit.BUSY, f"{self.url}: {message}", remedy, retry_after=seconds)
            case HTTPStatus.BAD_REQUEST | HTTPStatus.REQUEST_ENTITY_TOO_LARGE | HTTPStatus.UNPROCESSABLE_ENTITY:
                unknown = told.get("code") == "model_unknown"
                return PollexError(Exit.INPUT, message, "pollex models lists those there are" if unknown else "")
        return PollexError(Exit.FAILED, f"{self.url}: {message}")

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Tells what went wrong on the way, or that the answer is not that of a polish service."""
        try:
            yield
        except httpx.TimeoutException as error:
            kind = "accepted no connection" if isinstance(error, httpx.ConnectTimeout) else "stayed silent"
            raise PollexError(Exit.UNREACHABLE, f"{self.url} {kind} for too long", "--timeout allows more") from None
        except httpx.ConnectError as error:
            remedy = "does the service run there? --url and POLLEX_URL name another"
            raise PollexError(Exit.UNREACHABLE, f"{self.url} cannot be reached: {error}", remedy) from None
        except httpx.HTTPError as error:
            raise PollexError(Exit.UNREACHABLE, f"{self.url} broke off: {error}", "try again") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PollexError(Exit.FAILED, f"{self.url} does not answer as a polish service: {error!r}") from None


def _polished(body: Any) -> Polished:
    return Polished(body["polished"], body["model"], body["elapsed_ms"])


def _server_sent(chunks: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Event and data of a server-sent stream.

    Lines end at LF alone: splitting text where Unicode sees a line end would cut data at U+2028 or U+0085.
    """
    kind = "message"
    data: list[str] = []
    for line in _lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield kind, "\n".join(data)
            kind, data = "message", []
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode()
