"""Server-sent events: when a stream begins, what keeps it open, and how it says that there is no answer."""

from __future__ import annotations

import json
import logging

import pytest
from starlette.testclient import TestClient

from pollex.logs import JsonFormatter
from pollex.middleware import refuse
from pollex.polish import Polisher
from pollex.stream import Events, EventStream
from pollex.wire import Error
from tests.service.conftest import Client

BODY = {"text": "teh", "model_id": "mock"}


def test_keeps_a_silent_stream_open(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a proxy closes the stream of somebody who waits in the queue."""
    monkeypatch.setattr("pollex.stream.KEEP_ALIVE", 0.05)
    response = client(mock_delay_ms=300).post("/api/polish", json=BODY | {"stream": True})
    lines = response.text.splitlines()
    assert lines.count(": keep-alive") > 1
    assert "event: done" in lines


def test_a_refusal_after_the_first_event() -> None:
    """If this fails, a page that waited in a queue waits on for ever, or does not learn when to come back."""

    async def work(events: Events) -> None:
        events.queued(1)
        events.queued(0)
        events.refuse(refuse(503, Error(error="full \n now", code="queue_full"), 7))

    response = TestClient(EventStream(work)).get("/")
    assert response.status_code == 200
    blocks = [block.split("\ndata: ") for block in response.text.strip().split("\n\n")]
    assert [(name, json.loads(data)) for name, data in blocks] == [
        ("event: queue", {"position": 1}),
        ("event: queue", {"position": 0}),
        ("event: error", {"error": "full \n now", "code": "queue_full", "status": 503, "retry_after": 7}),
    ]


@pytest.mark.parametrize("streamed", [True, False])
def test_an_internal_error(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    streamed: bool,  # noqa: FBT001 - a table
) -> None:
    """If this fails, a bug ends in silence, cannot be found in the log, or puts somebody's text there."""

    async def fail(_: Polisher, text: str, *_more: object, **_named: object) -> None:
        try:
            int(text)
        except ValueError as error:
            raise RuntimeError(text) from error

    monkeypatch.setattr(Polisher, "polish", fail)
    headers = {"X-Request-ID": "trace-9"}
    body = BODY | {"text": "a private text", "stream": streamed}
    response = client().post("/api/polish", json=body, headers=headers)
    assert response.status_code == 500
    assert response.json() == {"error": "internal error; the log has it under trace-9", "code": "internal"}
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    line = JsonFormatter().format(record)
    assert all(words in line for words in ("RuntimeError", "ValueError", "in fail"))
    assert "private" not in line
