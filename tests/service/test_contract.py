"""The wire contract that the original Go client and browser extension rely on, line by line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pollex import __version__
from tests.service.conftest import Client

GOOD = {"text": "teh end", "model_id": "mock"}
KEY = {"api_key": "s3cret"}


@pytest.mark.parametrize(
    ("body", "status", "error", "code"),
    [
        (b"{", 400, "invalid JSON body", "invalid_body"),
        (b"", 400, "invalid JSON body", "invalid_body"),
        (b"[]", 400, "invalid JSON body", "invalid_body"),
        (b'"text"', 400, "invalid JSON body", "invalid_body"),
        (b'{"text": 1, "model_id": "mock"}', 400, "invalid JSON body", "invalid_body"),
        (b'{"text": "x", "model_id": ["mock"]}', 400, "invalid JSON body", "invalid_body"),
        (b'{"text": "x", "model_id": "mock", "stream": "yes"}', 400, "invalid JSON body", "invalid_body"),
        (b'{"text": "\\ud800", "model_id": "mock"}', 400, "invalid JSON body", "invalid_body"),
        (b"\xff\xfe", 400, "invalid JSON body", "invalid_body"),
        (b"{}", 400, "text is required", "text_missing"),
        (b"null", 400, "invalid JSON body", "invalid_body"),
        (b'{"model_id": "mock"}', 400, "text is required", "text_missing"),
        (b'{"text": "", "model_id": "mock"}', 400, "text is required", "text_missing"),
        (b'{"text": null, "model_id": "mock"}', 400, "text is required", "text_missing"),
        (b'{"text": "x"}', 400, "model_id is required", "model_missing"),
        (b'{"text": "x", "model_id": ""}', 400, "model_id is required", "model_missing"),
        (b'{"text": "x", "model_id": null}', 400, "model_id is required", "model_missing"),
        (b'{"text": "x", "model_id": "gpt"}', 400, "unknown model: gpt", "model_unknown"),
        (
            json.dumps(GOOD | {"text": "x" * 10_001}).encode(),
            400,
            "text too long: 10001 characters (max 10000)",
            "text_too_long",
        ),
        (
            json.dumps({"text": "x" * 10_001}).encode(),
            400,
            "text too long: 10001 characters (max 10000)",
            "text_too_long",
        ),
        (json.dumps(GOOD | {"text": "x" * 65_536}).encode(), 413, "request body too large", "body_too_large"),
    ],
)
def test_refusals_of_polish(client: Client, body: bytes, status: int, error: str, code: str) -> None:
    """If this fails, a client shows another message than the one it was written for."""
    response = client().post("/api/polish", content=body)
    assert (response.status_code, response.json()["error"], response.json()["code"]) == (status, error, code)
    assert response.headers["content-type"] == "application/json"


def test_polish(client: Client) -> None:
    """If this fails, no client gets a polished text."""
    response = client().post("/api/polish", json=GOOD | {"unknown": 1})
    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == {"polished", "model", "elapsed_ms"}
    assert (answer["polished"], answer["model"]) == ("the end", "mock")
    assert isinstance(answer["elapsed_ms"], int)


def test_longest_text(client: Client) -> None:
    """If this fails, a text of exactly the allowed length is refused, or counted in bytes."""
    assert client().post("/api/polish", json=GOOD | {"text": "é" * 10_000}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods(client: Client, method: str) -> None:
    """If this fails, a wrong method is answered in a form that clients cannot show."""
    response = client().request(method, "/api/polish")
    assert (response.status_code, response.json()["error"]) == (405, "method not allowed")


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({}, 401, "missing API key"),
        ({"X-API-Key": "wrong"}, 401, "invalid API key"),
        ({"X-API-Key": "s3cret"}, 200, None),
    ],
)
def test_keys(client: Client, headers: dict[str, str], status: int, error: str | None) -> None:
    """If this fails, strangers use the board, or the owner is kept out."""
    for path in ("/api/models", "/api/polish"):
        api = client(**KEY)
        response = (
            api.get(path, headers=headers) if path == "/api/models" else api.post(path, json=GOOD, headers=headers)
        )
        assert response.status_code == status
        if error is not None:
            assert response.json()["error"] == error


@pytest.mark.parametrize("path", ["/api/health", "/metrics", "/livez", "/readyz", "/openapi.json", "/"])
def test_open_paths(client: Client, path: str) -> None:
    """If this fails, monitoring needs the key, or the page cannot even ask for it."""
    assert client(**KEY).get(path).status_code == 200


def test_models(client: Client) -> None:
    """If this fails, the extension's list of models is empty or without names."""
    api = client(
        llamacpp_url="http://127.0.0.1:9",
        llamacpp_model="qwen2.5:1.5b-gpu",
        ollama_url="http://127.0.0.1:9/",
        claude_api_key="k",
    )
    assert api.get("/api/models").json() == [
        {"id": "qwen2.5:1.5b-gpu", "name": "llama.cpp (qwen2.5:1.5b-gpu)", "provider": "llamacpp"},
        {"id": "claude-sonnet-4-5-20250929", "name": "Claude (claude-sonnet-4-5-20250929)", "provider": "claude"},
        {"id": "qwen2.5:1.5b", "name": "Ollama (qwen2.5:1.5b)", "provider": "ollama"},
    ]


