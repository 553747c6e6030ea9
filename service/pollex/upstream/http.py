"""HTTP as the adapters use it: a client, limits on time, patience, and errors in words."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import httpx

from pollex import boards, deadline, proxies
from pollex.lines import Lines
from pollex.logs import request_id
from pollex.prompts import Prompt
from pollex.settings import Decoding
from pollex.upstream.adapter import Adapter, Said, Token
from pollex.upstream.errors import (
    AwayError,
    BrokenError,
    GarbledError,
    LoadingError,
    RejectedError,
    UnavailableError,
    UpstreamError,
)
from pollex.upstream.patience import Patience
from pollex.upstream.transport import Transport
from pollex.wire import Model

log = logging.getLogger("pollex")

T = TypeVar("T")

LOADING_PAUSE = 0.5
"""Seconds between two tries of a request that a loading server has refused."""
_LOADING_SECONDS = 10
"""What a client is told to wait where the server does not say how long it takes to load."""
_GATEWAYS: Mapping[int, type[UnavailableError]] = {502: BrokenError, 503: AwayError, 504: BrokenError}
"""What a gateway answers for a board that broke, for no board, and for one that is silent."""
_CONCERNS_NOT_THE_TEXT = frozenset({401, 403, 404, 408, 429})
"""Refusals of 400 and more that another upstream need not share."""


class Http:
    """A connection to one server."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        timeout: float,
        connect: float,
        headers: Mapping[str, str] | None = None,
        hints: Mapping[int, str] | None = None,
        hold: float = 0,
    ) -> None:
        self.name = name
        self.hold = hold
        """Seconds for which a gateway without a board is asked again; 0 where it is no gateway."""
        self.timeout = timeout
        self.connect = connect
        self._hints = hints or {}
        https = url.startswith("https:")
        # Loading the certificate store takes 30 ms and some megabytes, which plain HTTP does not need.
        trust = ssl.create_default_context() if https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # llama-server has as few threads as the board has cores and gives one to every open connection, idle or not,
        # which it then closes in a moment of its own choosing: on the same machine a new connection each is better.
        kept = 4 if https else 0
        proxy = proxies.choose(url) if https else None
        self.client = httpx.AsyncClient(
            base_url=url,
            headers={**(headers or {}), **({} if https else {"Connection": "close"})},
            trust_env=False,
            transport=Transport(
                verify=trust,
                proxy=proxy.url if proxy is not None else None,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=kept),
            ),
            timeout=httpx.Timeout(timeout, connect=connect, pool=None),
            event_hooks={"request": [_name]},
        )
        self._where = f"{self.client.base_url}" + (f" through the proxy {proxy}" if proxy is not None else "")

    @asynccontextmanager
    async def errors(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Turn everything that can go wrong on the way into an `UnavailableError` that says what it was."""
        limit = self.timeout if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                yield
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            # what is asked in passing, another board behind a gateway may answer at once
            kind = AwayError if self.hold and seconds is not None else UnavailableError
            raise kind(f"{self.name}: no whole answer within {limit:g} s") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise AwayError(f"{self.name}: cannot be reached at {self._where}") from error
        except httpx.HTTPError as error:
            what = f"{self.name}: the connection broke ({type(error).__name__})"
            raise BrokenError(what, str(error)) from error
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise GarbledError(f"{self.name}: an answer that cannot be understood") from error

    async def ask(self, path: str, body: object) -> Any:
        """The JSON answer to a POST."""

        async def attempt() -> Any:
            async with self.errors():
                response = await self.client.post(path, json=body)
                self._check(response, response.content)
                return response.json()

        return await self._patiently(attempt)

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        """The JSON answer to a GET, which must come soon."""

        async def attempt() -> Any:
            async with self.errors(self.connect):
                response = await self.client.get(path, params=parameters)
                self._check(response, response.content)
                return response.json()

        return await self._patiently(attempt)

    @asynccontextmanager
    async def lines(self, path: str, body: object) -> AsyncIterator[Answer]:
        """The lines of the answer to a POST, as they come; a gateway without a board is asked once."""
        async with AsyncExitStack() as stack:

            async def attempt() -> httpx.Response:
                async with AsyncExitStack() as opening:
                    await opening.enter_async_context(self.errors())
                    response = await opening.enter_async_context(self.client.stream("POST", path, json=body))
                    if response.status_code != httpx.codes.OK:
                        self._check(response, await response.aread())
                    stack.push_async_exit(opening.pop_all())
                return response

            yield Answer(await _once_loaded(attempt), gateway=self.hold > 0)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What an attempt gives, tried again while it may go well with another board."""
        patience = Patience(self.hold)
        while True:
            try:
                return await _once_loaded(attempt)
            except (AwayError, BrokenError) as error:
                pause = patience.pause(error)
                if pause is None:
                    raise
                log.info("asked again", extra={"error": error.what, "seconds": pause})
            await asyncio.sleep(pause)

    async def status(self, path: str, parameters: Mapping[str, str] | None = None) -> int | None:
        """The status with which a GET is answered, or None where none comes soon."""
        try:
            async with self.errors(self.connect):
                return (await self.client.get(path, params=parameters)).status_code
        except UpstreamError:
            return None

    async def answers(self, path: str) -> bool:
        """Whether a GET is answered with 200, soon."""
        return await self.status(path) == httpx.codes.OK

    def _check(self, response: httpx.Response, content: bytes) -> None:
        """Raise for a status that is not 200, with the upstream's own words where it has some."""
        status = response.status_code
        if status == httpx.codes.OK:
            return
        words, what = message(content), f"{self.name}: status {status}"
        if status == httpx.codes.SERVICE_UNAVAILABLE and "loading" in words.lower():
            after = response.headers.get("retry-after", "")
            seconds = max(1, int(after)) if after.isdecimal() else _LOADING_SECONDS
            raise LoadingError(f"{self.name}: the model is being loaded", seconds)
        refused = status < httpx.codes.INTERNAL_SERVER_ERROR and status not in _CONCERNS_NOT_THE_TEXT
        kind = RejectedError if refused else _GATEWAYS.get(status, UnavailableError)
        raise kind(what, words, status=status, hint=self._hints.get(status, ""))

    def failure(self, words: str) -> UnavailableError:
        """What to raise when an answer that began well says in the end that it failed."""
        return UnavailableError(f"{self.name}: the answer ended in an error", words)


async def _once_loaded(attempt: Callable[[], Awaitable[T]]) -> T:
    """What an attempt gives, tried again while the server loads its model and the request has time."""
    while True:
        try:
            return await attempt()
        except LoadingError:
            if deadline.left() <= LOADING_PAUSE:
                raise
        await asyncio.sleep(LOADING_PAUSE)


class Answer:
    """The lines of an answer, and who gives it."""

    def __init__(self, response: httpx.Response, *, gateway: bool) -> None:
        self._response = response
        # servers in the Internet say such things too, of machines that concern nobody here
        self.board = response.headers.get(boards.HEADER, "")[:64] if gateway else ""
        """The board that gives it, where a gateway says which one."""

    def __aiter__(self) -> AsyncIterator[str]:
        """The lines as they come."""
        return _lines(self._response)


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    lines = Lines()
    async for piece in response.aiter_bytes():
        for line in lines.feed(piece):
            yield line
    for line in lines.end():
        yield line


async def _name(request: httpx.Request) -> None:
    """Pass on the id of the request for which this one is made, so that the upstream's log can be held against ours."""
    if (id_ := request_id.get()) is not None:
        request.headers["X-Request-ID"] = id_


def message(content: str | bytes) -> str:
    """The message of an error body, in one line."""
    try:
        error = json.loads(content)
        error = error.get("error", error)
        words = error if isinstance(error, str) else error["message"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return " ".join(str(words).split())[:200]


class Halves:
    """Joins the halves of characters beyond U+FFFF that come in two pieces; one without its other becomes U+FFFD."""

    def __init__(self) -> None:
        self._first = ""

    def feed(self, text: str) -> str:
        """What is whole by now."""
        text = self._first + text
        self._first = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return _whole(text[: len(text) - len(self._first)])

    def end(self) -> str:
        """The half that stayed alone, if there is one."""
        return _whole(self._first)


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


Read = Callable[[str], tuple[object, tuple[Token, ...], bool]]
"""Reads a line as `Server._read` does."""


class Server(Adapter):
    """What the adapters over HTTP share: an answer that comes in lines."""

    def __init__(self, model: Model, options: Decoding | None, http: Http) -> None:
        self.model = model
        self._options = options or Decoding()
        self._http = http

    @property
    @abstractmethod
    def _path(self) -> str:
        """Where texts are sent to."""

    @abstractmethod
    def _body(self, prompt: Prompt, text: str, limit: int | None) -> dict[str, Any]:
        """What is sent."""

    @abstractmethod
    def _read(self, line: str) -> tuple[object, tuple[Token, ...], bool]:
        """What a line adds to the answer, how sure the model was, and whether it said with it that it is done.

        Raises:
            UpstreamError: the line says that something went wrong.
            LookupError, TypeError, ValueError, AttributeError: it says nothing that can be understood.
        """

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[Said, None]:
        """The answer in pieces."""
        async with aclosing(self._pieces(self._open(prompt, text, limit), self._read)) as pieces:
            async for piece in pieces:
                yield piece

    async def _pieces(self, opening: AbstractAsyncContextManager[Answer], read: Read) -> AsyncGenerator[Said, None]:
        """The answer that is opened, in pieces."""
        finished, halves = False, Halves()
        async with opening as lines:
            if lines.board:
                self.began(lines.board)
            with self._breaks(lines.board):
                async for line in lines:
                    said, tokens, done = read(line)
                    if not isinstance(said, str):
                        raise GarbledError(f"{self._http.name}: an answer that cannot be understood")
                    finished |= done
                    if said or tokens:
                        yield Said(halves.feed(said), tokens)
                if not finished:
                    raise BrokenError(f"{self._http.name}: the answer broke off before its end")
        if rest := halves.end():
            yield Said(rest)

    @contextmanager
    def _breaks(self, board: str) -> Iterator[None]:
        try:
            yield
        except (BrokenError, httpx.HTTPError):
            if board:
                self.broke(board)
            raise

    @asynccontextmanager
    async def _open(self, prompt: Prompt, text: str, limit: int | None) -> AsyncIterator[Answer]:
        async with self._http.lines(self._path, self._body(prompt, text, limit)) as lines:
            yield lines

    async def close(self) -> None:
        """Close the client."""
        await self._http.client.aclose()


def messages(prompt: Prompt, text: str) -> list[dict[str, str]]:
    """A prompt and a text as chat servers take them."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, *prompt.turns(text)]
