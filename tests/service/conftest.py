"""The service as a process, llama-server as a process, and upstreams that misbehave on purpose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from pollex import app, settings
from sandbox import fetch
from sandbox.serving import NEVER, PASSIVE, free_port
from tests.patches.conftest import binary  # noqa: F401 - the cached build, as a fixture
from tests.service.scripted import GOOD, Scripted, stream, whole
from tests.waiting import wait_until

Start = Callable[..., "Service"]
Client = Callable[..., TestClient]


def whole_lines(log: Path) -> list[str]:
    """Of a file that another process writes to, without the line that it is in the middle of."""
    return log.read_text().rpartition("\n")[0].splitlines()


def answers(url: str, status: int = 200) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == status
    except httpx.HTTPError:
        return False


class Service:
    """`pollex serve` with some settings."""

    def __init__(self, log: Path, **given: object) -> None:
        self.port = free_port()
        values = {"host": "127.0.0.1", "port": self.port, "rate_limit": 0, **given}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("POLLEX_")}
        environment |= {f"POLLEX_{key.upper()}": _text(value) for key, value in values.items()}
        self.log = log
        self.url = f"http://127.0.0.1:{self.port}"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pollex", "serve"], env=environment, stdout=output, stderr=output
            )

    def wait(self) -> Service:
        """Itself, once it answers."""
        wait_until(lambda: answers(f"{self.url}/livez"), what="the service")
        return self

    def polish(self, text: str, model: str = "mock", **more: Any) -> httpx.Response:
        """POST /api/polish."""
        body = {"text": text, "model_id": model}
        return httpx.post(f"{self.url}/api/polish", json=body, timeout=60, **more)

    def logged(self) -> list[dict[str, Any]]:
        """The log so far, as far as its lines are whole."""
        return [json.loads(line) for line in whole_lines(self.log)]

    def warmed(self) -> None:
        """Wait until its own first request to the model is over."""
        wait_until(lambda: any("warm" in line["msg"] for line in self.logged()), what="the warm-up")

    def stop(self) -> int:
        """End it as systemd does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(NEVER)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(**settings)`: a service of its own; the mock unless an upstream is given."""
    running: list[Service] = []

    def run(**given: object) -> Service:
        if not any(key.endswith("_url") for key in given):
            given["mock"] = True
        running.append(Service(tmp_path / f"service-{len(running)}.log", **given))
        return running[-1].wait()

    yield run
    for service in running:
        service.process.kill()
        service.process.wait()


@pytest.fixture
def client() -> Iterator[Client]:
    """`client(**settings)`: the application in this process, with the mock unless an upstream is given."""
    opened: list[TestClient] = []

    def make(**given: object) -> TestClient:
        if not any(key.endswith("_url") for key in given):
            given["mock"] = True
        application = app.create(settings.Settings.model_validate({"rate_limit": 0} | given))
        opened.append(TestClient(application, raise_server_exceptions=False))
        opened[-1].__enter__()
        return opened[-1]

    yield make
    for each in opened:
        each.__exit__(None, None, None)


class Llama:
    """A real llama-server with the small model."""

    def __init__(self, executable: Path, model: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        fixed = ["--slots", "--metrics", "--no-context-shift", "-t", "1", "-c", "512", "--port", str(self.port)]
        self._command = [str(executable), "-m", str(model), *fixed, *options]

    def begin(self) -> None:
        """Start, and wait until the model is loaded."""
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet, env=os.environ | PASSIVE)
        wait_until(lambda: answers(f"{self.url}/health"), what="llama-server")

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def busy(self) -> bool:
        """Whether any slot is at work."""
        return any(slot["is_processing"] for slot in httpx.get(f"{self.url}/slots", timeout=30).json())


@pytest.fixture
def llama(binary: Path) -> Iterator[Llama]:  # noqa: F811 - the fixture of that name
    server = Llama(binary, fetch.fetch(fetch.MODEL))
    try:
        server.begin()
        yield server
    finally:
        server.end()


KEY = "sk-of-the-board"
"""What `guarded` wants."""


@pytest.fixture
def guarded(binary: Path) -> Iterator[Llama]:  # noqa: F811 - the fixture of that name
    """A llama-server that wants a key."""
    server = Llama(binary, fetch.fetch(fetch.MODEL), "--api-key", KEY)
    try:
        server.begin()
        yield server
    finally:
        server.end()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A llama-server that is healthy and says `She said` to everything."""
    server = Scripted()
    server.answers = {
        "/health": whole(b"{}"),
        "/props": whole(b'{"default_generation_settings": {"n_ctx": 100}}'),
        "/apply-template": whole(b'{"prompt": "p"}'),
        "/tokenize": whole(b'{"tokens": [1, 2, 3]}'),
        "/v1/chat/completions": GOOD,
    }
    yield server
    server.close()


@pytest.fixture
def second() -> Iterator[Scripted]:
    """An Ollama that says `He said` to everything."""
    server = Scripted()
    done = b'{"message": {"content": " said."}, "done": true, "done_reason": "stop"}\n'
    server.answers = {"/api/tags": whole(b"{}"), "/api/chat": stream(b'{"message": {"content": "He"}}\n', done)}
    yield server
    server.close()
