"""Servers that speak the OpenAI form: what llama-server has and they have not, and what it takes to be let in."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollex.hosts import is_private
from pollex.lines import Lines
from pollex.settings import Settings
from pollex.upstream import Adapter, Token, adapters
from pollex.upstream.http import Halves
from pollex.upstream.openai import addresses
from tests.service.conftest import Client
from tests.service.scripted import GOOD, MODEL, Scripted, chunk, in_turn, stream, whole
from tests.waiting import wait_until

ASKED = {"text": "she sayd", "model_id": MODEL}
CHAT = "/v1/chat/completions"
LOADING = whole(b'{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}', status=503)

Answer = Callable[[socket.socket], None]


@pytest.mark.parametrize(
    ("given", "root", "api"),
    [
        ("http://board:8080", "http://board:8080", "/v1"),
        ("http://board:8080/", "http://board:8080", "/v1"),
        ("http://board:8080/v1", "http://board:8080", "/v1"),
        ("http://board:8080/v1/", "http://board:8080", "/v1"),
        ("https://a.example/openai/v1", "https://a.example/openai", "/v1"),
        ("https://a.example/api", "https://a.example/api", "/v1"),
        ("https://a.example/v1beta/openai/", "https://a.example/v1beta/openai", ""),
    ],
)
def test_addresses(given: str, root: str, api: str) -> None:
    """If this fails, the address that a server's own page shows has to be taken apart before it works."""
    shown, path = addresses(httpx.URL(given))
    assert (shown.rstrip("/"), path) == (root, api)


@pytest.mark.parametrize("suffix", ["", "/v1", "/v1/"])
def test_with_and_without_v1(client: Client, scripted: Scripted, suffix: str) -> None:
    """If this fails, one of the two usual ways to write an address gives 404 for every text."""
    response = client(llamacpp_url=scripted.url + suffix).post("/api/polish", json=ASKED)
    assert (response.status_code, response.json()["polished"]) == (200, "She said.")


@pytest.mark.parametrize("status", [401, 403])
def test_the_key(client: Client, scripted: Scripted, status: int) -> None:
    """If this fails, a server that wants a key cannot be used, or nobody learns which setting is wrong, or the key."""

    def guard(connection: socket.socket) -> None:
        right = b"authorization: bearer sk-secret\r\n" in scripted.heads[-1][1].lower()
        (GOOD if right else whole(b'{"error": {"message": "Invalid API Key"}}', status=status))(connection)

    scripted.answers[CHAT] = guard
    # With the line end that a file of secrets has.
    assert client(llamacpp_url=scripted.url, llamacpp_api_key="sk-secret\n").post("/api/polish", json=ASKED).is_success
    wrong = client(llamacpp_url=scripted.url, llamacpp_api_key="sk-wrong").post("/api/polish", json=ASKED)
    assert wrong.status_code == 502
    assert "Invalid API Key (is llamacpp_api_key right? it is set)" in wrong.json()["error"]
    assert "sk-wrong" not in wrong.text


def test_a_key_goes_to_its_server_only(client: Client, scripted: Scripted, second: Scripted) -> None:
    """If this fails, the key of one server is told to another."""
    scripted.answers[CHAT] = whole(b"{}", status=500)
    api = client(llamacpp_url=scripted.url, llamacpp_api_key="sk-secret", ollama_url=second.url)
    assert api.post("/api/polish", json=ASKED).is_success
    assert all(b"sk-secret" in head for _, head in scripted.heads)
    assert not any(b"sk-secret" in head for _, head in second.heads)


def test_a_server_that_has_only_chat(client: Client, scripted: Scripted) -> None:
    """If this fails, only llama-server can be the upstream, whatever the settings promise."""
    models = whole(b'{"object": "list", "data": []}')
    scripted.answers = {CHAT: GOOD, "/v1/models": models}
    api = client(llamacpp_url=scripted.url)
    assert api.post("/api/polish", json=ASKED).json()["polished"] == "She said."
    assert api.get("/api/health").json()["adapters"][MODEL]["available"] is True
    assert scripted.sent()[-1]["max_tokens"] == len("she sayd") + 64, "an answer without an end is not stopped"


