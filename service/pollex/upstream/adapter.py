"""What every model's server is to the rest of the service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Self

from pollex.prompts import Prompt
from pollex.wire import Model


@dataclass(frozen=True, slots=True)
class Token:
    """One step of the model: what it chose, and what else it thought of."""

    text: str
    logprob: float
    """Natural logarithm of the chance that the model gave to it."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens at this place with theirs, the likeliest first; the chosen one may be among them."""


class Said(str):
    """A part of an answer, and how sure the model was of it where its server tells."""

    __slots__ = ("tokens",)
    tokens: tuple[Token, ...]

    def __new__(cls, text: str, tokens: tuple[Token, ...] = ()) -> Self:
        """A part with its tokens."""
        said = super().__new__(cls, text)
        said.tokens = tokens
        return said


@dataclass(frozen=True, slots=True)
class Room:
    """How long a text may be for a model."""

    tokens: int
    """Of this text, or more than it can have."""
    most: int
    """Of the longest text whose answer still fits the context."""
    answer: int
    """That the polished text can need; a model that goes on beyond that has lost its way."""


class Adapter(ABC):
    """One model of one server. What a server cannot tell of itself, or need not do, is answered here."""

    model: Model
    unreachable = "unavailable"
    """What /api/health says when it does not answer."""
    local = True
    """Whether texts stay on the operator's own machines."""
    gateway = False
    """Whether it stands for several servers, of which each may be gone."""
    began: Callable[[str], None] = staticmethod(lambda _: None)
    """Told which board begins an answer."""
    broke: Callable[[str], None] = staticmethod(lambda _: None)
    """Told which board broke one off."""

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
    def stream(self, prompt: Prompt, text: str, limit: int | None) -> AsyncGenerator[Said, None]:
        """The answer in pieces, of at most `limit` tokens. Ends only when the model said that it is done.

        Raises:
            UpstreamError: one of its kinds.
        """

    async def close(self) -> None:  # noqa: B027 - not all have something open
        """Close what is open."""
