"""How the patched llama-servers begin and end, the sandbox's and the image's, with a real model.

The build takes minutes; it is kept in the cache, under a key of everything that decides it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import fetch
from sandbox.serving import NEVER, PASSIVE, free_port
from tests.waiting import read_until

READY = ("starting the main loop", "listening on http")
"""What the sandbox's server says when it answers, and the image's."""


class Server:
    """A llama-server whose standard error is read line by line."""

    def __init__(self, binary: Path, model: Path, port: int | None = None, *, first_process: bool) -> None:
        self.port = port or free_port()
        # As process 1 of its own namespace, as in a container: there, default actions of signals do nothing.
        alone = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"] if first_process else []
        command = [*alone, str(binary), "-m", str(model), "--port", str(self.port), "-c", "1024", "-t", "2"]
        quiet = subprocess.DEVNULL
        environment = os.environ | PASSIVE
        self.process = subprocess.Popen(command, stdout=quiet, stderr=subprocess.PIPE, text=True, env=environment)
        self._first_process = first_process
        self.said = ""

    def close(self) -> None:
        """Leave no process behind."""
        self.process.kill()
        self.process.communicate()

    def wait_for(self, *words: str) -> None:
        """Return once a line with some of these words was printed."""
        self.said += "".join(read_until("|".join(map(re.escape, words)), self.process.stderr))

    def status(self) -> int:
        """The exit status; one that does not end by itself never has one."""
        self.said += self.process.communicate(timeout=NEVER)[1]
        return self.process.returncode

    def stop(self, number: signal.Signals) -> int:
        """Send a signal to the server itself; its exit status."""
        pid = self.process.pid
        if self._first_process:
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        os.kill(pid, number)
        return self.status()


@pytest.fixture(params=[False, True], ids=["", "as process 1"])
def start(request: pytest.FixtureRequest, either: Path) -> Iterator[Callable[..., Server]]:
    """`start(model)` or `start(model, port)`, as an ordinary process and as the first one of a container."""
    servers: list[Server] = []

    def run(model: Path, port: int | None = None) -> Server:
        servers.append(Server(either, model, port, first_process=request.param))
        return servers[-1]

    yield run
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def model() -> Path:
    return fetch.fetch(fetch.MODEL)


def test_stops_while_it_loads(start: Callable[..., Server], model: Path) -> None:
    """If this fails, a unit that is restarted while it loads a model ends as failed, and a container must be killed."""
    server = start(model)
    server.wait_for("loading model")
    assert server.stop(signal.SIGTERM) == 0, server.said


def test_a_port_that_another_program_has_just_left(start: Callable[..., Server], model: Path) -> None:
    """If this fails, what took the server's port can be stopped, and the server still cannot have it for a minute."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as other, socket.create_connection(("127.0.0.1", port)) as client:
        other.accept()[0].close()
        assert client.recv(1) == b""
    states = [line.split()[3] for line in Path("/proc/net/tcp").read_text().splitlines() if f":{port:04X} " in line]
    assert "06" in states, states  # TIME_WAIT: its end of the connection was closed first
    server = start(model, port)
    server.wait_for(*READY)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_when_idle(start: Callable[..., Server], model: Path, number: signal.Signals) -> None:
    """If this fails, every stop of the unit dumps core and leaves it failed."""
    server = start(model)
    server.wait_for(*READY)
    assert server.stop(number) == 0, server.said
    assert f"stopping on signal {number.value}" in server.said


def test_stops_with_a_request_in_flight(start: Callable[..., Server], model: Path) -> None:
    """If this fails, one long answer keeps the board from stopping or changing its generation."""
    server = start(model)
    server.wait_for(*READY)
    request = {"messages": [{"role": "user", "content": "Count."}], "stream": True, "ignore_eos": True}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        client.request("POST", "/v1/chat/completions", json.dumps(request), {"Content-Type": "application/json"})
        answer = client.getresponse()
        assert answer.readline().startswith(b"data: ")
        assert server.stop(signal.SIGTERM) == 0, server.said


def test_stops_with_a_client_that_stalls(start: Callable[..., Server], model: Path) -> None:
    """If this fails, a client that never ends its request holds up every stop for as long as the read timeout."""
    server = start(model)
    server.wait_for(*READY)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert server.stop(signal.SIGTERM) == 0, server.said


@pytest.mark.parametrize(
    "damage",
    [lambda whole: b"", lambda whole: whole[:200], lambda whole: whole[:-4096], lambda whole: b"GGUX" + whole[4:]],
    ids=["empty", "cut in the header", "cut in the weights", "no GGUF"],
)
def test_says_that_a_model_is_bad(
    start: Callable[..., Server], model: Path, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """If this fails, a bad model ends in a core dump that hides the reason, or in a container that never ends."""
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(damage(model.read_bytes()))
    server = start(bad)
    assert server.status() == 1, server.said
    assert f"failed to load model, '{bad}'" in server.said
    assert server.said.endswith("exiting due to model loading error\n")


def test_says_that_a_model_is_missing(start: Callable[..., Server], tmp_path: Path) -> None:
    """If this fails, a wrong path to the model looks like a crash of the server."""
    server = start(tmp_path / "missing.gguf")
    assert server.status() == 1, server.said
    assert server.said.endswith("exiting due to model loading error\n")
