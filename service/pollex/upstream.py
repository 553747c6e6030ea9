"""The models' servers, each behind the same small protocol.

An adapter streams an answer piece by piece. Closing the stream, or cancelling whoever reads it, closes the connection,
which is how every one of these servers learns that nobody waits for the rest.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from pollex.prompts import Prompt
from pollex.settings import MOCK, Decoding, Settings
from pollex.wire import Model


class UpstreamError(Exception):
    """The upstream did not give a whole answer."""


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


class Adapter(Protocol):
    """One model of one server."""

    model: Model
    unreachable: str
    """What /api/health says when it does not answer."""
    local: bool
    """Whether texts stay on the operator's own machines."""

    async def available(self) -> bool:
        """Whether the server answers; within the connect timeout, never raises."""

    async def fresh(self) -> bool:
        """Whether the server is known to have generated nothing since it started."""

    async def room(self, prompt: Prompt, text: str) -> Room | None:
        """How much of the context a text takes, or None where the server has no way to tell."""

    async def warm_up(self, prompt: Prompt) -> None:
        """Let the server evaluate what every request begins with, and generate one token."""

    def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:
        """The answer in pieces, of at most `limit` tokens. Ends only when the model said that it is done.

        Raises:
            UpstreamError: one of its kinds above.
        """

    async def close(self) -> None:
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
            what = str(error) or type(error).__name__
            raise UnavailableError(f"{self.name}: the connection broke ({what})") from error
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
        message = f"{self.name}: status {status}{_words(content)}"
        if status < httpx.codes.INTERNAL_SERVER_ERROR and status != httpx.codes.TOO_MANY_REQUESTS:
            raise RejectedError(message)
        raise UnavailableError(message)


