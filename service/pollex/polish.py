"""From a text to a polished text: which model, when, in which pieces, and what of the answers is believed."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from pollex import boards, deadline, words
from pollex.gate import Breaker, Gate, QueueFullError
from pollex.metrics import Metrics
from pollex.pace import MARGIN, Pace
from pollex.prompts import DEFAULT, Prompt
from pollex.settings import Settings
from pollex.upstream import Adapter, CutShortError, LoadingError, UnavailableError, UpstreamError
from pollex.words import Change, Judged, Kept, Options, Reason

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
        # a gateway whose boards are away is waited for, for a bounded time, and so is never left alone
        failures = sys.maxsize if adapter.gateway else settings.breaker_failures
        self.breaker = Breaker(failures, settings.breaker_seconds)
        self.pace = Pace(self.id, settings)
        self.available = False
        self.proved = False
        """Whether its last generation, of a request or a warm-up, went well."""
        self._prompt = prompt
        self._metrics = metrics
        adapter.began, adapter.broke = self._began, self._broke

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
            what = error.what if isinstance(error, UpstreamError) else str(error)
            log.warning("warm-up failed", extra={"model": self.id, "error": what})
        else:
            self.succeeded()
            log.info("warm", extra={"model": self.id, "seconds": round(time.monotonic() - started, 3)})

    def _began(self, board: str) -> None:
        boards.note(board)
        self._metrics.board_answers.labels(board).inc()

    def _broke(self, board: str) -> None:
        self._metrics.board_breaks.labels(board).inc()

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
        *,
        batch: bool = False,
    ) -> Polished:
        """The polished text, by the first of the model's candidates that can.

        Args:
            text: the author's.
            model: the id of the model that is asked for.
            listener: who watches.
            options: what the text is to become, and what of it is to stay.
            batch: whether nobody waits for it: those for whom somebody does go first.

        Raises:
            UnknownModelError: see `candidates`.
            QueueFullError: the upstream that should do it has no place left.
            TextTooLongError: a piece of the text that cannot be cut further does not fit the context.
            UpstreamError: no candidate gave a whole answer, or one broke off after the listener had heard some of it.
        """
        problem: UpstreamError = UnavailableError("every upstream failed lately and is left alone for a moment")
        until = time.monotonic() + MARGIN * self._settings.request_timeout
        candidates = self.candidates(model)
        for place, upstream in enumerate(candidates, start=1):
            if not upstream.breaker.allows():
                continue
            prompt = self._prompts[options.mode]
            attempt = _Attempt(
                upstream,
                self._settings,
                prompt,
                self._metrics,
                listener=listener,
                options=options,
                until=until,
                batch=batch,
            )
            try:
                # Nobody waits for a model to be loaded while another can answer.
                with deadline.over(when=any(other.reason is None for other in candidates[place:])):
                    judged = await attempt.run(text)
            except LoadingError as error:
                problem = error
                if attempt.heard:
                    raise
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
            return Polished(judged.text, upstream.id, judged.changes, judged.kept)
        raise problem


_LEAST = 32
"""Tokens below which a part is no sentence any more: where no more fit, the text is refused instead of cut."""


class _Attempt:
    """One text on one upstream."""

    def __init__(
        self,
        upstream: Upstream,
        settings: Settings,
        prompt: Prompt,
        metrics: Metrics,
        *,
        listener: Listener | None,
        options: Options,
        until: float,
        batch: bool,
    ) -> None:
        self._upstream = upstream
        self._batch = batch
        self._adapter = upstream.adapter
        self._limit = settings.split_chars
        self._prompt = prompt
        self._prompt_sent = "\n".join([prompt.system, *(turn["content"] for turn in prompt.turns(""))])
        self._metrics = metrics
        self._listener = listener
        self._options = options
        self._until = until
        self._over: Reason | None = None
        """Why nothing more is asked of the upstream."""
        self._problem: Exception | None = None
        """The last that went wrong."""
        self._good = 0
        """Answers that came whole."""
        self._characters = 0
        """Of the author's that were answered."""
        self._down = 0
        """Answers in a row that did not come because the upstream failed."""
        self.heard = False
        """Whether the listener was told some of the answer, which cannot be taken back."""

    async def run(self, text: str) -> Judged:
        """The polished text.

        Raises:
            TextTooLongError, UpstreamError, TimeoutError: nothing was polished.
        """
        pieces = words.pieces(text, self._limit, quoted=self._options.quoted)
        if not any(piece.prose for piece in pieces):
            return Judged(text)
        done = list[Judged]()
        with self._upstream.gate.enter(batch=self._batch) as turn:
            # Nobody waits, and nothing is generated, before it is known what fits.
            fitted = [part for piece in pieces for part in await self._fit(piece)]
            if not any(fit.asks for fit in fitted):
                raise next(fit.problem for fit in fitted if fit.problem is not None)
            await turn.comes(self._moved)
            started, at = time.monotonic(), 0
            for fit in fitted:
                judged = await self._settle(fit, at)
                done.append(judged)
                at += len(fit.piece.whole)
            seconds = time.monotonic() - started
            self._metrics.duration.labels(self._upstream.id).observe(seconds)
            self._upstream.pace.took(self._characters, seconds)
        if not self._good and self._problem is not None:
            raise self._problem
        return _joined(done)

    async def _fit(self, piece: words.Piece) -> list[_Fit]:
        """The piece, in parts if the model has no room for the whole."""
        room = await self._adapter.room(self._prompt, piece.sent) if piece.prose else None
        if room is None:
            return [_Fit(piece, None)]
        if room.tokens <= room.most:
            return [_Fit(piece, room.answer)]
        if room.most >= _LEAST:
            smaller = piece.smaller(max(1, int(0.9 * len(piece.sent) * room.most / room.tokens)))
            if len(smaller) > 1:
                return [fit for part in smaller for fit in await self._fit(part)]
        return [_Fit(piece, None, TextTooLongError(room.tokens, room.most))]

    async def _settle(self, fit: _Fit, at: int) -> Judged:
        """What became of a part that begins at `at`; the listener is told."""
        piece = fit.piece
        if not piece.prose:
            self._wrote(piece.whole)
            judged = Judged(piece.whole)
        elif fit.problem is not None:
            self._wrote(piece.whole)
            judged = _kept(piece, Reason.TOO_LONG)
        else:
            judged = await self._judged(piece, fit.limit)
        judged = judged.moved(at)
        self._metrics.kept.labels(self._upstream.id).inc(len(judged.kept))
        if self._listener is not None:
            self._listener.settled(at, at + len(piece.whole), judged)
        return judged

    async def _judged(self, piece: words.Piece, limit: int | None) -> Judged:
        """The piece as it is after judgement; blocks that came to nothing are tried once more, each alone."""
        judged = await self._tried(piece, limit, tell=True)
        if not judged.kept or self._over is not None:
            return judged
        parts = piece.parts()
        if len(parts) == 1:
            if judged.kept[0].reason not in (Reason.CUT_SHORT, Reason.CIRCLES):
                return judged
            parts = piece.smaller((len(piece.sent) + 1) // 2)
            if len(parts) == 1 or any(len(part.sent.split()) < _WORDS for part in parts):
                return judged
        done, at = list[Judged](), 0
        for part in parts:
            end = at + len(part.whole)
            own = judged.part(at, end, part.whole)
            if own.kept and own.text == part.whole:
                own = _kept(part, own.kept[0].reason)
            if own.kept and len(part.sent.split()) >= _WORDS:
                again = await self._tried(part, limit, tell=False)
                own = again if len(again.kept) <= len(own.kept) and not _failed(again) else own
            done.append(own.moved(at))
            at = end
        return _joined(done)

    async def _tried(self, piece: words.Piece, limit: int | None, *, tell: bool) -> Judged:
        """One try; places count from the beginning of the piece."""
        if self._over is not None:
            return _kept(piece, self._over)
        if tell:
            self._wrote(piece.before)
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + self._until - time.monotonic()):
                answer = await self._answer(piece, limit, tell=tell)
        except TimeoutError as error:
            self._problem, self._over = error, Reason.TIMEOUT
            return _kept(piece, Reason.TIMEOUT)
        except UnavailableError as error:
            # A server that fails twice in a row is left alone; where nothing is done, the next upstream has its turn.
            self._down += 1
            if not self._good and (len(piece.blocks) == 1 or self._down > 1):
                raise
            self._problem, self._over = error, Reason.FAILED if self._down > 1 else None
            return _kept(piece, Reason.FAILED)
        except UpstreamError as error:
            self._problem = error
            return _kept(piece, Reason.FAILED)
        self._good, self._down = self._good + 1, 0
        if tell:
            self._characters += len(piece.sent)
            self._wrote(piece.after)
        found = words.judge(
            piece.sent,
            answer.raw,
            self._options,
            prompt_sent=self._prompt_sent,
            confidence=answer.confidence or None,
        )
        if words.circles(answer.raw, piece.sent):
            found = replace(found, kept=tuple(replace(one, reason=Reason.CIRCLES) for one in found.kept))
        elif answer.cut:
            # What was said so far may tell why it was so long; none of it is believed.
            told = found.text == piece.sent and len(answer.raw) > len(piece.sent)
            reasons = {one.reason for one in found.kept} & _LONG if told else set[Reason]()
            return _kept(piece, min(reasons, default=Reason.CUT_SHORT))
        return Judged(piece.before + found.text + piece.after, found.changes, found.kept).moved(len(piece.before))

    async def _answer(self, piece: words.Piece, limit: int | None, *, tell: bool) -> _Answer:
        """The raw answer up to where nothing good can follow, and how sure the model was of it."""
        stream = words.Stream(piece.sent, self._prompt_sent)
        confidence: dict[int, words.Choice] = {}
        cut = False
        async with aclosing(self._adapter.stream(self._prompt, piece.sent, limit)) as answer:
            try:
                async for part in answer:
                    at = len(stream.raw)
                    for token in part.tokens:
                        confidence[at] = words.Choice(token.logprob, dict(token.alternatives))
                        at += len(token.text)
                    shown = stream.feed(part)
                    if tell:
                        self._wrote(shown)
                    if stream.complete:
                        break  # what would follow costs the board time and is thrown away
            except CutShortError:
                cut = True
        if tell:
            self._wrote(stream.finish())
        return _Answer(stream.raw, confidence, cut)

    def _moved(self, place: int) -> None:
        if self._listener is not None:
            self._listener.queued(place)

    def _wrote(self, text: str) -> None:
        if text and self._listener is not None:
            self.heard = True
            self._listener.wrote(text)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a model said of a piece."""

    raw: str
    confidence: dict[int, words.Choice]
    cut: bool
    """Whether it met its length limit."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """A piece that fits the model's context, with the tokens that its answer may have, or why it does not."""

    piece: words.Piece
    limit: int | None
    problem: TextTooLongError | None = None

    @property
    def asks(self) -> bool:
        """Whether it is for the model."""
        return self.piece.prose and self.problem is None


def _kept(piece: words.Piece, reason: Reason) -> Judged:
    start = len(piece.before)
    return Judged(piece.whole, kept=(Kept(start, start + len(piece.sent), reason),))


def _failed(judged: Judged) -> bool:
    return any(kept.reason in (Reason.CUT_SHORT, Reason.FAILED, Reason.TIMEOUT) for kept in judged.kept)


def _joined(done: list[Judged]) -> Judged:
    """Parts that follow each other, as one."""
    return Judged(
        "".join(judged.text for judged in done),
        tuple(change for judged in done for change in judged.changes),
        tuple(kept for judged in done for kept in judged.kept),
    )


_LONG = {Reason.ANSWERED, Reason.ADDED, Reason.UNRELATED, Reason.CHAT, Reason.REFUSAL, Reason.OTHER_LANGUAGE}
"""Why an answer may be longer than its text."""
_WORDS = 3
"""Alone, fewer words than these make a small model answer them instead of polishing them."""

__all__ = ["CutShortError", "Polished", "Polisher", "TextTooLongError", "UnknownModelError", "Upstream"]
