"""Who has paragraphs judged for clients that ask again with every few letters, on a board that takes seconds for each.

What is known of a paragraph is remembered, in memory alone. A client's paragraphs are done one after the other, the
newest request's first; an older state of a paragraph that is being written in is not done any more.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pollex import deadline
from pollex.gate import QueueFullError
from pollex.languagetool.text import common
from pollex.metrics import Metrics
from pollex.polish import Polished, Polisher, TextTooLongError
from pollex.prompts import Prompt
from pollex.settings import Settings
from pollex.upstream import CutShortError, LoadingError, UnavailableError, UpstreamError
from pollex.words import Change, Options, Reason

_PATIENCE = 0.9
"""Share of a paragraph's time in which a server that loads its model is waited for."""
_GRACE = 2.0
"""Seconds after which nothing is done any more for a client that hung up: most hang up to ask anew at once."""


@dataclass(frozen=True, slots=True)
class Key:
    """All that decides what becomes of a paragraph."""

    text: str
    model: str
    prompt: Prompt
    options: Options


class Memory:
    """What became of paragraphs, up to so many characters; the one that was asked for longest ago goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._known: OrderedDict[Key, tuple[Change, ...]] = OrderedDict()

    def get(self, key: Key) -> tuple[Change, ...] | None:
        """The changes of a paragraph, if it is known."""
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def put(self, key: Key, changes: tuple[Change, ...]) -> None:
        """Remember a paragraph."""
        if key not in self._known:
            self._size += len(key.text)
        self._known[key] = changes
        self._known.move_to_end(key)
        while self._size > self._most:
            forgotten, _ = self._known.popitem(last=False)
            self._size -= len(forgotten.text)


@dataclass(slots=True)
class _Wanted:
    """A paragraph that somebody waits for, or waited for."""

    done: asyncio.Future[tuple[Change, ...] | Exception | None]
    """Its changes, or why there are none; None where it was dropped."""
    session: str
    waiters: int = 0
    work: asyncio.Task[tuple[Change, ...]] | None = None
    """While it runs."""


@dataclass(slots=True)
class _Client:
    """A client's paragraphs, in the order in which they are done."""

    wanted: OrderedDict[str, _Wanted] = field(default_factory=OrderedDict)
    worker: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Looked:
    """What is known of some paragraphs by now."""

    known: dict[str, tuple[Change, ...]]
    late: bool = False
    """Whether some are not done yet, or not any more."""
    problem: Exception | None = None
    """Why some could not be done."""


