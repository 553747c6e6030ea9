"""How often a model is asked for clients that ask again with every few letters."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pollex.languagetool.desk import Key, Memory, revised
from pollex.prompts import Prompt
from pollex.settings import SettingsError, load
from pollex.words import Options
from tests.service.conftest import Service, Start
from tests.service.scripted import GOOD, Scripted, chunk, stream
from tests.waiting import wait_until

FIRST = "The frst paragraph is about a cat."
OTHER = "Quite another thing stands down here today."


def check(service: Service, text: str, **more: str) -> httpx.Response:
    """What a client gets; all of one test are the same client."""
    sent = {"text": text, "language": "en-US", **more}
    return httpx.post(f"{service.url}/v2/check", data=sent, timeout=120)


def counted(service: Service, by: str) -> int:
    """Paragraphs that came from memory, by the model, or were dropped."""
    lines = httpx.get(f"{service.url}/metrics").text.splitlines()
    name = f'pollex_check_paragraphs_total{{by="{by}"}} '
    return sum(int(float(line.removeprefix(name))) for line in lines if line.startswith(name))


@pytest.fixture
def held(scripted: Scripted) -> Iterator[Callable[[str], threading.Event]]:
    """`held(word)`: answers to what holds the word wait until the event is set; all others come at once."""
    events: dict[str, threading.Event] = {}

    def answer(connection: socket.socket) -> None:
        body = scripted.asked[-1][1].decode()
        for word, event in events.items():
            if word in body:
                event.wait(120)
        GOOD(connection)

    def hold(word: str) -> threading.Event:
        return events.setdefault(word, threading.Event())

    scripted.answers["/v1/chat/completions"] = answer
    yield hold
    for event in events.values():
        event.set()


def asked(scripted: Scripted, word: str) -> int:
    """How often the model was sent a text with this word."""
    return sum(word in str(body) for body in scripted.sent())


def test_typing_in_one_paragraph_asks_for_one(scripted: Scripted, start: Start) -> None:
    """If this fails, each letter costs a board the whole text."""
    service = start(llamacpp_url=scripted.url)
    assert check(service, f"{FIRST}\n\n{OTHER}").status_code == 200
    assert check(service, f"{FIRST} And so.\n\n{OTHER}").status_code == 200
    assert check(service, f"{OTHER}\n\n{FIRST}").status_code == 200
    assert (asked(scripted, "cat"), asked(scripted, "another thing")) == (2, 1)
    assert (counted(service, "model"), counted(service, "memory")) == (3, 3)


def test_nothing_is_remembered_where_that_is_wished(scripted: Scripted, start: Start) -> None:
    """If this fails, texts stay in the memory of a service that was told to keep none."""
    service = start(llamacpp_url=scripted.url, check_cache_chars=0)
    for _ in range(2):
        check(service, FIRST)
    assert asked(scripted, "cat") == 2


def test_what_is_known_in_time_and_the_rest_later(
    scripted: Scripted, start: Start, held: Callable[[str], threading.Event]
) -> None:
    """If this fails, a client of a slow board waits for ever, or takes a text for good that nobody saw."""
    service = start(llamacpp_url=scripted.url, check_seconds=0.3)
    slow = held("another thing")
    alone = check(service, OTHER)
    assert (alone.status_code, alone.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert alone.text.startswith("Error: Checking took longer than 0.3 seconds, which is this server's limit.")
    told = check(service, OTHER, allowIncompleteResults="true").json()
    assert told["matches"] == []
    assert told["warnings"]["incompleteResults"] is True
    assert "took longer than allowed maximum of 0.30 seconds" in told["warnings"]["incompleteResultsReason"]
    slow.set()
    wait_until(lambda: check(service, OTHER).status_code == 200)
    assert check(service, OTHER).json()["warnings"] == {"incompleteResults": False}
    assert asked(scripted, "another thing") == 1


def test_a_newer_state_ends_the_older(scripted: Scripted, start: Start, held: Callable[[str], threading.Event]) -> None:
    """If this fails, the board works through every letter of a sentence before it comes to its end."""
    service = start(llamacpp_url=scripted.url, check_seconds=100)
    held("a cat.")
    with ThreadPoolExecutor() as pool:
        older = pool.submit(check, service, FIRST, allowIncompleteResults="true")
        wait_until(lambda: asked(scripted, "cat") == 1)
        newer = check(service, FIRST.replace("cat.", "cat!"))
        assert newer.json()["warnings"] == {"incompleteResults": False}
        assert older.result().json()["warnings"]["incompleteResults"] is True
    assert counted(service, "dropped") == 1


def test_two_texts_of_one_client_do_not_end_each_other(
    scripted: Scripted, start: Start, held: Callable[[str], threading.Event]
) -> None:
    """If this fails, a script that checks two files at a time gets half of the answers."""
    service = start(llamacpp_url=scripted.url, check_seconds=100)
    event = held("a cat.")
    with ThreadPoolExecutor() as pool:
        one = pool.submit(check, service, FIRST)
        wait_until(lambda: asked(scripted, "cat") == 1)
        other = pool.submit(check, service, OTHER)
        event.set()
        assert [found.result().json()["warnings"] for found in (one, other)] == [{"incompleteResults": False}] * 2


def test_a_client_that_hangs_up_frees_the_board(
    scripted: Scripted, start: Start, held: Callable[[str], threading.Event]
) -> None:
    """If this fails, the board goes on working for an editor that was closed."""
    service = start(llamacpp_url=scripted.url, check_seconds=100)
    held("a cat.")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{service.url}/v2/check", data={"text": FIRST, "language": "en"}, timeout=1)
    wait_until(lambda: counted(service, "dropped") == 1)
    assert check(service, OTHER).status_code == 200


def test_an_upstream_that_is_down(start: Start) -> None:
    """If this fails, a client takes every text for good while the board is off."""
    answer = check(start(llamacpp_url="http://127.0.0.1:9"), FIRST)
    assert (answer.status_code, answer.text.partition(":")[0]) == (503, "Error")


def test_what_cannot_be_had_is_no_match(scripted: Scripted, start: Start) -> None:
    """If this fails, one paragraph that the model cannot do keeps all others from being checked."""
    endless = stream(chunk("The first paragraph is"), chunk(reason="length"), b"data: [DONE]\n\n")
    service = start(llamacpp_url=scripted.url)
    scripted.answers["/v1/chat/completions"] = endless
    answer = check(service, FIRST)
    assert answer.json()["warnings"] == {"incompleteResults": False}
    assert answer.json()["matches"] == []


@pytest.mark.parametrize(
    ("older", "newer", "same"),
    [
        ("I go hom", "I go home", True),
        ("I go home", "I go hom", True),
        ("I gone home today", "I go home today", True),
        ("Hello", "Something else", False),
        ("One paragraph of a text.", "And a quite different one here.", False),
    ],
)
def test_newer_states(older: str, newer: str, same: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, typing does not end what it made out of date, or ends something else."""
    assert revised(older, newer) is same


