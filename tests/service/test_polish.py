"""A text on its way through a model that fails at some of it: nothing is lost to one part, and it says which."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.service.conftest import Client
from tests.service.scripted import Scripted, chunk, stream, whole

MODEL = "llama.cpp"
Answer = Callable[[socket.socket], None]


class Model:
    """Answers a text by what it holds, else with itself; remembers what it was asked."""

    def __init__(self, scripted: Scripted, answers: dict[str, Answer | str]) -> None:
        self.asked: list[str] = []
        self._scripted = scripted
        self._answers = answers
        scripted.answers["/v1/chat/completions"] = self._answer

    def _answer(self, connection: socket.socket) -> None:
        body = json.loads(next(body for path, body in reversed(self._scripted.asked) if "completions" in path))
        if not body.get("stream"):
            whole(b'{"choices": [{"message": {"content": "x"}}]}')(connection)  # the warm-up
            return
        text = body["messages"][-1]["content"]
        self.asked.append(text)
        answer = next((answer for part, answer in self._answers.items() if part in text), text)
        (said(answer) if isinstance(answer, str) else answer)(connection)


def said(text: str) -> Answer:
    """A whole answer."""
    return stream(*map(chunk, text.split("|")), chunk(reason="stop"))


CUT = stream(chunk("Once upon"), chunk(reason="length"))
BROKEN = stream(chunk("Once"))
MAIL = """Hi Tom,

the first paragraph are fine.

Agenda: Budget, Hiring, Rooms, Misc.

The last paragraph are fine to."""
MENDED = MAIL.replace("first paragraph are", "first paragraph is").replace("are fine to", "is fine too")


def polish(client: Client, scripted: Scripted, text: str, **settings: Any) -> dict[str, Any]:
    """The answer with its changes."""
    api = client(llamacpp_url=scripted.url, probe_seconds=3600, **settings)
    response = api.post("/api/polish", json={"text": text, "model_id": MODEL, "changes": True})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.fixture
def roomy(scripted: Scripted) -> Scripted:
    """A server whose context holds more than these texts."""
    scripted.answers["/props"] = whole(b'{"default_generation_settings": {"n_ctx": 4096}}')
    return scripted


@pytest.mark.parametrize(("bad", "reason"), [(CUT, "cut-short"), (BROKEN, "failed")])
def test_one_bad_block_does_not_lose_the_others(client: Client, roomy: Scripted, bad: Answer, reason: str) -> None:
    """If this fails, a whole letter comes back as an error because the model went astray in one line of it."""
    model = Model(
        roomy,
        {
            MAIL: bad,
            "first": "the first paragraph is fine.",
            "Agenda": bad,
            "last": "The last paragraph is fine too.",
        },
    )
    answer = polish(client, roomy, MAIL)
    assert answer["polished"] == MENDED
    kept = [(MAIL[one["start"] : one["end"]], one["reason"]) for one in answer["kept"]]
    assert ("Agenda: Budget, Hiring, Rooms, Misc.", reason) in kept
    assert sum("Agenda" in asked for asked in model.asked) == 2, "together, and once alone"


def test_a_block_whose_answer_is_bad_is_tried_alone(client: Client, roomy: Scripted) -> None:
    """If this fails, a sentence that the model skipped among others stays unpolished although it can do it alone."""
    text = "He go home.\n\nThe second sentence have a mistake.\n\nShe go too."
    Model(
        roomy,
        {
            text: "He goes home.\n\nShe goes too.",
            "second": "The second sentence has a mistake.",
            "go": "Something else entirely.",
        },
    )
    answer = polish(client, roomy, text)
    assert answer["polished"] == "He goes home.\n\nThe second sentence has a mistake.\n\nShe goes too."
    assert answer["kept"] == []


def test_circles_are_cut(client: Client, roomy: Scripted) -> None:
    """If this fails, somebody sends a mail that says the same thing twenty times."""
    Model(roomy, {"dog": "The dog runs. " + "He is a dog and runs. " * 20})
    answer = polish(client, roomy, "The dog run.")
    assert answer["polished"].count("dog") == 1
    Model(roomy, {"cat": stream(*[chunk("I am a helpful thing. ")] * 30, chunk(reason="length"))})
    assert [one["reason"] for one in polish(client, roomy, "The cat run.")["kept"]] == ["circles"]


def test_what_is_done_in_time_comes_back(client: Client, roomy: Scripted) -> None:
    """If this fails, five polished paragraphs are thrown away because there was no time for the sixth."""
    text = "The first paragraph are fine.\n\n```\ncode\n```\n\nThe last paragraph are slow."
    Model(roomy, {"first": "The first paragraph is fine.", "last": stream(chunk("The last"), ends=False)})
    answer = polish(client, roomy, text, request_timeout=5)  # the first is there within milliseconds
    assert answer["polished"] == text.replace("first paragraph are", "first paragraph is")
    assert [(one["reason"], text[one["start"] : one["end"]]) for one in answer["kept"]] == [
        ("timeout", "The last paragraph are slow.")
    ]


def test_chinese_is_cut_to_fit(client: Client, scripted: Scripted) -> None:
    """If this fails, a page of Chinese is refused because its tokens are more than its words."""
    scripted.answers["/props"] = whole(b'{"default_generation_settings": {"n_ctx": 2048}}')

    def count(connection: socket.socket) -> None:
        content = json.loads(next(body for path, body in reversed(scripted.asked) if path == "/tokenize"))["content"]
        whole(b'{"tokens": %s}' % json.dumps([1] * 2 * len(content)).encode())(connection)

    scripted.answers["/tokenize"] = count
    sentence = "我们昨天去公园玩得很高兴。"
    text = sentence * 73
    model = Model(scripted, {})
    answer = polish(client, scripted, text)
    assert answer["polished"] == text
    assert len(model.asked) > 1
    assert all(asked.endswith("。") for asked in model.asked)


def test_places_count_in_the_whole_text(client: Client, roomy: Scripted) -> None:
    """If this fails, the page marks the wrong words in a text with code or lists in it."""
    text = "  # A titel\n\n```\nteh = 1\n```\n\n- teh item\n- teh other"
    Model(roomy, {"titel": "A title", "item": "- the item\n- the other"})
    answer = polish(client, roomy, text)
    assert answer["polished"] == "  # A title\n\n```\nteh = 1\n```\n\n- the item\n- the other"
    assert [text[one["start"] : one["end"]] for one in answer["changes"]] == ["titel", "teh", "teh"]
    assert {one["verdict"] for one in answer["changes"]} == {"taken"}


def test_a_stream_settles_every_part(client: Client, roomy: Scripted) -> None:
    """If this fails, the page keeps showing provisional words that the text does not have."""
    text = "The first paragraph are fine.\n\n```\ncode\n```\n\nThe last paragraph are lost."
    Model(roomy, {"first": "Here it is:\n\nThe first |paragraph is fine.", "last": "Sorry, I cannot help with this."})
    api = client(llamacpp_url=roomy.url, probe_seconds=3600)
    body = {"text": text, "model_id": MODEL, "changes": True, "stream": True}
    events = [block.split("\n") for block in api.post("/api/polish", json=body).text.split("\n\n") if block]
    told = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]
    settled = [data for name, data in told if name == "settled"]
    done = told[-1][1]
    assert "".join(data["text"] for data in settled) == done["polished"]
    assert [(data["start"], data["end"]) for data in settled][-1][1] == len(text)
    assert [one["reason"] for one in done["kept"]] == ["refusal"]
