"""People who have a text polished again and again while something is done, and how long each answer took them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import httpx

from sandbox.serving import NEVER

TEXT: Final = "She go to the libary yesterday and forgeted her umbrela."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request."""

    streamed: bool
    ended: float
    """On the monotonic clock."""
    seconds: float
    wrong: str
    """Why it failed; empty where it did not."""
    boards: tuple[str, ...]
    """Those that had a part in it."""


async def ask(client: httpx.AsyncClient, model: str, *, streamed: bool) -> Answer:
    """Have the text polished."""
    body = {"text": TEXT, "model_id": model, "stream": streamed, "changes": True}
    begun, wrong, told = time.monotonic(), "", dict[str, Any]()
    try:
        answer = await client.post("/api/polish", json=body)
        told = json.loads(answer.text.rpartition("data: ")[2]) if streamed and answer.is_success else answer.json()
        wrong = "" if told.get("polished") else f"{answer.status_code} {answer.text[-200:]}"
    except (httpx.HTTPError, ValueError) as error:
        wrong = repr(error)
    now = time.monotonic()
    return Answer(
        streamed=streamed, ended=now, seconds=now - begun, wrong=wrong, boards=tuple(told.get("boards") or ())
    )


async def load(
    page: str, model: str, persons: int, meanwhile: Callable[[list[Answer]], Awaitable[None]]
) -> list[Answer]:
    """All answers that so many people got who asked without a pause while something was done, which sees them come."""
    got, over = list[Answer](), asyncio.Event()
    async with httpx.AsyncClient(base_url=page, timeout=NEVER, trust_env=False) as client, asyncio.TaskGroup() as group:

        async def person(number: int) -> None:
            while not over.is_set():
                got.append(await ask(client, model, streamed=number % 2 == 0))
                if got[-1].wrong:
                    await asyncio.sleep(0.1)

        for number in range(persons):
            group.create_task(person(number))
        try:
            await more(got, persons)
            await meanwhile(got)
        finally:
            over.set()
    return got


async def more(got: list[Answer], count: int) -> None:
    """Wait until so many more answers have come."""
    wanted = len(got) + count
    while len(got) < wanted:  # noqa: ASYNC110 - what is waited for is measured, and an event for each would be too
        await asyncio.sleep(0.02)


def row(got: Sequence[Answer], *, streamed: bool) -> dict[str, Any]:
    """What became of those requests that stream, or of the others."""
    own = [answer for answer in got if answer.streamed is streamed]
    return {
        "requests": len(own),
        "failed": sum(bool(answer.wrong) for answer in own),
        "of several boards": sum(len(answer.boards) > 1 for answer in own),
        "seconds, median": round(median(answer.seconds for answer in own), 2),
        "seconds, longest": round(max(answer.seconds for answer in own), 2),
    }
