"""The service as a process: how it starts, what it logs, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from sandbox.serving import NEVER
from tests.service.conftest import Service, Start, answers
from tests.service.scripted import MODEL, Scripted
from tests.waiting import wait_until


def waiting(service: Service) -> float:
    """How many requests are in the queue."""
    lines = httpx.get(f"{service.url}/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("pollex_queue_waiting{")))


def test_stops_after_what_runs_is_done(start: Start, scripted: Scripted) -> None:
    """If this fails, every deployment cuts off the text that is being polished."""
    service = start(llamacpp_url=scripted.url, slots=1, probe_seconds=3600)
    service.warmed()
    told = scripted.hold()
    heard: list[httpx.Response] = []
    streamed = {"Accept": "text/event-stream"}
    threads = [
        threading.Thread(target=lambda: heard.append(service.polish("She sayd.", MODEL))),
        threading.Thread(target=lambda: heard.append(service.polish("She sayd.", MODEL, headers=streamed))),
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: waiting(service) == 1, what="the second request")
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not answers(f"{service.url}/livez"), what="the closed door")
    told.set()
    assert service.process.wait(NEVER) == 0
    for thread in threads:
        thread.join()
    assert ["She said." in answer.text for answer in heard] == [True, True]


def test_does_not_wait_for_ever(start: Start) -> None:
    """If this fails, a stream that never ends keeps a board from shutting down."""
    service = start(mock_delay_ms=3_600_000, shutdown_timeout=1)
    body = {"text": "(teh end", "model_id": "mock", "stream": True}
    with httpx.stream("POST", f"{service.url}/api/polish", json=body, timeout=60) as response:
        next(response.iter_lines())
        service.stop()


def test_serves_both_families(start: Start) -> None:
    """If this fails, a service that is to be reached at every address is not reached at half of them."""
    service = start(host="::")
    reached = [httpx.get(f"http://{host}:{service.port}/livez").status_code for host in ("127.0.0.1", "[::1]")]
    assert reached == [200, 200]


def test_logs_tell_everything_but_the_text(start: Start) -> None:
    """If this fails, private texts or keys lie in the journal, or a failure cannot be traced."""
    service = start(api_key="topsecret", log_level="debug")
    headers = {"X-API-Key": "topsecret", "X-Request-ID": "trace-1"}
    service.polish("A private textt about Bob.", headers=headers)
    service.polish("A private textt about Bob.", headers=headers | {"Accept": "text/event-stream"})
    httpx.post(f"{service.url}/api/polish", content=b"private", headers=headers)
    service.stop()
    raw = service.log.read_text()
    assert "private" not in raw.lower()
    assert "topsecret" not in raw
    first = next(line for line in service.logged() if line["msg"] == "request" and line["path"] == "/api/polish")
    assert {"time", "level", "duration_ms"} <= first.keys()
    assert (first["request_id"], first["status"], first["model"], first["chars"]) == ("trace-1", 200, "mock", 26)


def test_a_wrong_setting(tmp_path: Path) -> None:
    """If this fails, a service with a wrong configuration starts, or ends with a stack trace."""
    environment = os.environ | {"POLLEX_PORT": "none", "POLLEX_MOCK": "true"}
    command = [sys.executable, "-m", "pollex", "serve"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 7
    assert ended.stderr.startswith("pollex: the settings have 1 problem")
    assert "POLLEX_PORT" in ended.stderr


def test_it_is_small(start: Start) -> None:
    """If this fails, the service takes memory that the model needs on a board of 4 GB."""
    service = start()
    service.polish("teh end")
    assert psutil.Process(service.process.pid).memory_info().rss < 60 * 1024**2


def test_imports_nothing_of_the_declaration() -> None:
    """If this fails, pulumi must be installed on the board."""
    code = "import sys, json, pollex.serve; print(json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    assert not loaded & {"pulumi", "infra", "sandbox", "asyncssh", "grpc", "typer"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_the_port_is_taken(start: Start, host: str) -> None:
    """If this fails, a second service seems to run while the first one answers."""
    service = start(host=host)
    environment = os.environ | {"POLLEX_PORT": str(service.port), "POLLEX_MOCK": "true", "POLLEX_HOST": host}
    command = [sys.executable, "-m", "pollex", "serve"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode != 0
    assert "address already in use" in ended.stdout.lower()
    wait_until(lambda: service.polish("teh end").status_code == 200)
