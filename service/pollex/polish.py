"""From a text to a polished text: which model, when, in which pieces, and what of the answers is believed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pollex import text as texts
from pollex.gate import Breaker, Gate, QueueFullError
from pollex.metrics import Metrics
from pollex.prompts import DEFAULT, Prompt
from pollex.settings import Settings
from pollex.upstream import Adapter, CutShortError, LoadingError, UnavailableError, UpstreamError
from pollex.words import Change, Judged, Kept, Options

log = logging.getLogger("pollex")


class TextTooLongError(Exception):
    """The text and its answer do not fit the model's context."""

    def __init__(self, tokens: int, most: int) -> None:
        super().__init__(f"text too long: {tokens} tokens (max {most})")
        self.tokens = tokens
        self.most = most


class UnknownModelError(Exception):
    """No model has this id."""


class Listener(Protocol):
    """Who watches a text being polished."""

    def queued(self, place: int) -> None:
        """The place in the queue changed; 0 is running."""

    def wrote(self, text: str) -> None:
        """More of the polished text is there; provisional until its part is settled."""

    def settled(self, start: int, end: int, judged: Judged) -> None:
        """What became of the author's text from `start` to `end`; its parts are settled in order, without a gap."""


@dataclass(frozen=True, slots=True)
class Polished:
    """A polished text, and which model polished it."""

    text: str
    model: str
    changes: tuple[Change, ...] = ()
    """All that the model proposed, in order, with places in the author's text."""
    kept: tuple[Kept, ...] = ()
    """What stayed as it was because no good answer came."""


class Upstream:
    """An adapter with its queue, its breaker and what is known of its state."""

    def __init__(self, adapter: Adapter, settings: Settings, prompt: Prompt, metrics: Metrics) -> None:
        self.adapter = adapter
        self.id = adapter.model.id
        self.gate = Gate(settings.slots, settings.queue_length)
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_seconds)
        self.available = False
        self.proved = False
        """Whether its last generation, of a request or a warm-up, went well."""
        self._prompt = prompt
        self._metrics = metrics

    @property
    def reason(self) -> str | None:
        """What keeps it from being ready, or None."""
        if not self.available:
            return f"{self.id}: {self.adapter.unreachable}"
        return None if self.proved else f"{self.id}: has not generated anything yet"

    async def probe(self) -> bool:
        """Whether it answers, now."""
        self.available = await self.adapter.available()
        self._metrics.available.labels(self.id).set(self.available)
        if not self.available:
            self.proved = False
        return self.available

    async def look(self) -> None:
        """Learn its state, and warm it up after each of its starts."""
        if not await self.probe():
            return
        if self.proved and not await self.adapter.fresh():
            return
        if not self.gate.idle:
            return  # whoever holds the slot is generating, which proves and warms it as well
        try:
            with self.gate.enter():
                started = time.monotonic()
                await self.adapter.warm_up(self._prompt)
        except (UpstreamError, QueueFullError) as error:
            self.proved = False
            log.warning("warm-up failed", extra={"model": self.id, "error": str(error)})
        else:
            self.succeeded()
            log.info("warm", extra={"model": self.id, "seconds": round(time.monotonic() - started, 3)})

    def succeeded(self) -> None:
        """It generated an answer."""
        self.available = self.proved = True
        self.breaker.succeeded()

    def failed(self) -> None:
        """It did not."""
        self.proved = False
        self.breaker.failed()
        self._metrics.failures.labels(self.id).inc()


class Polisher:
    """All upstreams, and the way of a text through them."""

    def __init__(
        self, adapters: list[Adapter], settings: Settings, prompts: Mapping[str, Prompt], metrics: Metrics
    ) -> None:
        self._settings = settings
        self._prompts = prompts
        self._metrics = metrics
        self.upstreams = {
            adapter.model.id: Upstream(adapter, settings, prompts[DEFAULT], metrics) for adapter in adapters
        }
        for upstream in self.upstreams.values():
            metrics.available.labels(upstream.id).set(0)
            metrics.waiting.labels(upstream.id).set_function(partial(getattr, upstream.gate, "waiting"))

    async def watch(self) -> None:
        """Look at every upstream from time to time, for ever."""
        while True:
            await asyncio.gather(*(upstream.look() for upstream in self.upstreams.values()))
            await asyncio.sleep(self._settings.probe_seconds)

    async def close(self) -> None:
        """Close all connections."""
        for upstream in self.upstreams.values():
            await upstream.adapter.close()

    def candidates(self, model: str) -> list[Upstream]:
        """The upstream of a model, then those that may stand in for it.

        Raises:
            UnknownModelError: nobody has this model.
        """
        if model not in self.upstreams:
            raise UnknownModelError(f"unknown model: {model}")
        others = self._settings.fallback.get(model)
        if others is None:
            others = [u.id for u in self.upstreams.values() if u.adapter.local]
        return [self.upstreams[id_] for id_ in dict.fromkeys([model, *others])]

    async def polish(
        self,
        text: str,
        model: str,
        listener: Listener | None = None,
        options: Options = Options(),  # noqa: B008 - frozen
    ) -> Polished:
        """The polished text, by the first of the model's candidates that can.

        Raises:
            UnknownModelError: see `candidates`.
            QueueFullError: the upstream that should do it has no place left.
            TextTooLongError: a piece of the text that cannot be cut further does not fit the context.
            UpstreamError: no candidate gave a whole answer, or one broke off after the listener had heard some of it.
        """
        problem: UpstreamError = UnavailableError("every upstream failed lately and is left alone for a moment")
        for upstream in self.candidates(model):
            if not upstream.breaker.allows():
                continue
            attempt = _Attempt(upstream, self._settings, self._prompts[options.mode], self._metrics, listener)
            try:
                polished = await attempt.run(text)
            except LoadingError as error:
                problem = error
                continue
            except UnavailableError as error:
                upstream.failed()
                log.warning("upstream failed", extra={"model": upstream.id, "error": error.what})
                problem = error
                if attempt.heard:
                    raise
                continue
            upstream.succeeded()
            if upstream.id != model:
                self._metrics.fallbacks.labels(model, upstream.id).inc()
            return Polished(polished, upstream.id)
        raise problem


