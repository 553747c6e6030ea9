"""The models' servers, each behind the same small protocol.

An adapter streams an answer piece by piece. Closing the stream, or cancelling whoever reads it, closes the connection,
which is how every one of these servers learns that nobody waits for the rest.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from pollex.logs import request_id
from pollex.prompts import Prompt
from pollex.settings import MOCK, Decoding, Settings
from pollex.wire import Model


class UpstreamError(Exception):
    """The upstream did not give a whole answer."""

    def __init__(self, what: str, words: str = "") -> None:
        super().__init__(f"{what}: {words}" if words else what)
        self.what = what
        """Without the upstream's own words, which may quote the text: fit for the log."""


class UnavailableError(UpstreamError):
    """The upstream is down, overloaded or broken: another one may do."""


class RejectedError(UpstreamError):
    """The upstream works and refuses this request: the same will happen again."""


class CutShortError(UpstreamError):
    """The answer stopped at the model's length limit, so it is not the whole text."""

    def __init__(self) -> None:
        super().__init__("the model stopped at its length limit; nothing was returned")


@dataclass(frozen=True, slots=True)
class Room:
    """How long a text may be for a model."""

    tokens: int
    """Of this text, or more than it can have."""
    most: int
    """Of the longest text whose answer still fits the context."""
    answer: int
    """That the polished text can need; a model that goes on beyond that has lost its way."""


_SHORT = 256
"""Bytes up to which a text is not worth asking how many tokens it has."""


class Adapter(ABC):
    """One model of one server. What a server cannot tell of itself, or need not do, is answered here."""

    model: Model
    unreachable = "unavailable"
    """What /api/health says when it does not answer."""
    local = True
    """Whether texts stay on the operator's own machines."""

    async def available(self) -> bool:
        """Whether the server answers; within the connect timeout, never raises."""
        return True

    async def fresh(self) -> bool:
        """Whether the server is known to have generated nothing since it started."""
        return False

    async def room(self, prompt: Prompt, text: str) -> Room | None:  # noqa: ARG002 - for those that can tell
        """How much of the context a text takes, or None where the server has no way to tell."""
        return None

    async def warm_up(self, prompt: Prompt) -> None:  # noqa: B027 - most have nothing to do
        """Let the server evaluate what every request begins with, and generate one token."""

    @abstractmethod
    def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:
        """The answer in pieces, of at most `limit` tokens. Ends only when the model said that it is done.

        Raises:
            UpstreamError: one of its kinds above.
        """

    async def close(self) -> None:  # noqa: B027 - not all have something open
        """Close what is open."""


