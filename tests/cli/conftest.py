"""The command as a subprocess, a real service for it to talk to, and a server that answers whatever a test says."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.serving import NEVER, free_port
from tests.waiting import wait_for

COMMAND = [sys.executable, "-m", "pollex"]
SOON = NEVER
"""Seconds after which a command that should have ended never will."""


@dataclass(frozen=True, slots=True)
class Pollex:
    """Runs `pollex` with an environment of its own: no setting of the machine's user reaches a test."""

    home: Path
    url: str = "http://127.0.0.1:1"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the command sees of the environment."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return kept | {"XDG_CONFIG_HOME": str(self.home), "POLLEX_URL": self.url, "TERM": "xterm"} | dict(extra or {})

    def at(self, url: str) -> Pollex:
        """The same command, told to use another service."""
        return Pollex(self.home, url)

    def __call__(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end, in pipes."""
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env=self.environment(env),
            capture_output=True,
            timeout=SOON,
            check=False,
        )

    def start(self, *arguments: str, stdin: bytes) -> subprocess.Popen[bytes]:
        """Start with `stdin`, all of it already there."""
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        return process

    def on_a_terminal(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """What a person sees of it: standard output and error are a terminal of 80 columns."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment({"COLUMNS": "80"} | dict(env or {})),
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        seen = b""
        with suppress(OSError):  # EIO is how a terminal says that nobody writes to it any more
            while chunk := os.read(ours, 65536):
                seen += chunk
        os.close(ours)
        process.wait(SOON)
        return seen.decode().replace("\r\n", "\n")


@pytest.fixture
def pollex(tmp_path: Path) -> Pollex:
    return Pollex(tmp_path)


@contextmanager
def running_service(folder: Path, **settings: object) -> Iterator[str]:
    """A real service with the mock model, started by `pollex serve`; yields its address."""
    port = free_port()
    given = {f"POLLEX_{name.upper()}": str(value) for name, value in {"rate_limit": 0, **settings}.items()}
    environment = Pollex(folder).environment({"POLLEX_HOST": "127.0.0.1", **given})
    command = [*COMMAND, "serve", "--mock", "--port", str(port)]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(partial(_answers, url), process)
        yield url
    finally:
        process.terminate()
        assert process.wait(SOON) == 0, (folder / "service.log").read_text()


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        httpx.get(f"{url}/livez")
        return True
    return False


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that answers at once."""
    with running_service(tmp_path_factory.mktemp("service")) as url:
        yield url


@pytest.fixture(scope="session")
def slow_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that takes 0.1 s a word, settles few words at a time, works on one request and lets none wait."""
    with running_service(
        tmp_path_factory.mktemp("slow"), mock_delay_ms=100, slots=1, queue_length=0, split_chars=20
    ) as url:
        yield url


@dataclass(slots=True)
class Scripted:
    """A server that gives its answers in turn, the last one for ever, and keeps what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def next(self) -> Answer:
        """The answer whose turn it is."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, byte for byte; the connection then ends, whole or not."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    """Bytes of the body that were announced and never come."""
    pause: float = 0.0
    """Seconds before it begins."""

    @classmethod
    def json(cls, status: int, value: object, **headers: str) -> Answer:
        """A JSON body."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | named)

    @classmethod
    def stream(cls, *events: tuple[str, object], missing: int = 0) -> Answer:
        """Server-sent events."""
        body = "".join(f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n" for kind, data in events)
        return cls(200, b": keep-alive\n\n" + body.encode(), {"Content-Type": "text/event-stream"}, missing)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    path: str
    headers: Mapping[str, str]
    body: Any


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """`scripted(answer, …)`: a server that gives these answers."""
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: Answer) -> Scripted:
        script = Scripted(answers=list(answers))
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        script.url = f"http://127.0.0.1:{server.server_port}"
        return script

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _handler(script: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append(Asked(self.path, dict(self.headers), json.loads(body) if body else None))
            answer = script.next()
            time.sleep(answer.pause)
            with suppress(ConnectionError):
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body) + answer.missing))
                self.end_headers()
                self.wfile.write(answer.body)

        do_GET = do_POST  # noqa: N815 - the name that the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Be silent."""

    return Handler