@pytest.mark.parametrize(
    "missing", [["/tokenize"], ["/apply-template"], ["/tokenize", "/apply-template"], ["/slots"], ["/props"]]
)
@pytest.mark.parametrize("absent", [whole(b"<h1>", status=404), whole(b"<h1>welcome</h1>"), whole(b"{}", status=501)])
def test_a_server_that_lacks_something(client: Client, scripted: Scripted, missing: list[str], absent: Answer) -> None:
    """If this fails, one missing page of a server's makes it useless."""
    scripted.answers |= dict.fromkeys(missing, absent)
    scripted.answers["/props"] = absent if "/props" in missing else whole(_props(4096))
    response = client(llamacpp_url=scripted.url).post("/api/polish", json=ASKED | {"text": "she sayd so. " * 40})
    assert response.status_code == 200, response.text


def test_the_context_counts_where_tokens_cannot_be_counted(client: Client, scripted: Scripted) -> None:
    """If this fails, a text of several pages is sent to a model that has room for one."""
    del scripted.answers["/tokenize"]
    scripted.answers["/props"] = whole(_props(256))
    api = client(llamacpp_url=scripted.url, split_chars=0)
    assert api.post("/api/polish", json=ASKED | {"text": "she sayd so. " * 300}).status_code == 200
    longest = max(len(body["messages"][-1]["content"]) for body in scripted.sent())
    assert 100 < longest < 1000, "it was not cut to what there is room for"


def _props(context: int) -> bytes:
    return json.dumps({"default_generation_settings": {"n_ctx": context}}).encode()


def test_a_server_of_several_models(client: Client, scripted: Scripted) -> None:
    """If this fails, a multiplexer is asked for the context of no model, and answers with an error or another's."""
    for page in ("/props", "/slots"):
        scripted.answers[f"{page}?model=small"] = scripted.answers.pop(page, whole(b"[]"))
    api = client(llamacpp_url=scripted.url, llamacpp_model="small")
    text = "she sayd that the text is longer"
    assert api.post("/api/polish", json={"text": text, "model_id": "small"}).is_success
    assert "/props?model=small" in {path for path, _ in scripted.asked}
    assert {body["model"] for path in (CHAT, "/tokenize", "/apply-template") for body in scripted.sent(path)} == {
        "small"
    }


def test_waits_for_a_model_that_is_loaded(client: Client, scripted: Scripted) -> None:
    """If this fails, whoever asks in the minute after a start gets an error instead of a text."""
    scripted.answers["/props"] = in_turn(LOADING, whole(_props(4096)))
    scripted.answers[CHAT] = in_turn(LOADING, GOOD)
    scripted.answers["/health"] = LOADING
    api = client(llamacpp_url=scripted.url)
    assert api.post("/api/polish", json=ASKED).json()["polished"] == "She said."


def test_a_model_that_is_loaded_for_too_long(client: Client, scripted: Scripted) -> None:
    """If this fails, nobody learns that waiting helps, or three who asked too early lock everybody out."""
    scripted.answers |= {CHAT: LOADING, "/health": LOADING}
    api = client(llamacpp_url=scripted.url, request_timeout=0.2, breaker_failures=1, breaker_seconds=3600)
    response = api.post("/api/polish", json=ASKED)
    assert (response.status_code, response.json()["code"]) == (503, "loading")
    assert int(response.headers["retry-after"]) >= 1
    scripted.answers[CHAT] = GOOD
    assert api.post("/api/polish", json=ASKED).status_code == 200


def test_nobody_waits_while_another_can_answer(client: Client, scripted: Scripted, second: Scripted) -> None:
    """If this fails, a request waits for a model to be loaded although the other one is ready."""
    scripted.answers |= {CHAT: LOADING, "/health": LOADING}
    api = client(llamacpp_url=scripted.url, ollama_url=second.url, request_timeout=3600, ollama_model="o")
    api.post("/api/polish", json=ASKED | {"model_id": "o"})
    answer = api.post("/api/polish", json=ASKED | {"text": "he sayd"}).json()
    assert (answer["model"], answer["polished"]) == ("o", "He said.")


