"""A gateway to several boards: held, asked again, continued; who answered; who goes first."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from socket import create_connection, create_server, socket
from threading import Thread

import pytest

from pollex import deadline, prompts
from pollex.gate import Gate
from pollex.settings import Settings
from pollex.upstream import AwayError, CutShortError, UpstreamError, adapters, patience
from tests.service.conftest import Client, Llama
from tests.service.scripted import GOOD, MODEL, Scripted, chunk, in_turn, stream, whole

TEXT = "she sayd that it is late"
Answer = Callable[[socket], None]
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two tries are none, so that only their number counts."""
    monkeypatch.setattr(patience, "FIRST", 0)


def by(board: str, answer: Answer) -> Answer:
    """An answer as a gateway passes it on: with the board's name."""

    class Named:
        def __init__(self, connection: socket) -> None:
            self._connection = connection
            self._name = b"\r\nX-Served-By: %s" % board.encode()

        def sendall(self, data: bytes) -> None:
            self._connection.sendall(data.replace(b"\r\n", self._name + b"\r\n", 1))
            self._name = b""  # only the head has one

    return lambda connection: answer(Named(connection))  # type: ignore[arg-type]  # all that answers use


def completion(content: str, *, stop: bool = False, **more: object) -> bytes:
    """One event of llama-server's own form."""
    return b"data: %s\n\n" % json.dumps({"content": content, "stop": stop, **more}).encode()


AWAY = whole(b"<html>no server is available", status=503)
BROKEN = whole(b"<html>bad gateway", status=502)


def nothing(connection: socket) -> None:
    """A board that is killed before its first word, seen through a forward."""
    connection.close()


@pytest.mark.fault("service", "boards behind a gateway", "a board breaks before its first word", "another one is asked")
@pytest.mark.parametrize("trouble", [AWAY, BROKEN, nothing, stream()], ids=["503", "502", "closed", "broke off"])
def test_asked_again_while_nothing_was_shown(client: Client, scripted: Scripted, trouble: Answer) -> None:
    """If this fails, somebody reads of an error because one board of several went away."""
    del scripted.answers["/health"]  # no warm-up, which would take one of the answers
    scripted.answers[CHAT] = in_turn(trouble, trouble, GOOD)
    api = client(llamacpp_url=scripted.url, llamacpp_hold_seconds=60)
    answer = api.post("/api/polish", json={"text": TEXT, "model_id": MODEL, "changes": True})
    assert answer.status_code == 200, answer.text
    assert "failed" not in str(answer.json()["kept"])
    assert len(scripted.sent()) == 3


@pytest.mark.fault("service", "boards behind a gateway", "a board is silent when asked in passing", "asked again")
def test_asked_again_in_passing(client: Client, scripted: Scripted) -> None:
    """If this fails, a board that hangs for two seconds is an error for whoever's text was to be measured on it."""
    del scripted.answers["/health"]  # no warm-up, which would take one of the answers
    scripted.answers["/props"] = in_turn(stream(ends=False), scripted.answers["/props"])
    api = client(llamacpp_url=scripted.url, llamacpp_hold_seconds=60)
    answer = api.post("/api/polish", json={"text": TEXT, "model_id": MODEL})
    assert answer.status_code == 200, answer.text
    assert len([path for path, _ in scripted.asked if path.startswith("/props")]) >= 2


def test_one_server_is_not_asked_again(client: Client, scripted: Scripted) -> None:
    """If this fails, a single board that is down is hammered, and its user waits for nothing."""
    scripted.answers[CHAT] = BROKEN
    api = client(llamacpp_url=scripted.url, probe_seconds=60)
    assert api.post("/api/polish", json={"text": TEXT, "model_id": MODEL}).status_code == 502
    assert len([body for body in scripted.sent() if TEXT in str(body)]) == 1


@pytest.mark.fault("service", "boards behind a gateway", "a text crashes every board", "given up after five")
def test_what_breaks_every_board_is_given_up(client: Client, scripted: Scripted) -> None:
    """If this fails, one text that crashes llama-server takes down board after board until its time is over."""
    scripted.answers[CHAT] = stream(chunk("She"))
    scripted.answers["/completion"] = stream(completion(" said"))
    api = client(llamacpp_url=scripted.url, llamacpp_hold_seconds=3600, probe_seconds=60)
    assert api.post("/api/polish", json={"text": TEXT, "model_id": MODEL}).status_code == 502
    tries = [body for body in scripted.sent() if TEXT in str(body)] + scripted.sent("/completion")
    assert len(tries) == 5


