"""A llama-server that is tried out: at a socket of its own, in a folder of its own, and gone when the trial ends."""

from __future__ import annotations

import http.client
import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from . import files, run, say

if TYPE_CHECKING:
    import subprocess

PATIENCE = float(os.environ.get("POLLEX_PROOF_WAIT", "300"))
"""Seconds for a start, and for an answer: a GPU's first start is slow, and the board may be busy."""


class TrialError(Exception):
    """The program did not do what it has to."""

    def __init__(self, why: str, log: Sequence[str] = ()) -> None:
        """`log` is the last that the program said."""
        super().__init__(why)
        self.log = tuple(log)


class Trial:
    """A folder and a server that end with the `with` block."""

    def __init__(self) -> None:
        """Nothing is served yet."""
        # The path of a socket has little room, and the build folder's may be long.
        self.folder = tempfile.mkdtemp(prefix="pollex.", dir="/tmp")
        self._loads = ""
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Trial:
        """For `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server, by force if a kernel hangs on the GPU, and take the folder away."""
        if self._server is not None:
            run.end(self._server)
        files.remove(self.folder)

    def serve(self, program: str, options: Sequence[str], *, loads: str, variables: Mapping[str, str] = {}) -> None:
        """Start the program and wait until it can be asked.

        Args:
            program: the path of llama-server.
            options: its own, but for where it listens.
            loads: what it has to load, for people.
            variables: of the environment, beside those of this process.

        Raises:
            TrialError: it ended, or took too long.
        """
        self._loads = loads
        command = [program, *options, "--host", self._socket, "--no-warmup"]
        try:
            with open(self._log, "wb") as log:
                self._server = run.start(command, log, environment=variables)
        except OSError as error:
            raise TrialError(f"it ended while it loaded {loads}: {error.strerror}") from error
        deadline, pause = time.monotonic() + PATIENCE, 0.02
        while self._request("GET", "/health") is None:
            if self._server.poll() is not None:
                raise self._failed(f"it ended while it loaded {loads}")
            if time.monotonic() > deadline:
                raise self._failed(f"it did not load {loads} in time")
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def ask(self, path: str, request: str | Mapping[str, object]) -> object:
        """The answer to a request, which is JSON as the answer is.

        Raises:
            TrialError: there was none.
        """
        body = request if isinstance(request, str) else json.dumps(request)
        answer = self._request("POST", path, body.encode())
        if answer is None:
            raise self._failed(f"it did not answer a request to {self._loads}")
        try:
            return json.loads(answer)
        except ValueError as error:
            raise self._failed(f"its answer is no JSON: {error}") from error

    @property
    def _socket(self) -> str:
        return f"{self.folder}/s.sock"

    @property
    def _log(self) -> str:
        return f"{self.folder}/log"

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes | None:
        """The body of a good answer."""
        connection = _Connection(self._socket)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return content if answer.status == http.client.OK else None

    def _failed(self, why: str) -> TrialError:
        return TrialError(why, say.last_lines(files.read(self._log) or "", 20))


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """To the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