def test_thinking_is_switched_off(client: Client, scripted: Scripted) -> None:
    """If this fails, a model thinks for a minute about a comma."""
    api = client(llamacpp_url=scripted.url)
    wait_until(lambda: [body["max_tokens"] for body in scripted.sent()] == [1])
    api.post("/api/polish", json=ASKED)
    assert scripted.sent()[-1]["chat_template_kwargs"]["enable_thinking"] is False
    assert len({json.dumps(body["chat_template_kwargs"]) for body in scripted.sent()}) == 1, "its cache is of no use"


def test_a_model_that_thinks_all_the_same(client: Client, scripted: Scripted) -> None:
    """If this fails, thoughts stand in a text, or use up what the text needs."""
    thought = b'data: {"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": null}]}\n\n'
    scripted.answers[CHAT] = stream(thought, chunk("She said."), chunk(reason="stop"))
    api = client(llamacpp_url=scripted.url)
    assert api.post("/api/polish", json=ASKED).json()["polished"] == "She said."
    assert api.post("/api/polish", json=ASKED).json()["polished"] == "She said."
    assert scripted.sent()[-1]["max_tokens"] > 1000


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_only_the_form(client: Client, scripted: Scripted, status: int) -> None:
    """If this fails, a server that refuses what it does not know gives an error for every text."""

    def strict(connection: socket.socket) -> None:
        unknown = scripted.sent()[-1].keys() - {"model", "messages", "stream", "temperature", "max_completion_tokens"}
        words = f"Unsupported parameter: {sorted(unknown)}, use max_completion_tokens"
        refusal = whole(json.dumps({"error": {"message": words}}).encode(), status=status)
        (refusal if unknown else GOOD)(connection)

    scripted.answers[CHAT] = strict
    api = client(llamacpp_url=scripted.url, probe_seconds=60)
    assert [api.post("/api/polish", json=ASKED).status_code for _ in range(2)] == [200, 200]
    assert "max_completion_tokens" in scripted.sent()[-1]
    before = len(scripted.sent())
    api.post("/api/polish", json=ASKED)
    assert len(scripted.sent()) == before + 1, "it is asked twice for every text"


def test_a_refusal_stays_one(client: Client, scripted: Scripted) -> None:
    """If this fails, a request that no server takes loses its cache and its thinking for everybody."""
    scripted.answers[CHAT] = whole(b'{"error": {"message": "the request exceeds the context size"}}', status=400)
    api = client(llamacpp_url=scripted.url)
    assert "exceeds the context" in api.post("/api/polish", json=ASKED).json()["error"]
    scripted.answers[CHAT] = GOOD
    api.post("/api/polish", json=ASKED)
    assert "cache_prompt" in scripted.sent()[-1]


@pytest.mark.parametrize("letter", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_line_ends_that_are_none(client: Client, scripted: Scripted, letter: str) -> None:
    """If this fails, one letter that word processors write breaks an answer, and after three of them everybody's."""
    scripted.answers[CHAT] = stream(chunk(f"First line{letter}second line"), chunk(reason="stop"))
    api = client(llamacpp_url=scripted.url)
    for _ in range(4):
        response = api.post("/api/polish", json=ASKED | {"text": f"First line{letter}secnd line"})
        assert response.status_code == 200, response.text
        assert {"First line", "second line"} <= set(response.json()["polished"].split(letter))


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        (['"She said \\ud83d\\ude00"'], "\U0001f600"),
        (['"She said \\ud83d"', '"\\ude00"'], "\U0001f600"),
        (['"She said \\ud83d"', '" so"'], "said"),
        (['"She said \\ude00"'], "said"),
        (['"She said \\ud83d"'], "said"),
    ],
)
def test_half_letters(client: Client, scripted: Scripted, parts: list[str], word: str) -> None:
    """If this fails, half an emoji in an answer ends the request with an internal error."""
    events = [f'data: {{"choices": [{{"delta": {{"content": {part}}}}}]}}\n\n'.encode() for part in parts]
    scripted.answers[CHAT] = stream(*events, chunk(reason="stop"))
    api = client(llamacpp_url=scripted.url)
    asked = ASKED | {"text": "she sayd \U0001f600"}
    for streamed in (False, True):
        response = api.post("/api/polish", json=asked | {"stream": streamed})
        assert response.status_code == 200, response.text
        assert "event: error" not in response.text
    assert word in api.post("/api/polish", json=asked).json()["polished"]


