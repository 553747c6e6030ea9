"""A model for development and tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from pollex.prompts import Prompt
from pollex.settings import MOCK, Settings
from pollex.upstream.adapter import Adapter, Said
from pollex.wire import Model

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

    async def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[Said, None]:  # noqa: ARG002 - it needs neither
        """The text word by word."""
        for word in re.findall(r"`[^`\n]+`|https?://\S+|\w+|\W", text):
            if self._delay and word.isalnum():
                await asyncio.sleep(self._delay)
            mended = _MENDED.get(word.lower(), word)
            yield Said(mended.capitalize() if word[:1].isupper() and mended != word else mended)
