"""llama-server, and every other server that speaks the OpenAI form.

What only llama-server has is asked for and done without where it is missing: the size of the context, counting tokens,
whether a slot is fresh, and the fields of a request that keep its cache, switch thinking off and give probabilities.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import httpx

from pollex.hosts import is_private
from pollex.prompts import Prompt
from pollex.settings import Settings
from pollex.upstream.adapter import Room, Said, Token
from pollex.upstream.errors import AwayError, BrokenError, CutShortError, GarbledError, RejectedError, UpstreamError
from pollex.upstream.http import Answer, Http, Read, Server, message, messages
from pollex.upstream.patience import Patience
from pollex.wire import Model

log = logging.getLogger("pollex")

_SHORT = 256
"""Bytes up to which a text is not worth asking how many tokens it has."""
_SPARE = 64
"""Tokens by which an answer may be longer than its text, however short that is."""
_THOUGHTS = 2048
"""Tokens that a model may take for thinking where that cannot be switched off."""
_VERSION = re.compile(r"v\d+(?:alpha|beta)?\d*")
_NO_THINKING = {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}
"""What the templates of Qwen, GLM, Granite, DeepSeek and gpt-oss look at; others ignore what they do not know."""


def addresses(url: httpx.URL) -> tuple[str, str]:
    """The server's root, and the path below it of what the OpenAI form describes.

    An address may be given as it is shown to people (`http://board:8080`) or as OpenAI's clients want it
    (`http://board:8080/v1`); one that has a version elsewhere (`/v1beta/openai`) is taken as it stands.
    """
    path = url.path.rstrip("/")
    if path.endswith("/v1"):
        path, api = path.removesuffix("/v1"), "/v1"
    else:
        api = "" if any(map(_VERSION.fullmatch, path.split("/"))) else "/v1"
    return str(url.copy_with(path=path or "/")), api


class OpenAi(Server):
    """llama-server or its like."""

    unreachable = "llama-server unreachable"

    def __init__(self, settings: Settings) -> None:
        id_, (root, self._api) = settings.llamacpp_id, addresses(httpx.URL(str(settings.llamacpp_url)))
        key = settings.llamacpp_api_key.get_secret_value()
        super().__init__(
            Model(id=id_, name=f"llama.cpp ({id_})", provider="llamacpp"),
            settings.decoding.get(id_),
            Http(
                "llama.cpp",
                root,
                timeout=settings.llamacpp_timeout,
                connect=settings.connect_timeout,
                headers={"Authorization": f"Bearer {key}"} if key else None,
                hints={
                    401: f"is llamacpp_api_key right? it is {'set' if key else 'not set'}",
                    403: f"is llamacpp_api_key right? it is {'set' if key else 'not set'}",
                    404: "are llamacpp_url and llamacpp_model right?",
                },
                hold=settings.llamacpp_hold_seconds,
            ),
        )
        self.local = is_private(self._http.client.base_url.host)
        self.gateway = settings.llamacpp_hold_seconds > 0
        self._named = {"model": settings.llamacpp_model} if settings.llamacpp_model else {}
        """How a server that has several models is told which one is meant."""
        self._probabilities = settings.llamacpp_probabilities
        self._plain = False
        """Whether the server refuses what the OpenAI form does not have."""
        self._limit_field = "max_tokens"
        self._thinks = False
        """Whether the model was seen thinking although it was told not to."""
        self._health: str | None = None
        """The path that tells whether it is there; the first that the server turned out to have."""
        self._context: tuple[int, int] | None = None
        """Tokens of a slot, and those of them that the prompt takes."""
        self._asked: Prompt | None = None
        """The prompt for which that was asked, or None while nothing was; kept as long as the server runs."""
        self._counts = True
        """Whether it can count tokens."""

    @property
    def _path(self) -> str:
        return f"{self._api}/chat/completions"

    async def available(self) -> bool:
        """`/health`, or where there is none the list of models, says 200; 503 while the model loads."""
        for path in [self._health] if self._health is not None else ["/health", f"{self._api}/models"]:
            status = await self._http.status(path)
            if status is not None and status not in (404, 405, 501):
                self._health = path if status == httpx.codes.OK else self._health
                return status == httpx.codes.OK
        return False

    async def fresh(self) -> bool:
        """No slot ever had a task; `/slots` may be switched off, and then nobody knows."""
        try:
            slots = await self._http.get("/slots", self._named)
            return all(slot["id_task"] == -1 for slot in slots)
        except (UpstreamError, KeyError, TypeError):
            return False

    async def room(self, prompt: Prompt, text: str) -> Room | None:
        """Counted by the server itself: `/tokenize` for the text, `/props` for the context."""
        # No token is shorter than a byte.
        size = len(text.encode())
        if self._asked != prompt:
            self._context, self._asked = await self._measure(prompt), prompt
        if self._context is None:
            return Room(size, size, size + _SPARE)
        slot, taken = self._context
        # An answer is about as long as its text; a fifth more, and some for a sentence, covers what polishing adds.
        most = max(0, int((slot - taken - 16) / 2.2))
        if size <= min(_SHORT, most):
            return Room(size, most, size + _SPARE)
        tokens = await self._count(text)
        return Room(tokens, most, 2 * tokens + _SPARE)

    async def _measure(self, prompt: Prompt) -> tuple[int, int] | None:
        """The context of a slot and what the prompt takes of it, or None where the server cannot tell."""
        self._counts = True
        props = await self._told("GET", "/props")
        try:
            slot = int(props["default_generation_settings"]["n_ctx"])
        except (LookupError, TypeError, ValueError):
            return None
        if slot <= 0:
            return None
        sent = messages(prompt, "")
        templated = await self._told("POST", "/apply-template", {"messages": sent})
        try:
            whole = templated["prompt"] + ""
        except (LookupError, TypeError):
            whole = "\n".join(message["content"] for message in sent)
        return slot, await self._count(whole)

    async def _count(self, text: str) -> int:
        """Its tokens as the server counts them, or else about as many as there are."""
        if self._counts:
            answer = await self._told("POST", "/tokenize", {"content": text})
            try:
                return len(answer["tokens"])
            except (LookupError, TypeError):
                self._counts = False
        # Four letters of English are a token, and every letter of Chinese is one.
        return sum(1 if ord(letter) > 0x2E80 else 0.4 for letter in text).__ceil__()  # noqa: PLR2004 - the first of the CJK blocks

    async def _told(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the server says of itself, or None where it has no such page.

        Raises:
            UpstreamError: it does not answer at all.
        """
        try:
            if method == "GET":
                return await self._http.get(path, self._named)
            return await self._http.ask(path, {**self._named, **(body or {})})
        except GarbledError:
            return None
        except UpstreamError as error:
            # With 500 and more llama-server is in trouble; 501 is how it says that a page is switched off.
            if error.status is None or (error.status >= 500 and error.status != 501):  # noqa: PLR2004 - as said
                raise
            return None

    async def warm_up(self, prompt: Prompt) -> None:
        """One token after the prompt alone: its evaluation stays in the slot's cache."""
        self._asked = None
        body = self._request(prompt, "") | {self._limit_field: 1, "temperature": 0}
        answer = await self._accepted(body)
        async with self._http.errors():
            said = answer["choices"][0]["message"]
            _ = said["content"]
            self._thinks |= bool(_thought(said))

    async def _accepted(self, body: dict[str, Any]) -> Any:
        """The answer to a request, which is sent once more in plain words if the server does not take it."""
        try:
            return await self._http.ask(self._path, body)
        except RejectedError as error:
            plainer = self._plainer(body, error)
            if plainer is None:
                raise
        answer = await self._http.ask(self._path, plainer)
        self._learn(plainer)
        return answer

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[Said, None]:
        """The answer in pieces. What one board behind a gateway began, another one ends."""
        patience, shown = Patience(self._http.hold), ""
        opening: AbstractAsyncContextManager[Answer] = self._open(prompt, text, limit)
        read: Read = self._read
        while True:
            try:
                async with aclosing(self._pieces(opening, read)) as pieces:
                    async for piece in pieces:
                        shown += piece
                        patience.answered()
                        yield piece
            except (AwayError, BrokenError) as error:
                pause = patience.pause(error)
                if pause is None:
                    raise
                log.info("asked again", extra={"model": self.model.id, "error": error.what, "seconds": pause})
                await asyncio.sleep(pause)
                opening, read = await self._anew(error, prompt, text, limit, shown)
            else:
                return

    async def _anew(
        self, error: UpstreamError, prompt: Prompt, text: str, limit: int | None, shown: str
    ) -> tuple[AbstractAsyncContextManager[Answer], Read]:
        """The next try of an answer: from its beginning, or from where it broke off.

        Raises:
            UpstreamError: `error` itself, where a server cannot be told how an answer begins.
            CutShortError: the answer was as long as it may be.
        """
        if not shown:
            return self._open(prompt, text, limit), self._read
        templated = await self._told("POST", "/apply-template", self._request(prompt, text))
        begun = await self._told("POST", "/tokenize", {"content": shown})
        try:
            # the text's own tokens, apart from the prompt's, so that none of them is joined with the prompt's last
            tokens = [templated["prompt"] + "", *begun["tokens"]]
        except (LookupError, TypeError):
            raise error from None
        options = self._options.model_dump(exclude_none=True)
        most = options.pop("max_tokens", limit)
        if most is not None:
            options["n_predict"] = most - len(tokens) + 1
            if options["n_predict"] <= 0:
                raise CutShortError
        asked = {"n_probs": self._probabilities} if self._probabilities else {}
        body = {**self._named, "prompt": tokens, "stream": True, "cache_prompt": True, **asked, **options}
        return self._http.lines("/completion", body), self._read_completion

    @asynccontextmanager
    async def _open(self, prompt: Prompt, text: str, limit: int | None) -> AsyncIterator[Answer]:
        body = self._body(prompt, text, limit)
        async with AsyncExitStack() as stack:
            try:
                lines = await stack.enter_async_context(self._http.lines(self._path, body))
            except RejectedError as error:
                plainer = self._plainer(body, error)
                if plainer is None:
                    raise
                lines = await stack.enter_async_context(self._http.lines(self._path, plainer))
                self._learn(plainer)
            yield lines

    def _plainer(self, body: dict[str, Any], error: RejectedError) -> dict[str, Any] | None:
        """The same request in the words of every server, or None if the refusal has another reason."""
        plainer = {key: value for key, value in body.items() if key not in self._extras}
        if "max_completion_tokens" in str(error) and "max_tokens" in plainer:
            plainer["max_completion_tokens"] = plainer.pop("max_tokens")
        return plainer if plainer.keys() != body.keys() else None

    def _learn(self, taken: Mapping[str, Any]) -> None:
        self._plain = True
        if "max_completion_tokens" in taken:
            self._limit_field = "max_completion_tokens"

    @property
    def _extras(self) -> dict[str, Any]:
        """What llama-server understands and others may refuse."""
        asked = {"logprobs": True, "top_logprobs": self._probabilities} if self._probabilities else {}
        return {"cache_prompt": True, "chat_template_kwargs": _NO_THINKING, **asked}

    def _request(self, prompt: Prompt, text: str) -> dict[str, Any]:
        extras = {} if self._plain else self._extras
        return {"model": self.model.id, "messages": messages(prompt, text), **extras}

    def _body(self, prompt: Prompt, text: str, limit: int | None) -> dict[str, Any]:
        options = self._options.model_dump(exclude_none=True)
        most = options.pop("max_tokens", limit)
        if most is not None:
            options[self._limit_field] = most + (_THOUGHTS if self._thinks else 0)
        return self._request(prompt, text) | {"stream": True} | options

    def _read(self, line: str) -> tuple[object, tuple[Token, ...], bool]:
        """Server-sent events of the OpenAI form; llama-server's own errors begin with `error:`."""
        if line.startswith("error:"):
            raise self._http.failure(line[6:].strip()[:200])
        if not line.startswith("data:") or (data := line[5:].strip()) == "[DONE]":
            return "", (), False
        event = json.loads(data)
        if "error" in event:
            raise self._http.failure(message(data))
        if not event["choices"]:
            return "", (), False
        choice = event["choices"][0]
        reason, delta = choice.get("finish_reason") or None, choice.get("delta") or {}
        self._thinks |= bool(_thought(delta))
        if reason not in (None, "stop"):
            raise CutShortError
        said = delta.get("content")
        return "" if said is None else said, _tokens(choice.get("logprobs")), reason is not None

    def _read_completion(self, line: str) -> tuple[object, tuple[Token, ...], bool]:
        """Server-sent events of llama-server's own form, in which an answer is continued."""
        if line.startswith("error:"):
            raise self._http.failure(line[6:].strip()[:200])
        if not line.startswith("data:"):
            return "", (), False
        event = json.loads(line[5:])
        if "error" in event:
            raise self._http.failure(message(line[5:]))
        if event.get("stop_type") == "limit":
            raise CutShortError
        tokens = _tokens({"content": event.get("completion_probabilities")})
        return event["content"], tokens, bool(event["stop"])


def _thought(said: Mapping[str, Any]) -> object:
    """What a model thought, where the server tells it apart from what it said."""
    return said.get("reasoning_content") or said.get("reasoning")


def _tokens(told: Mapping[str, Any] | None) -> tuple[Token, ...]:
    """The tokens of an event with their chances; the OpenAI form and llama-server's are the same here."""
    return tuple(
        Token(
            one["token"],
            one["logprob"],
            tuple((other["token"], other["logprob"]) for other in one.get("top_logprobs") or ()),
        )
        for one in (told or {}).get("content") or ()
    )