@given(st.lists(st.sampled_from(["a", "é", "\u2028", "\r", "\n", "\r\n"])), st.data())
def test_lines_end_at_lf_and_cr_only(parts: list[str], data: st.DataObject) -> None:
    """If this fails, how the network cuts an answer decides what is read."""
    text = "".join(parts)
    whole_lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    expected = whole_lines if whole_lines[-1] else whole_lines[:-1]
    raw, lines, got = text.encode(), Lines(), []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        got += lines.feed(raw[start:end])
    assert got + lines.end() == expected


@given(st.text(st.sampled_from("a\ud83d\ude00\u2028")), st.data())
def test_halves_join_wherever_they_are_cut(text: str, data: st.DataObject) -> None:
    """If this fails, an emoji is lost because the server sent it in two events."""
    cut = data.draw(st.integers(0, len(text)))
    together, apart = Halves(), Halves()
    joined = together.feed(text) + together.end()
    assert apart.feed(text[:cut]) + apart.feed(text[cut:]) + apart.end() == joined
    joined.encode()


def test_how_sure_the_model_was(scripted: Scripted) -> None:
    """If this fails, nothing can tell a sure correction from a whim."""
    one = {
        "token": "She",
        "logprob": -0.1,
        "top_logprobs": [{"token": "She", "logprob": -0.1}, {"token": "He", "logprob": -3}],
    }
    scripted.answers[CHAT] = stream(
        chunk("She", logprobs={"content": [one]}), chunk(" said", logprobs=None), chunk(reason="stop")
    )
    adapter = adapters(Settings.model_validate({"llamacpp_url": scripted.url, "llamacpp_probabilities": 2}))[0]
    said = _all(adapter)
    assert [(str(part), part.tokens) for part in said if part] == [
        ("She", (Token("She", -0.1, (("She", -0.1), ("He", -3))),)),
        (" said", ()),
    ]
    assert {"logprobs": True, "top_logprobs": 2}.items() <= scripted.sent()[-1].items()


def _all(adapter: Adapter) -> list[Any]:
    import asyncio  # noqa: PLC0415 - only here

    from pollex.prompts import Prompt  # noqa: PLC0415 - only here

    async def read() -> list[Any]:
        parts = [part async for part in adapter.stream(Prompt("Polish."), "she sayd", 9)]
        await adapter.close()
        return parts

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost", True),
        ("board", True),
        ("board.local", True),
        ("10.1.2.3", True),
        ("127.0.0.1", True),
        ("[fd00::1]", True),
        ("203.0.113.250.example", False),
        ("8.8.8.8", False),
        ("api.openai.com", False),
    ],
)
def test_what_is_private(host: str, private: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, texts fall back by themselves to a server in the Internet, or never to the own one."""
    assert is_private(host) is private


def test_warmed_up_once(client: Client, scripted: Scripted) -> None:
    """If this fails, a board warms its model up again and again."""
    scripted.answers[CHAT] = whole(b'{"choices": [{"message": {"content": "x"}}]}')
    scripted.answers["/slots"] = whole(b'[{"id_task": 3}]')
    client(llamacpp_url=scripted.url, probe_seconds=0.05)
    wait_until(lambda: [path for path, _ in scripted.asked].count("/slots") > 5)
    assert len(scripted.sent()) == 1
