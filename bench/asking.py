"""People who have a text polished again and again while something is done, and how long each answer took them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any, Final

import httpx

from sandbox.crowd import Asked, outcome, question
from sandbox.serving import NEVER

TEXT: Final = "She go to the libary yesterday and forgeted her umbrela."


async def ask(client: httpx.AsyncClient, model: str, *, streamed: bool) -> Asked:
    """Have the text polished."""
    began, body = time.monotonic(), question(TEXT, model, streamed=streamed)
    got: httpx.Response | httpx.HTTPError
    try:
        got = await client.post("/api/polish", json=body)
    except httpx.HTTPError as error:
        got = error
    return outcome(began, got, streamed=streamed)


async def load(page: str, model: str, persons: int, meanwhile: Callable[[list[Asked]], Awaitable[None]]) -> list[Asked]:
    """All answers that so many people got who asked without a pause while something was done, which sees them come."""
    got, over = list[Asked](), asyncio.Event()
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


async def more(got: list[Asked], count: int) -> None:
    """Wait until so many more answers have come."""
    wanted = len(got) + count
    while len(got) < wanted:  # noqa: ASYNC110 - what is waited for is measured, and an event for each would be too
        await asyncio.sleep(0.02)


def row(got: Sequence[Asked], *, streamed: bool) -> dict[str, Any]:
    """What became of those requests that stream, or of the others."""
    own = [answer for answer in got if answer.streamed is streamed]
    return {
        "requests": len(own),
        "failed": sum(bool(answer.wrong) for answer in own),
        "of several boards": sum(len(answer.boards) > 1 for answer in own),
        "seconds, median": round(median(answer.seconds for answer in own), 2),
        "seconds, longest": round(max(answer.seconds for answer in own), 2),
    }