class Http:
    """What the adapters share: a client, limits on time, and errors in words."""

    def __init__(self, name: str, url: str, *, timeout: float, connect: float, headers: dict[str, str] | None = None):
        self.name = name
        self.timeout = timeout
        self.connect = connect
        https = url.startswith("https:")
        # Loading the certificate store takes 30 ms and some megabytes, which plain HTTP does not need.
        trust = ssl.create_default_context() if https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # llama-server has as few threads as the board has cores and gives one to every open connection, idle or not,
        # which it then closes in a moment of its own choosing: on the same machine a new connection each is better.
        kept = 4 if https else 0
        self.client = httpx.AsyncClient(
            base_url=url,
            headers=(headers or {}) | ({} if https else {"Connection": "close"}),
            verify=trust,
            trust_env=https,
            timeout=httpx.Timeout(timeout, connect=connect, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=kept),
            event_hooks={"request": [_name]},
        )

    @asynccontextmanager
    async def errors(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Turn everything that can go wrong on the way into an `UnavailableError` that says what it was."""
        limit = self.timeout if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                yield
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise UnavailableError(f"{self.name}: no whole answer within {limit:g} s") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnavailableError(f"{self.name}: cannot be reached at {self.client.base_url}") from error
        except httpx.HTTPError as error:
            what = f"{self.name}: the connection broke ({type(error).__name__})"
            raise UnavailableError(what, str(error)) from error
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise UnavailableError(f"{self.name}: an answer that cannot be understood") from error

    async def ask(self, path: str, body: object) -> Any:
        """The JSON answer to a POST."""
        async with self.errors():
            response = await self.client.post(path, json=body)
            self.check(response.status_code, response.content)
            return response.json()

    async def get(self, path: str) -> Any:
        """The JSON answer to a GET, which must come soon."""
        async with self.errors(self.connect):
            response = await self.client.get(path)
            self.check(response.status_code, response.content)
            return response.json()

    @asynccontextmanager
    async def lines(self, path: str, body: object) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of the answer to a POST, as they come."""
        async with self.errors(), self.client.stream("POST", path, json=body) as response:
            if response.status_code != httpx.codes.OK:
                self.check(response.status_code, await response.aread())
            yield response.aiter_lines()

    async def answers(self, path: str) -> bool:
        """Whether a GET is answered with 200, soon."""
        try:
            async with self.errors(self.connect):
                return (await self.client.get(path)).status_code == httpx.codes.OK
        except UpstreamError:
            return False

    def check(self, status: int, content: bytes) -> None:
        """Raise for a status that is not 200, with the upstream's own words where it has some."""
        if status == httpx.codes.OK:
            return
        refused = status < httpx.codes.INTERNAL_SERVER_ERROR and status != httpx.codes.TOO_MANY_REQUESTS
        raise (RejectedError if refused else UnavailableError)(f"{self.name}: status {status}", _words(content))

    def failure(self, words: str) -> UnavailableError:
        """What to raise when an answer that began well says in the end that it failed."""
        return UnavailableError(f"{self.name}: the answer ended in an error", words)


async def _name(request: httpx.Request) -> None:
    """Pass on the id of the request for which this one is made, so that the upstream's log can be held against ours."""
    if (id_ := request_id.get()) is not None:
        request.headers["X-Request-ID"] = id_


def _words(content: str | bytes) -> str:
    """The message of an error body, in one line."""
    try:
        error = json.loads(content)["error"]
        message = error if isinstance(error, str) else error["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return " ".join(str(message).split())[:200]


class _Server(Adapter):
    """What the adapters below share: an answer that comes in lines, over HTTP."""

    _path: str
    """Where texts are sent to."""

    def __init__(self, model: Model, options: Decoding | None, http: Http) -> None:
        self.model = model
        self._options = options or Decoding()
        self._http = http

    @abstractmethod
    def _body(self, prompt: Prompt, text: str, limit: int | None) -> dict[str, Any]:
        """What is sent."""

    @abstractmethod
    def _read(self, line: str) -> tuple[object, bool]:
        """What a line adds to the answer, and whether the model said with it that it is done.

        Raises:
            UpstreamError: the line says that something went wrong.
            LookupError, TypeError, ValueError, AttributeError: it says nothing that can be understood.
        """

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:
        """The answer in pieces."""
        finished = False
        async with self._http.lines(self._path, self._body(prompt, text, limit)) as lines:
            async for line in lines:
                said, done = self._read(line)
                if not isinstance(said, str):
                    raise TypeError(f"content is a {type(said).__name__}")
                finished |= done
                yield said
        if not finished:
            raise UnavailableError(f"{self._http.name}: the answer broke off before its end")

    async def close(self) -> None:
        """Close the client."""
        await self._http.client.aclose()


class LlamaCpp(_Server):
    """llama-server."""

    unreachable = "llama-server unreachable"
    _path = "/v1/chat/completions"

    def __init__(self, settings: Settings) -> None:
        id_, url = settings.llamacpp_id, str(settings.llamacpp_url)
        super().__init__(
            Model(id=id_, name=f"llama.cpp ({id_})", provider="llamacpp"),
            settings.decoding.get(id_),
            Http("llama.cpp", url, timeout=settings.llamacpp_timeout, connect=settings.connect_timeout),
        )
        self._context: tuple[int, int] | None = None
        """Tokens of a slot, and those of them that the prompt takes; known while the server is."""

    async def available(self) -> bool:
        """`/health` says 200; 503 while the model loads."""
        return await self._http.answers("/health")

    async def fresh(self) -> bool:
        """No slot ever had a task; `/slots` may be switched off, and then nobody knows."""
        try:
            slots = await self._http.get("/slots")
            return all(slot["id_task"] == -1 for slot in slots)
        except (UpstreamError, KeyError, TypeError):
            return False

    async def room(self, prompt: Prompt, text: str) -> Room | None:
        """Counted by the server itself: `/tokenize` for the text, `/props` for the context."""
        if self._context is None:
            self._context = await self._measure(prompt)
        slot, taken = self._context
        # An answer is about as long as its text; a fifth more, and some for a sentence, covers what polishing adds.
        most = max(0, int((slot - taken - 16) / 2.2))
        # No token is shorter than a byte, so a short text is known to fit without being counted.
        if (size := len(text.encode())) <= min(_SHORT, most):
            return Room(size, most, size + 64)
        tokens = await self._count(text)
        return Room(tokens, most, 2 * tokens + 64)

    async def _measure(self, prompt: Prompt) -> tuple[int, int]:
        props = await self._http.get("/props")
        async with self._http.errors():
            slot = int(props["default_generation_settings"]["n_ctx"])
        body = {"messages": _messages(prompt, "")}
        templated = await self._http.ask("/apply-template", body)
        async with self._http.errors():
            return slot, await self._count(templated["prompt"])

    async def _count(self, text: str) -> int:
        answer = await self._http.ask("/tokenize", {"content": text})
        async with self._http.errors():
            return len(answer["tokens"])

    async def warm_up(self, prompt: Prompt) -> None:
        """One token after the prompt alone: its evaluation stays in the slot's cache."""
        self._context = None
        body = {"messages": _messages(prompt, ""), "max_tokens": 1, "temperature": 0, "cache_prompt": True}
        answer = await self._http.ask(self._path, body)
        async with self._http.errors():
            _ = answer["choices"][0]["message"]["content"]

    def _body(self, prompt: Prompt, text: str, limit: int | None) -> dict[str, Any]:
        return {
            "model": self.model.id,
            "messages": _messages(prompt, text),
            "stream": True,
            "cache_prompt": True,
            **({} if limit is None else {"max_tokens": limit}),
            **self._options.model_dump(exclude_none=True),
        }

    def _read(self, line: str) -> tuple[object, bool]:
        """Server-sent events of the OpenAI form; this server's own errors begin with `error:`."""
        if line.startswith("error:"):
            raise self._http.failure(line[6:].strip()[:200])
        if not line.startswith("data:") or (data := line[5:].strip()) == "[DONE]":
            return "", False
        event = json.loads(data)
        if "error" in event:
            raise self._http.failure(_words(data))
        if not event["choices"]:
            return "", False
        choice = event["choices"][0]
        reason, said = choice.get("finish_reason"), choice["delta"].get("content")
        if reason not in (None, "stop"):
            raise CutShortError
        return "" if said is None else said, reason is not None


class Ollama(_Server):
    """Ollama's chat API. It loads and forgets models as it likes, and has no way to count tokens."""

    unreachable = "ollama unreachable"
    _path = "/api/chat"

    def __init__(self, settings: Settings) -> None:
        id_, url = settings.ollama_model, str(settings.ollama_url)
        super().__init__(
            Model(id=id_, name=f"Ollama ({id_})", provider="ollama"),
            settings.decoding.get(id_),
            Http("ollama", url, timeout=settings.ollama_timeout, connect=settings.connect_timeout),
        )

    async def available(self) -> bool:
        """`/api/tags` says 200."""
        return await self._http.answers("/api/tags")

    async def warm_up(self, prompt: Prompt) -> None:
        """One token after the prompt alone, which also loads the model."""
        options = {"num_predict": 1, "temperature": 0}
        messages = _messages(prompt, "")
        body = {"model": self.model.id, "messages": messages, "stream": False, "options": options}
        answer = await self._http.ask(self._path, body)
        async with self._http.errors():
            _ = answer["message"]["content"]

    def _body(self, prompt: Prompt, text: str, limit: int | None) -> dict[str, Any]:
        options = self._options.model_dump(exclude_none=True)
        if (most := options.pop("max_tokens", limit)) is not None:
            options["num_predict"] = most
        return {"model": self.model.id, "messages": _messages(prompt, text), "stream": True, "options": options}

    def _read(self, line: str) -> tuple[object, bool]:
        """One JSON object a line."""
        if not line.strip():
            return "", False
        event = json.loads(line)
        if "error" in event:
            raise self._http.failure(_words(line))
        if event.get("done_reason") == "length":
            raise CutShortError
        return event["message"]["content"], bool(event.get("done"))


class Claude(_Server):
    """The Anthropic Messages API. It is never asked whether it is there, nor warmed up: that would cost money."""

    unreachable = "no API key"
    local = False
    _path = "/v1/messages"
    _MAX_TOKENS = 4096
    """The API wants a limit; 10,000 characters of any language fit."""

    def __init__(self, settings: Settings) -> None:
        id_, url = settings.claude_model, str(settings.claude_url)
        headers = {"x-api-key": settings.claude_api_key.get_secret_value(), "anthropic-version": "2023-06-01"}
        super().__init__(
            Model(id=id_, name=f"Claude ({id_})", provider="claude"),
            settings.decoding.get(id_),
            Http("claude", url, timeout=settings.claude_timeout, connect=settings.connect_timeout, headers=headers),
        )

    def _body(self, prompt: Prompt, text: str, limit: int | None) -> dict[str, Any]:
        return {
            "model": self.model.id,
            "max_tokens": limit or self._MAX_TOKENS,
            "system": prompt.system,
            "messages": [{"role": "user", "content": prompt.user(text)}],
            "stream": True,
            **self._options.model_dump(include={"temperature", "top_p", "top_k", "max_tokens"}, exclude_none=True),
        }

    def _read(self, line: str) -> tuple[object, bool]:
        """Server-sent events that say in their data what they are."""
        if not line.startswith("data:"):
            return "", False
        event = json.loads(line[5:])
        match event["type"]:
            case "content_block_delta" if event["delta"]["type"] == "text_delta":
                return event["delta"]["text"], False
            case "message_delta" if event["delta"].get("stop_reason") == "max_tokens":
                raise CutShortError
            case "error":
                raise self._http.failure(_words(line[5:]))
        return "", event["type"] == "message_stop"


_MENDED = {
    "adress": "address",
    "alot": "a lot",
    "becuase": "because",
    "definately": "definitely",
    "dont": "don't",
    "goverment": "government",
    "libary": "library",
    "occured": "occurred",
    "recieve": "receive",
    "recieved": "received",
    "seperate": "separate",
    "teh": "the",
    "thier": "their",
    "tommorow": "tomorrow",
    "untill": "until",
    "wich": "which",
}
"""What `mock` mends."""


class Mock(Adapter):
    """Mends a fixed list of words, one word at a time, for development and tests."""

    model = Model(id=MOCK, name="Mock (dev)", provider="mock")

    def __init__(self, settings: Settings) -> None:
        self._delay = settings.mock_delay_ms / 1000

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:  # noqa: ARG002 - it needs neither
        """The text word by word."""
        for word in re.findall(r"`[^`\n]+`|https?://\S+|\w+|\W", text):
            if self._delay and word.isalnum():
                await asyncio.sleep(self._delay)
            mended = _MENDED.get(word.lower(), word)
            yield mended.capitalize() if word[:1].isupper() and mended != word else mended


def _messages(prompt: Prompt, text: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": prompt.user(text)}]


def adapters(settings: Settings) -> list[Adapter]:
    """The adapters that are configured, in the order in which their models are offered."""
    if settings.mock:
        return [Mock(settings)]
    found: list[Adapter] = []
    if settings.llamacpp_url is not None:
        found.append(LlamaCpp(settings))
    if settings.claude_api_key.get_secret_value():
        found.append(Claude(settings))
    if settings.ollama_url is not None:
        found.append(Ollama(settings))
    return found
