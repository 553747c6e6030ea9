"""The client of the HTTP API: everything that a program can ask a polish service, and every way it can answer.

It speaks to this service and to the original Go program alike: where a server does not stream, the whole answer comes
as one event.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from pollex.exits import Exit, PollexError
from pollex.lines import Lines
from pollex.proxies import Proxy, ProxyError, choose
from pollex.target import KEY_VARIABLE, PORT

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

CONNECT_SECONDS = 5.0
"""How long a server may take to accept a connection."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a request may name."""

    id: str
    name: str
    provider: str


@dataclass(frozen=True, slots=True)
class Mode:
    """What a text can become."""

    id: str
    name: str
    default: bool


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a text is to become, and the words of it that are to stay."""

    mode: str | None = None
    keep: tuple[str, ...] = ()
    quoted: bool = False
    """Whether quoted mail is polished too."""


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
class Settled:
    """What the next part of the text has become; of a service that says so."""

    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change that the model proposed; places are code points of the text that was sent."""

    start: int
    end: int
    before: str
    after: str
    kind: str
    verdict: str
    """`taken`, `offered` or `refused`."""
    message: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A part of the text that stayed because its answer was bad."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Polished:
    """The whole polished text; the last event."""

    text: str
    model: str
    """The model that answered, which may be a fallback of the one that was asked for."""
    elapsed_ms: int
    """As the service measured it."""
    changes: tuple[Change, ...] | None = None
    """All that were proposed, or None from a service that does not tell."""
    kept: tuple[Kept, ...] = ()


Event = Queued | Delta | Settled | Polished


def connection(
    url: str, *, headers: Mapping[str, str] | None = None, timeout: httpx.Timeout | float = CONNECT_SECONDS
) -> tuple[httpx.Client, Proxy | None]:
    """An HTTP client of a server, and the proxy through which it talks.

    Raises:
        PollexError: the address, the key or the proxy cannot be used.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    own = bool(file or folder) and url.startswith("https:")
    try:
        proxy = choose(url)
        # The environment names proxies for this machine too, and some that lead to an ImportError.
        http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=timeout,
            trust_env=False,
            proxy=proxy.url if proxy is not None else None,
            verify=ssl.create_default_context(cafile=file, capath=folder) if own else True,
        )
    except ProxyError as error:
        raise PollexError(Exit.USAGE, str(error)) from None
    except (httpx.InvalidURL, UnicodeEncodeError, ValueError, OSError) as error:
        raise PollexError(Exit.USAGE, f"address or API key of {url!r} cannot be sent: {error}") from None
    return http, proxy


class Client:
    """A connection to one polish service, to be used in a `with` block.

    `timeout` is how many seconds the service may stay silent. Every method raises `PollexError`, whose status tells the
    causes apart.
    """

    def __init__(self, url: str, *, api_key: str | None, timeout: float) -> None:
        self.url = url.rstrip("/")
        headers = {"X-API-Key": api_key} if api_key is not None else {}
        if not url.startswith(("http://", "https://")):
            raise PollexError(Exit.USAGE, f"{url!r} is not the address of a service", f"write it as http://HOST:{PORT}")
        self._http, proxy = connection(
            self.url, headers=headers, timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS)
        )
        self._where = self.url if proxy is None else f"{self.url} through the proxy {proxy}"
        host = httpx.URL(self.url).host
        self._around = "" if proxy is None else f"; or around the proxy: add {host} to no_proxy"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def models(self) -> list[Model]:
        """The models of the service, its preferred one first."""
        with self._understood():
            return [Model(entry["id"], entry["name"], entry["provider"]) for entry in self._get("/api/models")]

    def modes(self) -> list[Mode]:
        """What the service can make of a text, its own modes last."""
        with self._understood():
            return [Mode(entry["id"], entry["name"], entry["default"]) for entry in self._get("/api/modes")]

    def health(self) -> Health:
        """Which models can answer now."""
        with self._understood():
            body = self._get("/api/health")
            adapters = {
                name: Adapter(available=entry["available"], reason=entry.get("reason") or "")
                for name, entry in body["adapters"].items()
            }
            return Health(body["status"], body["version"], adapters)

    def polish(self, text: str, model: str, wishes: Wishes | None = None) -> Generator[Event]:
        """Polish `text`; the last event is `Polished`. Closing the iterator early cancels the work at the service."""
        wishes = wishes or Wishes()
        body: dict[str, Any] = {"text": text, "model_id": model, "changes": True}
        body |= {"mode": wishes.mode} if wishes.mode is not None else {}
        body |= {"keep": list(wishes.keep)} if wishes.keep else {}
        body |= {"quoted": True} if wishes.quoted else {}
        with (
            self._understood(),
            self._http.stream(
                "POST",
                "/api/polish",
                json=body,
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
            case "settled":
                return Settled(data["text"])
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
        except (ValueError, TypeError, KeyError, RecursionError):
            raise PollexError(
                Exit.FAILED,
                f"{self._where} answered {response.status_code} {response.reason_phrase}, not as a polish service",
                f"is the address right? --url, POLLEX_URL{self._around}",
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
            remedy = f"--timeout allows more{self._around}"
            raise PollexError(Exit.UNREACHABLE, f"{self._where} {kind} for too long", remedy) from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            remedy = f"does the service run there? --url and POLLEX_URL name another{self._around}"
            raise PollexError(Exit.UNREACHABLE, f"{self._where} cannot be reached: {error}", remedy) from None
        except httpx.HTTPError as error:
            raise PollexError(
                Exit.UNREACHABLE, f"{self._where} broke off: {error}", f"try again{self._around}"
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise PollexError(Exit.FAILED, f"{self._where} does not answer as a polish service: {error!r}") from None


def _polished(body: Any) -> Polished:
    told = body.get("changes")
    return Polished(
        body["polished"],
        body["model"],
        body["elapsed_ms"],
        None if told is None else tuple(_of(Change, one) for one in told),
        tuple(_of(Kept, one) for one in body.get("kept") or ()),
    )


def _of(type_: type[T], told: Mapping[str, Any]) -> T:
    """What a service tells, without what this client does not know."""
    return type_(**{name: told[name] for name in type_.__dataclass_fields__})


def _server_sent(chunks: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Event and data of a server-sent stream."""
    kind = "message"
    data: list[str] = []
    lines = Lines()
    for line in (line for chunk in chunks for line in lines.feed(chunk)):
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
