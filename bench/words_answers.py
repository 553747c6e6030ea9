"""A model's answers, kept: what was asked once is answered from a file, byte for byte, by a stand-in for its server.

A measurement of what the service makes of answers asks the same questions again whenever a rule changes. The stand-in
records the whole conversation with the real server, whatever the service sends, so that only what is new takes the
model's time. What is kept belongs to one model file and one version of the server.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bench.record import FOLDER
from sandbox.machine import say

FILE = FOLDER / "words-answers.sqlite"


class Answers:
    """The stand-in, as a context: `url` is where it listens."""

    def __init__(self, model: str, start: AbstractContextManager[str], file: Path = FILE) -> None:
        """What answers for a model.

        Args:
            model: what the answers depend on besides the question: the model's file and the server's version.
            start: the real server's URL, entered when the first question comes that was never asked.
            file: where the answers are kept.
        """
        self._model = model
        self._start = start
        self._file = file
        self._open = ExitStack()
        self._server = ""
        self.url = ""
        self.seconds = 0.0
        """That the model took for the completions asked since this was last set to 0, each when it was new."""
        self.fresh = 0
        """How many of them were new."""

    def __enter__(self) -> Self:
        """Listen."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._client = self._open.enter_context(httpx.Client(timeout=600, trust_env=False))
        self._kept = sqlite3.connect(self._file, check_same_thread=False)
        self._open.callback(self._kept.close)
        self._kept.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, seconds REAL, type TEXT, body BLOB)"
        )
        self.url = self._open.enter_context(serving(self._app()))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the stand-in, and the server if it was needed."""
        self._open.close()

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to a question that is asked directly."""
        return self._client.post(f"{self.url}{path}", json=body).raise_for_status().json()

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", lambda _: Response("{}", media_type="application/json")),
                Route("/{path:path}", self._answer, methods=["GET", "POST"]),
            ]
        )

    async def _answer(self, request: Request) -> Response:
        path, query, body = request.url.path, request.url.query, await request.body()
        key = hashlib.sha256(json.dumps([self._model, path, query, _sorted(body)]).encode()).hexdigest()
        found = self._kept.execute("SELECT seconds, type, body FROM answers WHERE key = ?", [key]).fetchone()
        completes = path.endswith("/completions")
        if found is not None:
            self.seconds += found[0] * completes
            return Response(zlib.decompress(found[2]), media_type=found[1])
        if not self._server:
            say("starting llama-server: there are questions that it was never asked")
            self._server = self._open.enter_context(self._start)
        self.fresh += completes
        return await self._fresh(key, httpx.Request(request.method, f"{self._server}{path}?{query}", content=body))

    async def _fresh(self, key: str, request: httpx.Request) -> Response:
        """The real server's answer, passed on as it comes, and kept once it is whole."""
        begun = time.monotonic()
        client = httpx.AsyncClient(timeout=600, trust_env=False)
        request.headers["Content-Type"] = "application/json"
        answered = await client.send(request, stream=True)
        kind = answered.headers.get("Content-Type", "application/json")

        async def pieces() -> AsyncIterator[bytes]:
            parts: list[bytes] = []
            try:
                async for part in answered.aiter_raw():
                    parts.append(part)
                    yield part
            finally:
                await answered.aclose()
                await client.aclose()
            if answered.is_success:
                self._keep(key, request.url.path, time.monotonic() - begun, kind, b"".join(parts))

        return StreamingResponse(pieces(), answered.status_code, media_type=kind)

    def _keep(self, key: str, path: str, seconds: float, kind: str, body: bytes) -> None:
        self.seconds += seconds * path.endswith("/completions")
        with self._kept:
            self._kept.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", [key, seconds, kind, zlib.compress(body)]
            )


def _sorted(body: bytes) -> object:
    """The question apart from the order in which it was written."""
    return json.dumps(json.loads(body), sort_keys=True) if body else ""


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """The URL of an application that a thread serves on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
