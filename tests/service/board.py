"""A llama-server that mends `teh`, word by word at some pace, and can be told to misbehave: python board.py PORT PACE.

It is a process, so that it can be killed and stopped. `POST /stand-in` changes how it is, `GET /stand-in` tells.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class State:
    """How it is, and what it has done."""

    def __init__(self, pace: float) -> None:
        self.lock = threading.Lock()
        self.how: dict[str, Any] = {"pace": pace, "rubbish": False, "holds": None}
        """Seconds between two words; whether it answers noise; the words after which it says no more until told to."""
        self.told = {"working": 0, "most": 0, "ended": 0, "holding": 0}

    def work(self, step: int) -> None:
        """One more request, or one less."""
        with self.lock:
            self.told["working"] += step
            self.told["most"] = max(self.told["most"], self.told["working"])
            self.told["ended"] += step < 0

    def hold(self, said: int) -> None:
        """Wait as long as it is to stop after so many words."""
        if self.how["holds"] != said:
            return
        with self.lock:
            self.told["holding"] += 1
        while self.how["holds"] == said:
            time.sleep(0.01)
        with self.lock:
            self.told["holding"] -= 1


class Handler(BaseHTTPRequestHandler):
    """llama-server's answers, as far as the service asks for them."""

    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        """Health, properties, and what it has done."""
        told = {
            "/health": {"status": "ok"},
            "/props": {"default_generation_settings": {"n_ctx": 4096}},
            "/slots": [{"id_task": 1}],
            "/stand-in": self.state.told,
        }
        self._whole(told.get(self.path.partition("?")[0], {}))

    def do_POST(self) -> None:
        """Work."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        if path == "/stand-in":
            self.state.how |= body
            self._whole({})
        elif path == "/apply-template":
            self._whole({"prompt": body["messages"][-1]["content"]})
        elif path == "/tokenize":
            self._whole({"tokens": [ord(letter) for letter in body["content"]]})
        elif self.state.how["rubbish"]:
            self.wfile.write(os.urandom(512))
            self.close_connection = True
        elif path == "/v1/chat/completions" and not body.get("stream"):
            self._whole({"choices": [{"message": {"content": "warm"}}]})
        elif path == "/v1/chat/completions":
            said = (_chunk({"content": word}) for word in _words(body["messages"][-1]["content"], ""))
            self._stream([*said, _chunk({}, "stop"), b"data: [DONE]\n\n"])
        else:
            prompt, *shown = body["prompt"]
            words = _words(prompt, "".join(map(chr, shown)))
            self._stream([*(_event(content=word, stop=False) for word in words), _event(content="", stop=True)])

    def _whole(self, answer: object) -> None:
        content = json.dumps(answer).encode()
        with suppress(OSError):  # whoever asked is gone
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _stream(self, events: Iterable[bytes]) -> None:
        self.state.work(1)
        try:
            self.state.hold(0)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for said, event in enumerate(events, start=1):
                self.wfile.write(event)
                self.state.hold(said)
                time.sleep(self.state.how["pace"])
        except OSError:
            pass  # whoever asked is gone
        finally:
            self.state.work(-1)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _words(text: str, shown: str) -> list[str]:
    return re.findall(r"\s*\S+", text.replace("teh", "the")[len(shown) :])


def _chunk(delta: object, reason: str | None = None) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [{"delta": delta, "finish_reason": reason}]}).encode()


def _event(**told: object) -> bytes:
    return b"data: %s\n\n" % json.dumps({**told, "stop_type": "eos"}).encode()


if __name__ == "__main__":
    Handler.state = State(float(sys.argv[2]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
