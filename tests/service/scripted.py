"""An upstream that answers by path with whatever a test wants it to say, byte for byte."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MODEL = "llama.cpp"


class Scripted:
    """A TCP server that answers by path with raw bytes, however wrong, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[socket.socket], None]] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.heads: list[tuple[str, bytes]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept nobody any more."""
        self._listening.close()

    def hold(self, path: str = "/v1/chat/completions") -> threading.Event:
        """Answer well at a path, but only once the event is set."""
        told = threading.Event()

        def answer(connection: socket.socket) -> None:
            told.wait()
            GOOD(connection)

        self.answers[path] = answer
        return told

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
                head += more
            if not head:
                return
            first, _, body = head.partition(b"\r\n\r\n")
            length = next(
                (int(h.split(b":")[1]) for h in first.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
            )
            while len(body) < length and (more := connection.recv(65536)):
                body += more
            path = first.split()[1].decode()
            self.heads.append((path, first))
            self.asked.append((path, body))
            nothing = whole(b'{"error": {"message": "nothing here"}}', status=404)
            self.answers.get(path, self.answers.get(path.partition("?")[0], nothing))(connection)

    def sent(self, path: str = "/v1/chat/completions") -> list[Any]:
        """The bodies of the requests to a path."""
        return [json.loads(body) for asked, body in self.asked if asked == path]


def whole(body: bytes, status: int = 200, length: int | None = None) -> Callable[[socket.socket], None]:
    """A whole answer; its Content-Length may lie."""

    def send(connection: socket.socket) -> None:
        size = len(body) if length is None else length
        connection.sendall(b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, size, body))

    return send


def stream(*parts: bytes, pause: float = 0, ends: bool = True) -> Callable[[socket.socket], None]:
    """An answer in parts until the connection is closed, or one that is then left open without a word."""

    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n")
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        if not ends:
            connection.recv(1)

    return send


def in_turn(*answers: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """One answer after the other, the last one for ever."""
    left = list(answers)

    def send(connection: socket.socket) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(connection)

    return send


def chunk(content: str | None = None, reason: str | None = None, **more: object) -> bytes:
    """One event of llama-server's stream; like llama-server's it holds every letter as it is."""
    delta = {} if content is None else {"content": content}
    event = {"choices": [{"delta": delta, "finish_reason": reason, **more}]}
    return b"data: %s\n\n" % json.dumps(event, ensure_ascii=False).encode()


GOOD = stream(chunk("She"), chunk(" said."), chunk(reason="stop"), b"data: [DONE]\n\n")
