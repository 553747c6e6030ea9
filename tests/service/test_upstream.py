"""Upstreams that hang, drip, lie and talk nonsense; what clients are told, and who answers instead."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable

import httpx
import pytest
from starlette.testclient import TestClient

from sandbox.serving import NEVER
from tests.service.conftest import Client, Start
from tests.service.scripted import GOOD, MODEL, Scripted, chunk, stream, whole
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (stream(ends=False), "no whole answer within 1 s"),
        (stream(*[chunk("x")] * 30, pause=0.1, ends=False), "no whole answer within 1 s"),
        (stream(chunk("She")), "the answer broke off before its end"),
        (stream(chunk("She"), b"data: [DONE]\n\n"), "the answer broke off before its end"),
        (whole(chunk("She"), length=5000), "the connection broke"),
        (whole(chunk("She") + chunk(reason="stop"), length=9), "an answer that cannot be understood"),
        (whole(b"data: {nonsense\n\n"), "an answer that cannot be understood"),
        (whole(b"data: []\n\n"), "an answer that cannot be understood"),
        (whole(b"data: 7\n\n"), "an answer that cannot be understood"),
        (whole(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'), "an answer that cannot be understood"),
        (whole(b'data: {"choices": []}\n\n'), "the answer broke off before its end"),
        (whole(b"\xff\xfe\x00"), "the answer broke off before its end"),
        (whole(b""), "the answer broke off before its end"),
        (whole(b'{"error": {"message": "no slot"}}', status=503), "status 503: no slot"),
        (whole(b"<html>", status=500), "status 500"),
        (whole(b'data: {"error": {"message": "slot lost"}}\n\n'), "slot lost"),
        (whole(b'error: {"message": "slot lost"}\n\n'), "slot lost"),
        (lambda c: c.sendall(b"SSH-2.0-OpenSSH_9\r\n"), "the connection broke"),
        (lambda c: None, "the connection broke"),
    ],
)
def test_an_upstream_that_misbehaves(
    client: Client, scripted: Scripted, answer: Callable[[socket.socket], None], error: str
) -> None:
    """If this fails, a broken upstream gives half a text, a hanging request, or a server error without a reason."""
    # whatever comes must not come too late on a busy machine, but what never comes
    api = client(llamacpp_url=scripted.url, llamacpp_timeout=1 if "within 1 s" in error else 60)
    scripted.answers["/v1/chat/completions"] = answer
    response = api.post("/api/polish", json={"text": "she sayd", "model_id": MODEL})
    assert response.status_code == 502
    assert response.json()["error"].startswith("polish failed: llama.cpp: ")
    assert error in response.json()["error"]


def test_a_text_cut_by_length(client: Client, scripted: Scripted) -> None:
    """If this fails, somebody sends a mail whose end the model never wrote."""
    scripted.answers["/v1/chat/completions"] = stream(chunk("She"), chunk(reason="length"))
    response = client(llamacpp_url=scripted.url).post(
        "/api/polish", json={"text": "she sayd", "model_id": MODEL, "changes": True}
    )
    assert (response.status_code, response.json()["polished"]) == (200, "she sayd")
    assert [kept["reason"] for kept in response.json()["kept"]] == ["cut-short"]


def test_an_answer_without_end(client: Client, scripted: Scripted) -> None:
    """If this fails, a question that a model answers at length is an error instead of a text that stayed as it was."""
    said = "To reset it, open the settings, choose the account, and then follow the steps. First, the"
    scripted.answers["/v1/chat/completions"] = stream(chunk(said), chunk(reason="length"))
    asked = {"text": "How do I reset my pasword?", "model_id": MODEL, "changes": True}
    answer = client(llamacpp_url=scripted.url).post("/api/polish", json=asked).json()
    assert (answer["polished"], [kept["reason"] for kept in answer["kept"]]) == (asked["text"], ["answered"])


def test_a_text_too_long_is_not_sent(client: Client, scripted: Scripted) -> None:
    """If this fails, the board works for minutes on a text that cannot come back whole."""
    api = client(llamacpp_url=scripted.url)
    scripted.answers["/tokenize"] = whole(b'{"tokens": %s}' % json.dumps([1] * 50).encode())
    text = "she sayd that the text is longer"
    for streamed in (False, True):
        response = api.post("/api/polish", json={"text": text, "model_id": MODEL, "stream": streamed})
        # (100 tokens of context - 50 of the prompt - 16) / 2.2
        assert (response.status_code, response.json()["error"]) == (400, "text too long: 50 tokens (max 15)")
        told = {"code": "text_too_long", "size": 50, "most": 15, "unit": "tokens"}
        assert told.items() <= response.json().items()
    assert text not in str([body for path, body in scripted.asked if path == "/v1/chat/completions"])


def test_nobody_waits_for_a_refusal(start: Start, scripted: Scripted) -> None:
    """If this fails, somebody waits minutes for the board only to learn that their text is too long for it."""
    service = start(llamacpp_url=scripted.url, probe_seconds=60)
    service.warmed()
    scripted.answers["/tokenize"] = whole(b'{"tokens": %s}' % json.dumps([1] * 50).encode())
    scripted.answers["/v1/chat/completions"] = stream(chunk("She"), ends=False)
    body = {"text": "she sayd", "model_id": MODEL, "stream": True}
    with httpx.stream("POST", f"{service.url}/api/polish", json=body, timeout=20) as holder:
        next(line for line in holder.iter_lines() if line == "event: delta")
        refused = service.polish("she sayd that the text is longer", MODEL, headers={"Accept": "text/event-stream"})
    assert (refused.status_code, refused.json()["error"]) == (400, "text too long: 50 tokens (max 15)")


@pytest.mark.parametrize(("answer", "seconds"), [(stream(ends=False), 0.5), (whole(b"<html>", status=500), 60)])
def test_a_failure_before_the_first_word(
    client: Client, scripted: Scripted, answer: Callable[[socket.socket], None], seconds: float
) -> None:
    """If this fails, a stream begins as a success although the upstream had failed before it said anything."""
    api = client(llamacpp_url=scripted.url, llamacpp_timeout=seconds)
    scripted.answers["/v1/chat/completions"] = answer
    body = {"text": "she sayd", "model_id": MODEL}
    plain, streamed = (api.post("/api/polish", json=body | {"stream": streamed}) for streamed in (False, True))
    assert (streamed.status_code, streamed.json()) == (plain.status_code, plain.json())
    assert streamed.status_code == 502


def test_an_upstream_that_keeps_silent_about_its_health(client: Client, scripted: Scripted) -> None:
    """If this fails, one hanging server makes the health of all unknown, and monitoring times out."""
    scripted.answers["/health"] = stream(ends=False)
    api = client(llamacpp_url=scripted.url, connect_timeout=0.3)
    assert api.get("/api/health").json()["adapters"][MODEL]["available"] is False


def test_the_logs_do_not_quote_upstreams(start: Start, scripted: Scripted) -> None:
    """If this fails, an upstream that quotes the text in its error puts it into the journal."""
    quoting = b'{"error": {"message": "Failed to parse messages: a privat letter"}}'
    scripted.answers["/v1/chat/completions"] = whole(quoting, status=500)
    service = start(llamacpp_url=scripted.url, log_level="debug")
    wait_until(lambda: any(line["msg"] == "warm-up failed" for line in service.logged()))
    for answer in (whole(quoting, status=500), whole(quoting, status=400), whole(b"data: %s\n\n" % quoting)):
        scripted.answers["/v1/chat/completions"] = answer
        assert "a privat letter" in service.polish("a privat letter", MODEL).json()["error"]
    wait_until(lambda: [line.get("status") for line in service.logged()].count(502) == 3)
    assert "status 500" in service.log.read_text()
    assert "privat letter" not in service.log.read_text()


def test_a_request_can_be_followed(start: Start, scripted: Scripted) -> None:
    """If this fails, nobody finds out which of a board's errors belongs to which complaint."""
    service = start(llamacpp_url=scripted.url, probe_seconds=60)
    scripted.answers["/v1/chat/completions"] = whole(b"{}", status=500)
    response = service.polish("she sayd", MODEL, headers={"X-Request-ID": "trace-7"})
    assert response.headers["x-request-id"] == "trace-7"
    wait_until(lambda: any(line.get("status") == 502 for line in service.logged()))
    told = {line["msg"] for line in service.logged() if line.get("request_id") == "trace-7"}
    assert told == {"upstream failed", "request"}
    named = {path for path, head in scripted.heads if b"x-request-id: trace-7" in head.lower()}
    assert "/v1/chat/completions" in named


