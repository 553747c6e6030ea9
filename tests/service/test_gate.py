"""The queue in front of an upstream."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from pollex.gate import Gate, QueueFullError
from sandbox.serving import NEVER
from tests.service.conftest import Start
from tests.service.scripted import MODEL, Scripted


def test_order_and_places() -> None:
    """If this fails, later requests overtake earlier ones, or the page shows a wrong place."""

    async def scenario() -> None:
        gate, places, served = Gate(1, 3), {n: list[int]() for n in range(4)}, list[int]()

        async def request(number: int) -> None:
            with gate.enter() as turn:
                await turn.comes(places[number].append)
                served.append(number)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(request(number)) for number in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError) as full, gate.enter():
            pass
        assert full.value.retry_after >= 1
        await asyncio.gather(*tasks)
        assert served == [0, 1, 2, 3]
        assert places == {0: [0], 1: [1, 0], 2: [2, 1, 0], 3: [3, 2, 1, 0]}
        assert gate.idle
        assert gate.waiting == 0

    asyncio.run(scenario())


def test_whoever_leaves_makes_room() -> None:
    """If this fails, a slot is lost with each client that gives up, until the service stands still."""

    async def scenario() -> None:
        gate, places = Gate(1, 5), list[int]()
        held = asyncio.Event()

        async def request(moved: list[int]) -> None:
            with gate.enter() as turn:
                await turn.comes(moved.append)
                await held.wait()

        first, leaver, last = (asyncio.create_task(request(seen)) for seen in ([], [], places))
        await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.sleep(0)
        assert places == [2, 1]
        first.cancel()
        last.cancel()  # in the moment in which the slot is handed to it
        await asyncio.gather(first, leaver, last, return_exceptions=True)
        assert gate.idle
        held.set()
        async with asyncio.timeout(1):
            await request([])

    asyncio.run(scenario())


def test_two_hundred_clients(start: Start) -> None:
    """If this fails, a busy moment loses texts or hands somebody another one's."""
    service = start(queue_length=200, slots=4, mock_delay_ms=5)

    async def ask(client: httpx.AsyncClient, number: int) -> str:
        body = {"text": f"teh text number{number}", "model_id": "mock"}
        return str((await client.post(f"{service.url}/api/polish", json=body)).json()["polished"])

    async def scenario() -> list[str]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(200)))

    assert asyncio.run(scenario()) == [f"the text number{number}" for number in range(200)]
    assert httpx.get(f"{service.url}/metrics").text.count('path="/api/polish",status="200"} 200.0') == 1


def test_refused_while_it_waits() -> None:
    """If this fails, whoever is refused before their turn keeps a place, or takes a slot along."""

    async def scenario() -> None:
        gate, places = Gate(1, 2), list[int]()

        async def wait() -> None:
            with gate.enter() as turn:
                await turn.comes(places.append)

        with gate.enter() as holder:
            assert holder.holds
            with gate.enter() as refused:
                assert not refused.holds
                last = asyncio.create_task(wait())
                await asyncio.sleep(0)
            assert places == [2, 1]
            with gate.enter() as late:
                pass
            assert not late.holds
        await last
        assert places == [2, 1, 0]
        assert gate.idle

    asyncio.run(scenario())


@pytest.mark.parametrize("streamed", [True, False])
def test_a_full_queue(start: Start, scripted: Scripted, streamed: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, a flood of requests piles up without end, or clients do not know when to come back."""
    service = start(llamacpp_url=scripted.url, queue_length=1, slots=1, probe_seconds=3600)
    service.warmed()
    full = scripted.hold()

    async def scenario() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=NEVER) as client:
            body = {"text": "She sayd.", "model_id": MODEL, "stream": streamed}
            asked = [asyncio.ensure_future(client.post(f"{service.url}/api/polish", json=body)) for _ in range(5)]
            heard = list[httpx.Response]()
            for one in asyncio.as_completed(asked):
                heard.append(await one)
                if len(heard) == 3:
                    full.set()  # all that there is no room for are refused by now
            return heard

    responses = asyncio.run(scenario())
    assert sorted(response.status_code for response in responses) == [200, 200, 503, 503, 503]
    for response in responses:
        if response.status_code == 503:
            assert int(response.headers["retry-after"]) >= 1
            assert response.json() == {"error": "the queue is full, try again later", "code": "queue_full"}
    places = [response.text.count('"position"') for response in responses]
    assert sorted(places) == ([0, 0, 0, 0, 2] if streamed else [0] * 5)
