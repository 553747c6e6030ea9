"""The Anthropic API."""

from __future__ import annotations

import json
from typing import Any

from pollex.prompts import Prompt
from pollex.settings import Settings
from pollex.upstream.adapter import Token
from pollex.upstream.errors import CutShortError
from pollex.upstream.http import Http, Server, message
from pollex.wire import Model


class Claude(Server):
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
            "messages": prompt.turns(text),
            "stream": True,
            **self._options.model_dump(include={"temperature", "top_p", "top_k", "max_tokens"}, exclude_none=True),
        }

    def _read(self, line: str) -> tuple[object, tuple[Token, ...], bool]:
        """Server-sent events that say in their data what they are."""
        if not line.startswith("data:"):
            return "", (), False
        event = json.loads(line[5:])
        match event["type"]:
            case "content_block_delta" if event["delta"]["type"] == "text_delta":
                return event["delta"]["text"], (), False
            case "message_delta" if event["delta"].get("stop_reason") == "max_tokens":
                raise CutShortError
            case "error":
                raise self._http.failure(message(line[5:]))
        return "", (), event["type"] == "message_stop"
