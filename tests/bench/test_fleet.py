"""bench-fleet: what it counts, and that nothing that failed is lost in it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from bench import asking, fleet, fleet_up
from sandbox.crowd import Asked
from sandbox.serving import free_port


def test_the_rate_is_of_what_lies_between() -> None:
    """If this fails, the wait for the first answer, or for the end, counts as a board's slowness."""
    assert fleet.rate([100.0, 100.5, 101.0, 102.0]) == pytest.approx(1.5)


def test_what_failed_is_counted_apart() -> None:
    """If this fails, the table says that nothing failed while something did."""
    got = [
        Asked(streamed=True, began=0, ended=2, wrong="", boards=("b0",)),
        Asked(streamed=True, began=0, ended=4, wrong="", boards=("b0", "b1")),
        Asked(streamed=True, began=0, ended=9, wrong="502", boards=()),
        Asked(streamed=False, began=0, ended=1, wrong="", boards=("b0",)),
    ]
    expected = {"requests": 3, "failed": 1, "of several boards": 1, "seconds, median": 4, "seconds, longest": 9}
    assert asking.row(got, streamed=True) == expected
    assert asking.row(got, streamed=False)["failed"] == 0


@pytest.mark.parametrize("streamed", [False, True])
def test_no_answer_is_a_failure(streamed: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, a service that is away has failed nobody."""

    async def asked(*answers: httpx.Response) -> list[Asked]:
        given = iter(answers)
        transport = httpx.MockTransport(lambda _: next(given))
        async with httpx.AsyncClient(base_url="http://x", transport=transport) as client:
            return [await asking.ask(client, "m", streamed=streamed) for _ in answers]

    async def away() -> Asked:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port()}") as client:
            return await asking.ask(client, "m", streamed=streamed)

    good = '{"polished": "She went.", "boards": ["b0", "b1"]}'
    if streamed:
        good = f'event: delta\ndata: {{"text": "She"}}\n\nevent: done\ndata: {good}\n\n'
    cut = 'event: delta\ndata: {"text": "She"}\n\n' if streamed else '{"error": "no board"}'
    fine, broken, refused = asyncio.run(
        asked(
            httpx.Response(200, text=good), httpx.Response(200, text=cut), httpx.Response(502, json={"error": "away"})
        )
    )
    assert (fine.wrong, fine.boards) == ("", ("b0", "b1"))
    assert broken.wrong
    assert refused.wrong.startswith("502")
    assert "ConnectError" in asyncio.run(away()).wrong


def test_only_words_are_timed() -> None:
    """If this fails, an empty first event of the answer counts as its first word."""
    assert fleet._says('data: {"choices": [{"delta": {"content": "She"}}]}')
    assert not fleet._says('data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}')
    assert not fleet._says("data: [DONE]")
    assert not fleet._says("")


def test_a_resource_takes_from_its_first_word_to_its_last() -> None:
    """If this fails, the table compares something else than the making of a program on two hosts."""
    said = """\
 +  pulumi:pulumi:Stack s creating (0s)
 +  pollex:index:Share b1-shared-server creating (0s)
 +  pollex:index:Share b1-shared-server creating (9s) llama-server 3ba038…: compiling
 +  pollex:index:Share b1-shared-server created (10s) built
 +  command:remote:Command b1-server creating (0s)
 +  command:remote:Command b1-server created (0.21s)
 ~  pollex:index:Generation b1-generation updated (6s)
"""
    clock = iter(range(100))
    took = fleet_up.timed(said.splitlines(), lambda: float(next(clock)))
    assert took == {"b1-shared-server": (1, 3), "b1-server": (4, 5)}
    assert fleet_up.program(fleet_up.Up(seconds=9, took=took), "b1") == 4


def test_a_ratio_is_of_one_turn() -> None:
    """If this fails, a turn in which the machine did something else decides the comparison."""
    assert fleet_up.ratios({"one": [1.0, 10.0], "three": [1.5, 12.0]}) == [1.5, 1.2]