class Desk:
    """Has paragraphs judged, and remembers."""

    def __init__(
        self,
        polisher: Polisher,
        model: str,
        prompt: Prompt,
        options: Options,
        *,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._polisher = polisher
        self._model = model
        self._prompt = prompt
        self._options = options
        self._seconds = settings.request_timeout
        self._memory = Memory(settings.check_cache_chars)
        self._metrics = metrics
        self._clients: dict[str, _Client] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def look(self, paragraphs: Sequence[str], who: str, session: str, seconds: float) -> Looked:
        """What becomes of paragraphs, as far as it is known after so many seconds; the rest is done all the same.

        Args:
            paragraphs: the text's.
            who: the client that asks.
            session: what it calls the field that is written in; empty where it does not say.
            seconds: that it can wait.
        """
        looked = Looked({})
        asked = dict.fromkeys(paragraphs)
        for text in asked:
            if (changes := self._recall(text)) is not None:
                looked.known[text] = changes
        missing = [text for text in asked if text not in looked.known]
        self._metrics.checked.labels("memory").inc(len(looked.known))
        waited = self._want(missing, asked, who, session)
        try:
            if waited:
                await asyncio.wait([wanted.done for wanted in waited.values()], timeout=seconds)
        except asyncio.CancelledError:
            self._hung_up(who, waited)
            raise
        finally:
            for wanted in waited.values():
                wanted.waiters -= 1
        for text, wanted in waited.items():
            outcome = wanted.done.result() if wanted.done.done() else None
            if isinstance(outcome, tuple):
                looked.known[text] = outcome
            elif outcome is None:
                looked.late = True
            else:
                looked.problem = outcome
        return looked

    async def close(self) -> None:
        """Do nothing more."""
        tasks = [client.worker for client in self._clients.values() if client.worker is not None]
        for task in (*tasks, *self._leaving):
            task.cancel()
        await asyncio.gather(*tasks, *self._leaving, return_exceptions=True)

    def _key(self, text: str, model: str) -> Key:
        return Key(text, model, self._prompt, self._options)

    def _recall(self, text: str) -> tuple[Change, ...] | None:
        """What is known; from a model that stands in only while the one that is asked for is down."""
        for upstream in self._polisher.candidates(self._model):
            if (changes := self._memory.get(self._key(text, upstream.id))) is not None:
                return changes
            if upstream.available:
                break
        return None

    def _want(self, missing: Sequence[str], asked: Collection[str], who: str, session: str) -> dict[str, _Wanted]:
        """Put paragraphs before all others of this client, and drop those that they are newer states of."""
        client = self._clients.setdefault(who, _Client())
        for text, wanted in list(client.wanted.items()):
            same = bool(session) and wanted.session == session
            if text not in asked and (same or any(revised(text, newer) for newer in missing)):
                self._drop(client, text)
        for text in reversed(missing):
            if text not in client.wanted:
                client.wanted[text] = _Wanted(asyncio.get_running_loop().create_future(), session)
            client.wanted.move_to_end(text, last=False)
        found = {text: client.wanted[text] for text in missing}
        for wanted in found.values():
            wanted.waiters += 1
        if client.wanted and client.worker is None:
            client.worker = asyncio.create_task(self._serve(who, client))
        elif client.worker is None:
            del self._clients[who]
        return found

    def _drop(self, client: _Client, text: str) -> None:
        wanted = client.wanted.pop(text)
        self._metrics.checked.labels("dropped").inc()
        if wanted.work is not None:
            wanted.work.cancel()
        if not wanted.done.done():
            wanted.done.set_result(None)

    def _hung_up(self, who: str, waited: dict[str, _Wanted]) -> None:
        task = asyncio.create_task(self._leave(who, waited))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, who: str, waited: dict[str, _Wanted]) -> None:
        """Drop what nobody waits for any more."""
        await asyncio.sleep(_GRACE)
        client = self._clients.get(who)
        for text, wanted in waited.items():
            if client is not None and client.wanted.get(text) is wanted and not wanted.waiters:
                self._drop(client, text)

    async def _serve(self, who: str, client: _Client) -> None:
        """Do a client's paragraphs until none is left."""
        try:
            while client.wanted:
                text, wanted = next(iter(client.wanted.items()))
                await self._do(client, text, wanted)
        finally:
            del self._clients[who]
            for wanted in client.wanted.values():
                if wanted.work is not None:
                    wanted.work.cancel()

    async def _do(self, client: _Client, text: str, wanted: _Wanted) -> None:
        wanted.work = asyncio.create_task(self._judge(text))
        await asyncio.wait([wanted.work])
        if wanted.work.cancelled():
            return  # dropped, and told so
        problem = wanted.work.exception()
        failed = [text]
        if isinstance(problem, (QueueFullError, LoadingError, UnavailableError)):
            failed = list(client.wanted)  # nothing else would come out for them
        for each in failed if problem is not None else [text]:
            done = client.wanted.pop(each).done
            if not done.done():
                done.set_result(wanted.work.result() if problem is None else _told(problem))

    async def _judge(self, text: str) -> tuple[Change, ...]:
        """A paragraph's changes.

        Raises:
            QueueFullError, UpstreamError, TimeoutError: there are none, for now.
        """
        deadline.begin(_PATIENCE * self._seconds)
        self._metrics.checked.labels("model").inc()
        try:
            async with asyncio.timeout(self._seconds):
                polished = await self._polisher.polish(text, self._model, None, self._options)
        except (TextTooLongError, CutShortError):
            polished = Polished(text, self._model)  # it would be the same again
        if not any(kept.reason in _PASSING for kept in polished.kept):
            self._memory.put(self._key(text, polished.model), polished.changes)
        return polished.changes


_PASSING = (Reason.TIMEOUT, Reason.FAILED)
"""Why a part stayed as it was that may be better next time."""


def _told(problem: BaseException) -> Exception:
    if isinstance(problem, (QueueFullError, UpstreamError, TimeoutError)):
        return problem
    raise problem


def revised(older: str, newer: str) -> bool:
    """Whether a paragraph is a newer state of another: at least half of the shorter one stands at its two ends."""
    head = common(older, newer)
    shorter = min(len(older), len(newer))
    tail = common(older[head:][::-1], newer[head:][::-1])
    return 2 * (head + tail) >= shorter
