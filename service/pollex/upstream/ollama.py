"""Ollama."""

from __future__ import annotations

import json
from typing import Any

from pollex.prompts import Prompt
from pollex.settings import Settings
from pollex.upstream.adapter import Token
from pollex.upstream.errors import CutShortError
from pollex.upstream.http import Http, Server, message, messages
from pollex.wire import Model


class Ollama(Server):
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
        body = {"model": self.model.id, "messages": messages(prompt, ""), "stream": False, "options": options}
        answer = await self._http.ask(self._path, body)
        async with self._http.errors():
            _ = answer["message"]["content"]

    def _body(self, prompt: Prompt, text: str, limit: int | None) -> dict[str, Any]:
        options = self._options.model_dump(exclude_none=True)
        if (most := options.pop("max_tokens", limit)) is not None:
            options["num_predict"] = most
        return {"model": self.model.id, "messages": messages(prompt, text), "stream": True, "options": options}

    def _read(self, line: str) -> tuple[object, tuple[Token, ...], bool]:
        """One JSON object a line."""
        if not line.strip():
            return "", (), False
        event = json.loads(line)
        if "error" in event:
            raise self._http.failure(message(line))
        if event.get("done_reason") == "length":
            raise CutShortError
        return event["message"]["content"], (), bool(event.get("done"))