class _Attempt:
    """One text on one upstream."""

    def __init__(
        self, upstream: Upstream, settings: Settings, prompt: Prompt, metrics: Metrics, listener: Listener | None
    ) -> None:
        self._upstream = upstream
        self._adapter = upstream.adapter
        self._limit = settings.split_chars
        self._prompt = prompt
        self._metrics = metrics
        self._listener = listener
        self.heard = False
        """Whether the listener was told some of the answer, which cannot be taken back."""

    async def run(self, text: str) -> str:
        """The polished text."""
        pieces = texts.pieces(text, self._limit)
        if not any(piece.prose for piece in pieces):
            return text
        with self._upstream.gate.enter() as turn:
            # Nobody waits, and nothing is generated, before it is known that everything fits.
            limits = [await self._room(piece) if piece.prose else None for piece in pieces]
            await turn.comes(self._moved)
            started = time.monotonic()
            done, at = [], 0
            for piece, limit in zip(pieces, limits, strict=True):
                done.append(await self._piece(piece, limit))
                if self._listener is not None:
                    self._listener.settled(at, at + len(piece.whole), Judged(done[-1]))
                at += len(piece.whole)
            self._metrics.duration.labels(self._upstream.id).observe(time.monotonic() - started)
        return "".join(done)

    async def _room(self, piece: texts.Piece) -> int | None:
        room = await self._adapter.room(self._prompt, piece.sent)
        if room is None:
            return None
        if room.tokens > room.most:
            raise TextTooLongError(room.tokens, room.most)
        return room.answer

    async def _piece(self, piece: texts.Piece, limit: int | None) -> str:
        if not piece.prose:
            self._wrote(piece.whole)
            return piece.whole
        self._wrote(piece.before)
        joined = piece.join(await self._answer(piece, limit, tell=True))
        if joined is None and len(piece.blocks) > 1:
            parts = [await self._alone(part, limit) for part in piece.parts()]
            joined = "".join(parts)
        elif joined is None:
            joined = self._keep(piece)
        self._wrote(piece.after)
        return joined

    async def _alone(self, piece: texts.Piece, limit: int | None) -> str:
        """One block of several whose common answer had lost its shape."""
        if len(piece.sent.split()) < _WORDS:
            return piece.whole
        return piece.join(await self._answer(piece, limit, tell=False)) or self._keep(piece)

    async def _answer(self, piece: texts.Piece, limit: int | None, *, tell: bool) -> str:
        cleaner = texts.Cleaner(piece.sent)
        parts: list[str] = []

        def add(part: str) -> None:
            parts.append(part)
            if tell:
                self._wrote(part)

        async with aclosing(self._adapter.stream(self._prompt, piece.sent, limit)) as answer:
            async for part in answer:
                add(cleaner.feed(part))
                if cleaner.complete:
                    break  # what would follow costs the board time and is thrown away
        add(cleaner.finish())
        return "".join(parts)

    def _keep(self, piece: texts.Piece) -> str:
        self._metrics.kept.labels(self._upstream.id).inc()
        return piece.whole

    def _moved(self, place: int) -> None:
        if self._listener is not None:
            self._listener.queued(place)

    def _wrote(self, text: str) -> None:
        if text and self._listener is not None:
            self.heard = True
            self._listener.wrote(text)


_WORDS = 3
"""Alone, fewer words than these make a small model answer them instead of polishing them."""

__all__ = ["CutShortError", "Polished", "Polisher", "TextTooLongError", "UnknownModelError", "Upstream"]