@pytest.mark.fault("service", "boards behind a gateway", "all are away", "held for a bounded time")
def test_held_for_a_bounded_time(client: Client, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a moment without any board is an error at once, or a request hangs for ever."""
    clock = [0.0]
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(patience, "FIRST", 0.5)
    monkeypatch.setattr(deadline, "left", lambda: 100.0)
    waits = patience.Patience(10)

    async def scenario() -> None:
        while (pause := waits.pause(AwayError("away"))) is not None:
            await sleep(pause)

    asyncio.run(scenario())
    assert slept == [0.5, 1, 2, 4]
    monkeypatch.setattr(deadline, "left", lambda: 0.0)
    assert patience.Patience(10).pause(AwayError("away")) is None, "another model could have answered"
    monkeypatch.undo()
    scripted.answers[CHAT] = AWAY
    api = client(llamacpp_url=scripted.url, llamacpp_hold_seconds=0.001, probe_seconds=60)
    answer = api.post("/api/polish", json={"text": TEXT, "model_id": MODEL})
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_failed")


def test_no_breaker_in_front_of_a_gateway(client: Client, scripted: Scripted) -> None:
    """If this fails, three requests that found no board make the service refuse all that come after the boards do."""
    scripted.answers[CHAT] = AWAY
    api = client(llamacpp_url=scripted.url, llamacpp_hold_seconds=0.001, breaker_failures=1, probe_seconds=60)
    body = {"text": TEXT, "model_id": MODEL}
    assert [api.post("/api/polish", json=body).status_code for _ in range(3)] == [502] * 3
    scripted.answers[CHAT] = GOOD
    assert api.post("/api/polish", json=body).status_code == 200


@pytest.mark.fault("service", "an answer is half shown", "its board breaks off", "another one continues")
def test_a_broken_answer_goes_on_elsewhere(scripted: Scripted) -> None:
    """If this fails, a board that dies in mid-sentence is an error, or its half sentence comes twice."""
    scripted.answers[CHAT] = by("one", stream(chunk("She"), chunk(" sa")))
    scripted.answers["/completion"] = by(
        "two",
        stream(
            completion("id", completion_probabilities=[{"id": 7, "token": "id", "logprob": -0.5, "top_logprobs": []}]),
            completion("", stop=True, stop_type="eos"),
        ),
    )
    settings = {"llamacpp_url": scripted.url, "llamacpp_hold_seconds": 60, "llamacpp_probabilities": 2}
    settings["decoding"] = {MODEL: {"temperature": 0, "top_k": 1}}
    adapter = adapters(Settings.model_validate(settings))[0]
    heard = list[str]()
    adapter.began, adapter.broke = heard.append, (lambda name: heard.append(f"{name} broke"))

    async def ask() -> list[tuple[str, int]]:
        said = [(str(part), len(part.tokens)) async for part in adapter.stream(prompts.load("polish"), TEXT, 60)]
        await adapter.close()
        return said

    assert asyncio.run(ask()) == [("She", 0), (" sa", 0), ("id", 1)]
    assert heard == ["one", "one broke", "two"]
    assert scripted.sent("/tokenize") == [{"content": "She sa"}]
    sent = scripted.sent("/completion")[0]
    assert sent["prompt"] == ["p", 1, 2, 3]  # as the fixture templates and counts
    assert {"n_predict": 57, "temperature": 0, "top_k": 1, "n_probs": 2}.items() <= sent.items()


def test_a_server_that_cannot_continue(scripted: Scripted) -> None:
    """If this fails, a sentence begins anew in the middle of itself behind a server other than llama-server."""
    scripted.answers[CHAT] = stream(chunk("She"))
    del scripted.answers["/apply-template"]
    adapter = adapters(Settings.model_validate({"llamacpp_url": scripted.url, "llamacpp_hold_seconds": 60}))[0]
    said = list[str]()

    async def ask() -> None:
        async for part in adapter.stream(prompts.load("polish"), TEXT, 60):
            said.append(part)

    with pytest.raises(UpstreamError, match="broke off"):
        asyncio.run(ask())
    assert said == ["She"]


@pytest.mark.parametrize("streamed", [False, True])
def test_the_answer_names_its_boards(client: Client, scripted: Scripted, streamed: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, nobody can tell which board writes nonsense, or /metrics which one breaks."""
    scripted.answers[CHAT] = by("nano1", stream(chunk("She said")))
    scripted.answers["/completion"] = by("nano2", stream(completion(" that it is late", stop=True, stop_type="eos")))
    del scripted.answers["/health"]  # no warm-up, which would be counted too
    api = client(llamacpp_url=scripted.url, llamacpp_hold_seconds=60)
    body = {"text": TEXT, "model_id": MODEL, "changes": True, "stream": streamed}
    answer = api.post("/api/polish", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-served-by"] == ("nano1" if streamed else "nano1, nano2")
    told = json.loads(answer.text.rpartition("data: ")[2]) if streamed else answer.json()
    assert (told["polished"], told["boards"]) == ("She said that it is late", ["nano1", "nano2"])
    counted = api.get("/metrics").text
    assert 'pollex_board_answers_total{board="nano1"} 1.0' in counted
    assert 'pollex_board_breaks_total{board="nano1"} 1.0' in counted
    assert 'pollex_board_answers_total{board="nano2"} 1.0' in counted


def test_only_a_gateway_is_believed(client: Client, scripted: Scripted) -> None:
    """If this fails, any server in the Internet fills the metrics with names of its own."""
    scripted.answers[CHAT] = by("cache-fra-7", GOOD)
    answer = client(llamacpp_url=scripted.url).post("/api/polish", json={"text": TEXT, "model_id": MODEL})
    assert "x-served-by" not in answer.headers


def test_batches_go_last() -> None:
    """If this fails, a person waits for a folder of texts that nobody waits for."""

    async def scenario() -> None:
        gate, served = Gate(1, 9), list[str]()
        places = dict[str, list[int]]()

        async def request(name: str, *, batch: bool) -> None:
            with gate.enter(batch=batch) as turn:
                await turn.comes(places.setdefault(name, []).append)
                served.append(name)
                await asyncio.sleep(0)

        names = ["batch 1", "batch 2", "person 1", "batch 3", "person 2"]
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(request(name, batch=name.startswith("batch")))
        # the first found the slot free
        assert served == ["batch 1", "person 1", "person 2", "batch 2", "batch 3"]
        assert places["batch 2"] == [1, 2, 3, 2, 1, 0]
        assert gate.idle

    asyncio.run(scenario())


def test_priority_is_asked_for(client: Client) -> None:
    """If this fails, a wrong priority is taken for one without a word."""
    body = {"text": TEXT, "model_id": "mock", "priority": "urgent"}
    refused = client().post("/api/polish", json=body)
    assert (refused.status_code, refused.json()["error"][:27]) == (400, "invalid JSON body: priority")
    assert client().post("/api/polish", json=body | {"priority": "batch"}).status_code == 200


class Cutting:
    """A board that dies after so many events of an answer, and is another one for the next request."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self._listening = create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.after = 0
        """Events after which the next answer of a chat is cut; 0 lets it pass."""
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept nobody any more."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                Thread(target=self._pass_on, args=(self._listening.accept()[0],), daemon=True).start()

    def _pass_on(self, client: socket) -> None:
        with client, create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            request = client.recv(65536)
            while (length := _length(request)) > 0:
                request += client.recv(length)
            after = self.after if CHAT.encode() in request.partition(b"\r\n")[0] else 0
            server.sendall(request)
            answer = b""
            while piece := server.recv(65536):
                answer += piece
                client.sendall(piece)
                if after and answer.count(b"data:") >= after:
                    self.after = 0
                    return


def _length(request: bytes) -> int:
    """Bytes of a request that are still to come."""
    head, end, body = request.partition(b"\r\n\r\n")
    told = re.search(rb"content-length: *(\d+)", head.lower())
    return 1 if not end else int(told[1]) - len(body) if told else 0


def test_a_real_seam(llama: Llama) -> None:
    """If this fails, what a second board is given is not what the first one had, and the sentence falls apart."""
    board = Cutting(llama.url)
    settings = {"llamacpp_url": board.url, "llamacpp_hold_seconds": 60, "decoding": {MODEL: {"temperature": 0}}}
    adapter = adapters(Settings.model_validate(settings))[0]
    prompt = prompts.load("polish-small")

    async def ask(text: str, after: int) -> tuple[str, str]:
        board.after, shown = after, list[str]()
        # some sentences this small model does not end; then the limit has to hold over both parts
        with suppress(CutShortError):
            async for part in adapter.stream(prompt, text, 30):
                shown.append(part)
        return "".join(shown[: after - 1]), "".join(shown)

    async def scenario() -> list[tuple[str, str, str]]:
        seams = []
        for text in SENTENCES:
            _, whole_ = await ask(text, 0)
            seams += [(*(await ask(text, after)), whole_) for after in (3, 6, 10)]
        await adapter.close()
        return seams

    seams = asyncio.run(scenario())
    board.close()
    assert all(whole_.startswith(shown) for shown, _, whole_ in seams), "what was shown is another beginning"
    equal = sum(came == whole_ for _, came, whole_ in seams)
    print(f"{equal} of {len(seams)} seams as uninterrupted")
    # 6 of them where this was written; one that is told the wrong beginning gives none
    assert equal >= 3, seams


SENTENCES = (
    "She go to the libary yesterday and forgeted her umbrela.",
    "I has went to the market and buyed two book for my sister.",
    "The meeting was definately to long and nobody was listen.",
)