def test_model_without_a_name(client: Client) -> None:
    """If this fails, a configuration without `llamacpp_model` offers a model that cannot be asked for."""
    assert [m["id"] for m in client(llamacpp_url="http://127.0.0.1:9").get("/api/models").json()] == ["llama.cpp"]


def test_health(client: Client) -> None:
    """If this fails, the extension's connection test fails, or a dead upstream looks alive."""
    assert client().get("/api/health").json() == {
        "status": "ok",
        "version": __version__,
        "adapters": {"mock": {"available": True}},
    }
    dead = client(llamacpp_url="http://127.0.0.1:9", ollama_url="http://127.0.0.1:9")
    assert dead.get("/api/health").json()["adapters"] == {
        "llama.cpp": {"available": False, "reason": "llama-server unreachable"},
        "qwen2.5:1.5b": {"available": False, "reason": "ollama unreachable"},
    }


def test_rate_limit(client: Client) -> None:
    """If this fails, one client can keep the board busy for ever, or is told something its client cannot show."""
    api = client(rate_limit=10)
    statuses = [api.post("/api/polish", json=GOOD).status_code for _ in range(10)]
    refused = api.post("/api/polish", json=GOOD)
    assert statuses == [200] * 10
    assert (refused.status_code, refused.json()["error"]) == (429, "rate limit exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 60


def test_rate_limit_with_a_key(client: Client) -> None:
    """If this fails, the owner is slowed down, or any invented key lifts the limit."""
    with_key = client(rate_limit=1, **KEY)
    assert {with_key.post("/api/polish", json=GOOD, headers={"X-API-Key": "s3cret"}).status_code for _ in range(5)} == {
        200
    }
    assert [with_key.get("/api/models", headers={"X-API-Key": "no"}).status_code for _ in range(2)] == [401, 429]
    without = client(rate_limit=1)
    assert [without.post("/api/polish", json=GOOD, headers={"X-API-Key": "any"}).status_code for _ in range(2)] == [
        200,
        429,
    ]


def test_request_timeout(client: Client) -> None:
    """If this fails, a request can hang for longer than clients wait."""
    api = client(request_timeout=0.2, mock_delay_ms=3_600_000)
    response = api.post("/api/polish", json=GOOD)
    assert (response.status_code, response.json()["error"]) == (503, "request timeout")


def test_upstream_down(client: Client) -> None:
    """If this fails, a dead upstream gives another error than clients know."""
    response = client(llamacpp_url="http://127.0.0.1:9").post(
        "/api/polish", json={"text": "x y", "model_id": "llama.cpp"}
    )
    assert response.status_code == 502
    assert response.json()["error"].startswith("polish failed: llama.cpp: cannot be reached at http://127.0.0.1:9")


ORIGIN = {"Origin": "chrome-extension://x"}


@pytest.mark.parametrize(("path", "method"), [("/api/polish", "POST"), ("/api/models", "GET"), ("/nowhere", "GET")])
def test_cors(client: Client, path: str, method: str) -> None:
    """If this fails, a browser keeps the extension from asking, or from reading what it was answered."""
    wishes = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type, x-api-key"}
    allowed = client(**KEY).options(path, headers=ORIGIN | wishes)
    assert allowed.is_success
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert method in allowed.headers["access-control-allow-methods"]
    assert "X-API-Key" in allowed.headers["access-control-allow-headers"]
    answered = client(**KEY).request(method, path, headers=ORIGIN)
    assert not answered.is_success
    assert answered.headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in answered.headers["access-control-expose-headers"]


def test_metrics_are_not_for_pages(client: Client) -> None:
    """If this fails, any page that somebody opens at home can read what the board is used for."""
    assert "access-control-allow-origin" not in client().get("/metrics", headers=ORIGIN).headers


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("a b", False), ("x" * 200, False), (None, False)])
def test_request_id(client: Client, given: str | None, kept: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, a request cannot be followed through the logs, or a client writes into them what it likes."""
    response = client().get("/api/models", headers={"X-Request-ID": given} if given is not None else {})
    answered = response.headers["x-request-id"]
    assert (answered == given) is kept
    assert kept or len(answered) == 32


def test_metrics(client: Client) -> None:
    """If this fails, the original's dashboards and alerts see nothing."""
    api = client()
    api.post("/api/polish", json=GOOD)
    api.get("/secret-of-a-user")
    lines = api.get("/metrics").text.splitlines()
    for line in (
        'pollex_requests_total{method="POST",path="/api/polish",status="200"} 1.0',
        'pollex_requests_total{method="GET",path="other",status="404"} 1.0',
        'pollex_polish_duration_seconds_bucket{le="0.5",model="mock"} 1.0',
        'pollex_polish_duration_seconds_bucket{le="120.0",model="mock"} 1.0',
        'pollex_input_chars_bucket{le="50.0"} 1.0',
        'pollex_input_chars_bucket{le="10000.0"} 1.0',
        'pollex_adapter_available{adapter="mock"} 1.0',
    ):
        assert line in lines
    buckets = [
        line.split('le="')[1].split('"')[0] for line in lines if line.startswith("pollex_polish_duration_seconds_b")
    ]
    assert buckets == ["0.5", "1.0", "2.0", "5.0", "10.0", "20.0", "30.0", "60.0", "120.0", "+Inf"]
    assert not any("secret" in line for line in lines)


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block and not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


@pytest.mark.parametrize(
    "asked", [{"json": GOOD | {"stream": True}}, {"json": GOOD, "headers": {"Accept": "text/event-stream"}}]
)
def test_stream(client: Client, asked: dict[str, Any]) -> None:
    """If this fails, the page shows nothing until the whole text is done."""
    response = client().post("/api/polish", **asked)
    assert response.headers["content-type"].startswith("text/event-stream")
    heard = events(response.text)
    assert "".join(data["text"] for name, data in heard if name == "delta") == "the end"
    assert {name for name, _ in heard[:-1]} == {"delta"}
    assert heard[-1][0] == "done"
    assert heard[-1][1].keys() == {"polished", "model", "elapsed_ms"}


DEAD = {"llamacpp_url": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("settings", "body", "status"),
    [
        ({}, {"text": "x", "model_id": "no"}, 400),
        ({"max_chars": 5}, GOOD, 400),
        ({"mock_delay_ms": 60_000, "request_timeout": 0.2}, GOOD, 503),
        (DEAD, {"text": "x y", "model_id": "llama.cpp"}, 502),
        ({**DEAD, "breaker_failures": 1}, {"text": "x y", "model_id": "llama.cpp"}, 502),
    ],
)
def test_stream_is_refused_before_it_begins(
    client: Client, settings: dict[str, Any], body: dict[str, str], status: int
) -> None:
    """If this fails, a refused request looks like a success to whoever reads the status."""
    api = client(**settings)
    api.post("/api/polish", json=body)
    whole, streamed = (api.post("/api/polish", json=body | {"stream": streamed}) for streamed in (False, True))
    assert streamed.status_code == whole.status_code == status
    assert streamed.json() == whole.json()
    assert streamed.headers["content-type"] == "application/json"


def test_unknown_path(client: Client) -> None:
    """If this fails, a wrong address is answered with something that is no JSON."""
    response = client().get("/api/nothing")
    assert (response.status_code, response.json()["error"]) == (404, "not found")