def test_memory_is_bounded() -> None:
    """If this fails, a service that runs for months fills the board's memory, or forgets what is in use."""
    memory = Memory(10)
    keys = [Key(text * 5, "m", Prompt("p"), Options()) for text in "abc"]
    for key in keys[:2]:
        memory.put(key, ())
    assert memory.get(keys[0]) == ()
    memory.put(keys[2], ())
    assert [memory.get(key) for key in keys] == [(), None, ()]


@pytest.mark.parametrize("other", [{"model": "n"}, {"prompt": Prompt("q")}, {"options": Options(mode="correct")}])
def test_what_a_memory_depends_on(other: dict[str, Any]) -> None:
    """If this fails, a changed prompt or mode shows what the former one made."""
    same: dict[str, Any] = {"text": "a", "model": "m", "prompt": Prompt("p"), "options": Options()}
    memory = Memory(10)
    memory.put(Key(**same), ())
    assert memory.get(Key(**same | other)) is None
    assert memory.get(Key(**same)) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"check_mode": "rude"}, "check_mode: 'rude' is no mode"),
        ({"check_model": "x", "mock": False, "llamacpp_url": "http://a"}, "check_model: names 'x', which is no"),
    ],
)
def test_settings_that_would_fail_for_everybody(given: dict[str, Any], said: str) -> None:
    """If this fails, a service starts whose every check fails."""
    with pytest.raises(SettingsError, match=said):
        load(None, {"mock": True} | given)
