"""The models' servers, each behind the same small protocol.

An adapter streams an answer piece by piece. Closing the stream, or cancelling whoever reads it, closes the connection,
which is how every one of these servers learns that nobody waits for the rest.
"""

from __future__ import annotations

from pollex.settings import Settings
from pollex.upstream.adapter import Adapter, Room, Said, Token
from pollex.upstream.claude import Claude
from pollex.upstream.errors import (
    AwayError,
    BrokenError,
    CutShortError,
    LoadingError,
    RejectedError,
    UnavailableError,
    UpstreamError,
)
from pollex.upstream.mock import Mock
from pollex.upstream.ollama import Ollama
from pollex.upstream.openai import OpenAi

__all__ = [
    "Adapter",
    "AwayError",
    "BrokenError",
    "CutShortError",
    "LoadingError",
    "RejectedError",
    "Room",
    "Said",
    "Token",
    "UnavailableError",
    "UpstreamError",
    "adapters",
]


def adapters(settings: Settings) -> list[Adapter]:
    """The adapters that are configured, in the order in which their models are offered."""
    if settings.mock:
        return [Mock(settings)]
    configured: list[Adapter] = []
    if settings.llamacpp_url is not None:
        configured.append(OpenAi(settings))
    if settings.claude_api_key.get_secret_value():
        configured.append(Claude(settings))
    if settings.ollama_url is not None:
        configured.append(Ollama(settings))
    return configured
