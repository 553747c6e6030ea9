"""People who ask a polish service without a pause, those who read along and those who wait, while something is done."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.machine import SandboxError
from sandbox.serving import NEVER

SENTENCE = "She go to the libary yesterday."
_MENDED = "library"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of one request."""

    began: float
    """On the monotonic clock."""
    ended: float
    """On the same."""
    streamed: bool
    boards: tuple[str, ...]
    """Those that had a part in the answer."""
    wrong: str
    """Why it failed; empty where it did not."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


def question(text: str, model: str, *, streamed: bool) -> dict[str, Any]:
    """What the service is asked."""
    return {"text": text, "model_id": model, "stream": streamed, "changes": True}


def outcome(began: float, got: httpx.Response | httpx.HTTPError, *, streamed: bool, mended: str = "") -> Asked:
    """What became of a request that has just ended; an answer without a text in which the mended word stands failed."""
    told, wrong = dict[str, Any](), ""
    if isinstance(got, httpx.HTTPError):
        wrong = repr(got)
    else:
        with suppress(ValueError):
            told = json.loads(got.text.rpartition("data: ")[2]) if streamed and got.is_success else got.json()
        polished = told.get("polished")
        if not got.is_success or not polished or mended not in polished:
            wrong = f"{got.status_code} {got.text[-200:]}"
    boards = tuple(told.get("boards") or ())
    return Asked(began=began, ended=time.monotonic(), streamed=streamed, boards=boards, wrong=wrong)


def ask(page: str, model: str, *, streamed: bool = False) -> Asked:
    """Have a sentence polished; what does not mend its plainest mistake, which the sandbox's model does, has failed."""
    began, body = time.monotonic(), question(SENTENCE, model, streamed=streamed)
    got: httpx.Response | httpx.HTTPError
    try:
        got = httpx.post(f"{page}/api/polish", json=body, timeout=NEVER, trust_env=False)
    except httpx.HTTPError as error:
        got = error
    return outcome(began, got, streamed=streamed, mended=_MENDED)


class Crowd:
    """So many people; every other one has the answer streamed."""

    def __init__(self, page: str, model: str, persons: int) -> None:
        self.asked = list[Asked]()
        """What has come, in that order."""
        self._page, self._model = page, model
        self._over = threading.Event()
        self._came = threading.Condition()
        self._persons = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(persons)]

    def _ask(self, streamed: bool) -> None:  # noqa: FBT001 - a thread's argument
        while not self._over.is_set():
            one = ask(self._page, self._model, streamed=streamed)
            with self._came:
                self.asked.append(one)
                self._came.notify_all()
            if one.wrong:
                self._over.wait(0.2)  # who is refused at once does not ask a thousand times a second

    @property
    def wrong(self) -> list[str]:
        """Why requests failed."""
        return [one.wrong for one in self.asked if one.wrong]

    def more(self, count: int | None = None) -> None:
        """Wait until so many more answers have come, one for each person if nothing is said.

        Raises:
            SandboxError: nobody is answered any more.
        """
        wanted = len(self.asked) + (len(self._persons) if count is None else count)
        with self._came:
            if not self._came.wait_for(lambda: len(self.asked) >= wanted, NEVER):
                raise SandboxError(f"nobody is answered any more; so far {len(self.asked)}, wrong: {self.wrong[-3:]}")

    def answered_by(self, boards: Collection[str]) -> list[Asked]:
        """Wait until each of these boards has answered somebody who asked after this; returns all who did.

        Raises:
            SandboxError: one of them answers nobody.
        """
        since = time.monotonic()

        def told() -> list[Asked]:
            return [one for one in self.asked if one.began > since]

        with self._came:
            if not self._came.wait_for(lambda: set(boards) <= set(by_board(told())), NEVER):
                raise SandboxError(f"of {', '.join(boards)} only these answer: {', '.join(by_board(told())) or 'none'}")
            return told()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Answers come before, during and after what is done meanwhile."""
        for person in self._persons:
            person.start()
        try:
            self.more()
            yield
            self.more(2 * len(self._persons))
        finally:
            self._over.set()
            for person in self._persons:
                person.join()


def by_board(asked: Sequence[Asked]) -> Counter[str]:
    """How many answers each board had a part in."""
    return Counter(board for one in asked for board in one.boards)