def _words(content: bytes) -> str:
    """`: …` with the message of an error body, in one line."""
    try:
        error = json.loads(content)["error"]
        message = error if isinstance(error, str) else error["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {' '.join(str(message).split())[:200]}"


class LlamaCpp:
    """llama-server."""

    unreachable = "llama-server unreachable"
    local = True

    def __init__(self, settings: Settings) -> None:
        model = settings.llamacpp_id
        self.model = Model(id=model, name=f"llama.cpp ({model})", provider="llamacpp")
        self._options = settings.decoding.get(model, Decoding())
        self._http = Http(
            "llama.cpp",
            str(settings.llamacpp_url),
            timeout=settings.llamacpp_timeout,
            connect=settings.connect_timeout,
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
        answer = await self._http.ask("/v1/chat/completions", body)
        async with self._http.errors():
            _ = answer["choices"][0]["message"]["content"]

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:
        """`POST /v1/chat/completions` as server-sent events."""
        body = {
            "model": self.model.id,
            "messages": _messages(prompt, text),
            "stream": True,
            "cache_prompt": True,
            **({} if limit is None else {"max_tokens": limit}),
            **self._options.model_dump(exclude_none=True),
        }
        finished = False
        async with self._http.lines("/v1/chat/completions", body) as lines:
            async for line in lines:
                if line.startswith("error:"):
                    raise UnavailableError(f"{self._http.name}: {line[6:].strip()[:200]}")
                if not line.startswith("data:") or (data := line[5:].strip()) == "[DONE]":
                    continue
                event = json.loads(data)
                if "error" in event:
                    raise UnavailableError(f"{self._http.name}{_words(data.encode())}")
                for choice in event["choices"][:1]:
                    if (content := choice["delta"].get("content")) is not None:
                        yield _text(content)
                    if (reason := choice.get("finish_reason")) is not None:
                        finished = True
                        if reason != "stop":
                            raise CutShortError
        _require(self._http, finished=finished)

    async def close(self) -> None:
        """Close the client."""
        await self._http.client.aclose()


class Ollama:
    """Ollama's chat API."""

    unreachable = "ollama unreachable"
    local = True

    def __init__(self, settings: Settings) -> None:
        model = settings.ollama_model
        self.model = Model(id=model, name=f"Ollama ({model})", provider="ollama")
        self._options = settings.decoding.get(model, Decoding())
        self._http = Http(
            "ollama", str(settings.ollama_url), timeout=settings.ollama_timeout, connect=settings.connect_timeout
        )

    async def available(self) -> bool:
        """`/api/tags` says 200."""
        return await self._http.answers("/api/tags")

    async def fresh(self) -> bool:
        """Ollama loads and forgets models as it likes; nothing tells."""
        return False

    async def room(self, prompt: Prompt, text: str) -> Room | None:  # noqa: ARG002 - the protocol's
        """Ollama has no way to count tokens."""
        return None

    async def warm_up(self, prompt: Prompt) -> None:
        """One token after the prompt alone, which also loads the model."""
        body = {
            "model": self.model.id,
            "messages": _messages(prompt, ""),
            "stream": False,
            "options": {"num_predict": 1, "temperature": 0},
        }
        answer = await self._http.ask("/api/chat", body)
        async with self._http.errors():
            _ = answer["message"]["content"]

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:
        """`POST /api/chat`, one JSON object a line."""
        options = self._options.model_dump(exclude_none=True)
        if (most := options.pop("max_tokens", limit)) is not None:
            options["num_predict"] = most
        body = {"model": self.model.id, "messages": _messages(prompt, text), "stream": True, "options": options}
        finished = False
        async with self._http.lines("/api/chat", body) as lines:
            async for line in lines:
                if not line.strip():
                    continue
                event = json.loads(line)
                if "error" in event:
                    raise UnavailableError(f"{self._http.name}{_words(line.encode())}")
                yield _text(event["message"]["content"])
                if event.get("done"):
                    finished = True
                    if event.get("done_reason") == "length":
                        raise CutShortError
        _require(self._http, finished=finished)

    async def close(self) -> None:
        """Close the client."""
        await self._http.client.aclose()


class Claude:
    """The Anthropic Messages API."""

    unreachable = "no API key"
    local = False
    _MAX_TOKENS = 4096
    """The API wants a limit; 10,000 characters of any language fit."""

    def __init__(self, settings: Settings) -> None:
        model = settings.claude_model
        self.model = Model(id=model, name=f"Claude ({model})", provider="claude")
        self._options = settings.decoding.get(model, Decoding())
        self._http = Http(
            "claude",
            str(settings.claude_url),
            timeout=settings.claude_timeout,
            connect=settings.connect_timeout,
            headers={"x-api-key": settings.claude_api_key.get_secret_value(), "anthropic-version": "2023-06-01"},
        )

    async def available(self) -> bool:
        """There is a key, or there would be no adapter; asking the API would cost money."""
        return True

    async def fresh(self) -> bool:
        """There is nothing to warm up."""
        return False

    async def room(self, prompt: Prompt, text: str) -> Room | None:  # noqa: ARG002 - the protocol's
        """The context is longer than any text that is let through."""
        return None

    async def warm_up(self, prompt: Prompt) -> None:
        """Nothing: it would cost money."""

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:
        """`POST /v1/messages` as server-sent events."""
        options = self._options.model_dump(include={"temperature", "top_p", "top_k", "max_tokens"}, exclude_none=True)
        body = {
            "model": self.model.id,
            "max_tokens": limit or self._MAX_TOKENS,
            "system": prompt.system,
            "messages": [{"role": "user", "content": prompt.user(text)}],
            "stream": True,
            **options,
        }
        finished = False
        async with self._http.lines("/v1/messages", body) as lines:
            async for line in lines:
                if not line.startswith("data:"):
                    continue
                event = json.loads(line[5:])
                match event["type"]:
                    case "content_block_delta" if event["delta"]["type"] == "text_delta":
                        yield _text(event["delta"]["text"])
                    case "message_delta" if event["delta"].get("stop_reason") == "max_tokens":
                        raise CutShortError
                    case "message_stop":
                        finished = True
                    case "error":
                        raise UnavailableError(f"{self._http.name}{_words(line[5:].encode())}")
        _require(self._http, finished=finished)

    async def close(self) -> None:
        """Close the client."""
        await self._http.client.aclose()


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


class Mock:
    """Mends a fixed list of words, one word at a time, for development and tests."""

    model = Model(id=MOCK, name="Mock (dev)", provider="mock")
    unreachable = "unavailable"
    local = True

    def __init__(self, settings: Settings) -> None:
        self._delay = settings.mock_delay_ms / 1000

    async def available(self) -> bool:
        """Always."""
        return True

    async def fresh(self) -> bool:
        """Never: there is nothing to warm up."""
        return False

    async def room(self, prompt: Prompt, text: str) -> Room | None:  # noqa: ARG002 - the protocol's
        """No context, no limit."""
        return None

    async def warm_up(self, prompt: Prompt) -> None:
        """Nothing."""

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[str, None]:  # noqa: ARG002 - the protocol's
        """The text word by word."""
        for word in re.findall(r"`[^`\n]+`|https?://\S+|\w+|\W", text):
            if self._delay and word.isalnum():
                await asyncio.sleep(self._delay)
            mended = _MENDED.get(word.lower(), word)
            yield mended.capitalize() if word[:1].isupper() and mended != word else mended

    async def close(self) -> None:
        """Nothing is open."""


def _messages(prompt: Prompt, text: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": prompt.user(text)}]


def _text(content: object) -> str:
    if not isinstance(content, str):
        raise TypeError(f"content is a {type(content).__name__}")
    return content


def _require(http: Http, *, finished: bool) -> None:
    if not finished:
        raise UnavailableError(f"{http.name}: the answer broke off before its end")


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