def test_what_is_sent(client: Client, scripted: Scripted) -> None:
    """If this fails, decoding options or the length limit do not reach the model."""
    decoding = {MODEL: {"top_k": 5, "repeat_penalty": 1.1}}
    client(llamacpp_url=scripted.url, decoding=decoding).post(
        "/api/polish", json={"text": "she sayd", "model_id": MODEL}
    )
    sent = json.loads([body for path, body in scripted.asked if path == "/v1/chat/completions"][-1])
    assert [message["role"] for message in sent.pop("messages")] == ["system", "user"]
    assert sent == {
        "model": MODEL,
        "stream": True,
        "cache_prompt": True,
        "chat_template_kwargs": {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"},
        "temperature": 0.0,
        "top_k": 5,
        "repeat_penalty": 1.1,
        "max_tokens": len("she sayd") + 64,
    }


@pytest.mark.parametrize(
    "answer", [whole(b"{}", status=503), stream(chunk("She")), whole(b"data: {\n\n"), stream(ends=False)]
)
def test_fallback(
    client: Client, scripted: Scripted, second: Scripted, answer: Callable[[socket.socket], None]
) -> None:
    """If this fails, one dead upstream ends the service although another one could answer."""
    api = client(llamacpp_url=scripted.url, ollama_url=second.url, llamacpp_timeout=1)
    scripted.answers["/v1/chat/completions"] = answer
    response = api.post("/api/polish", json={"text": "he sayd", "model_id": MODEL}).json()
    assert (response["polished"], response["model"]) == ("He said.", "qwen2.5:1.5b")
    assert 'pollex_fallbacks_total{asked="llama.cpp",model="qwen2.5:1.5b"} 1.0' in api.get("/metrics").text


def test_fallback_is_the_owners_choice(client: Client, scripted: Scripted, second: Scripted) -> None:
    """If this fails, texts go to a server that the owner did not allow for this model."""
    scripted.answers["/v1/chat/completions"] = whole(b"{}", status=503)
    api = client(llamacpp_url=scripted.url, ollama_url=second.url, fallback={MODEL: []})
    second.asked.clear()
    assert api.post("/api/polish", json={"text": "he sayd", "model_id": MODEL}).status_code == 502
    assert "he sayd" not in str(second.asked)


def test_nothing_leaves_the_house_by_itself(client: Client, scripted: Scripted, second: Scripted) -> None:
    """If this fails, private texts reach a cloud service because the board was down."""
    scripted.answers["/v1/chat/completions"] = whole(b"{}", status=503)
    api = client(llamacpp_url=scripted.url, claude_api_key="k", claude_url=second.url)
    assert api.post("/api/polish", json={"text": "he sayd", "model_id": MODEL}).status_code == 502
    assert second.asked == []


def test_no_fallback_after_the_first_words(client: Client, scripted: Scripted, second: Scripted) -> None:
    """If this fails, a page shows the beginning of one answer and the end of another."""
    scripted.answers["/v1/chat/completions"] = stream(chunk("She has"), chunk(" said"))
    api = client(llamacpp_url=scripted.url, ollama_url=second.url)
    text = api.post("/api/polish", json={"text": "he sayd", "model_id": MODEL, "stream": True}).text
    assert "event: error" in text
    assert "He said" not in text


def test_the_breaker(client: Client, scripted: Scripted) -> None:
    """If this fails, every request waits out the timeout of a dead upstream, or it is never asked again."""

    def api(seconds: float) -> TestClient:
        scripted.answers["/v1/chat/completions"] = stream(ends=False)
        limits = {"llamacpp_timeout": 0.3, "breaker_failures": 2, "probe_seconds": 60}
        made = client(llamacpp_url=scripted.url, breaker_seconds=seconds, **limits)
        assert [status(made), status(made)] == [502, 502]
        return made

    def status(api: TestClient) -> int:
        return api.post("/api/polish", json={"text": "he sayd", "model_id": MODEL}).status_code

    closed = api(3600)
    asked = len(scripted.sent())
    assert [status(closed), status(closed), len(scripted.sent())] == [502, 502, asked]
    reopened = api(0.1)
    scripted.answers["/v1/chat/completions"] = GOOD
    wait_until(lambda: status(reopened) == 200)


def test_claude(client: Client, second: Scripted) -> None:
    """If this fails, a paid key is of no use."""
    event = b'data: {"type": "%s", "delta": %s}\n\n'
    second.answers["/v1/messages"] = stream(
        event % (b"content_block_delta", b'{"type": "text_delta", "text": "He said."}'),
        event % (b"message_delta", b'{"stop_reason": "end_turn"}'),
        event % (b"message_stop", b"{}"),
    )
    api = client(claude_api_key="k", claude_url=second.url, ollama_url=second.url)
    asked = {"text": "he sayd", "model_id": "claude-sonnet-4-5-20250929"}
    assert api.post("/api/polish", json=asked).json()["polished"] == "He said."
    sent = json.loads(next(body for path, body in second.asked if path == "/v1/messages"))
    assert (sent["max_tokens"], sent["messages"][0]["content"]) == (4096, "he sayd")
    second.answers["/v1/messages"] = stream(event % (b"message_delta", b'{"stop_reason": "max_tokens"}'))
    cut = api.post("/api/polish", json=asked | {"changes": True}).json()
    assert (cut["polished"], [kept["reason"] for kept in cut["kept"]]) == ("he sayd", ["cut-short"])


def test_readiness_needs_a_generation(client: Client, scripted: Scripted) -> None:
    """If this fails, a board that answers health checks but cannot generate is called ready."""
    scripted.answers["/v1/chat/completions"] = whole(b"{}", status=500)
    api = client(llamacpp_url=scripted.url, probe_seconds=0.1)
    wait_until(lambda: any(path == "/v1/chat/completions" for path, _ in scripted.asked))
    response = api.get("/readyz")
    assert (response.status_code, response.json()["reasons"]) == (503, ["llama.cpp: has not generated anything yet"])
    scripted.answers["/v1/chat/completions"] = whole(b'{"choices": [{"message": {"content": "x"}}]}')
    wait_until(lambda: api.get("/readyz").status_code == 200)
    scripted.answers["/v1/chat/completions"] = whole(b"{}", status=500)
    assert api.post("/api/polish", json={"text": "she sayd", "model_id": MODEL}).status_code == 502
    assert api.get("/readyz").json()["reasons"] == ["llama.cpp: has not generated anything yet"]
    assert api.get("/api/health").json()["adapters"][MODEL]["available"] is True
    scripted.answers["/health"] = whole(b"{}", status=503)
    wait_until(lambda: api.get("/readyz").json()["reasons"] == ["llama.cpp: llama-server unreachable"])
    assert api.get("/livez").status_code == 200


@pytest.mark.fault("service", "an answer is made", "its client goes away", "the board is free at once")
@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_goes_away_cancels_upstream(start: Start, scripted: Scripted, streamed: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, the board's one slot works on for somebody who has left."""
    service = start(llamacpp_url=scripted.url, probe_seconds=60)
    service.warmed()
    begun, closed = threading.Event(), threading.Event()

    def hold(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + chunk("She"))
        begun.set()
        connection.settimeout(NEVER)
        if connection.recv(1) == b"":
            closed.set()

    scripted.answers["/v1/chat/completions"] = hold
    body = json.dumps({"text": "she sayd", "model_id": MODEL, "stream": streamed}).encode()
    head = b"POST /api/polish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", httpx.URL(service.url).port)) as client:
        client.sendall(head % len(body) + body)
        assert begun.wait(NEVER)
    assert closed.wait(NEVER)
    wait_until(lambda: any(line.get("gone") for line in service.logged()))
