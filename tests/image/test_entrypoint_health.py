"""`entrypoint health`: what the image's HEALTHCHECK takes for healthy, with a made-up server and with a real one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sandbox import fetch, serving
from sandbox.minilm import model
from sandbox.serving import free_port, listens
from tests.image.entrypoint import (
    Container,
    container,
    first_process,
    gguf,
    kill_first_process,
    programs,  # noqa: F401 - a fixture
    refused,
    root,
    start,
)
from tests.service.conftest import answers
from tests.waiting import wait_until

GOOD = {"/health": (200, "{}"), "/metrics": (200, "llamacpp:requests_processing 0\n")}
TOKEN = {"/completion": (200, json.dumps({"content": "", "tokens_predicted": 1}))}
EMBEDDING = {"/v1/embeddings": (200, json.dumps({"data": [{"embedding": [0, 0.5]}]}))}
REFUSED = (501, json.dumps({"error": {"message": "This server does not support metrics endpoint."}}))
NEVER, COMPUTING = (0, ""), (-1, "")
"""Answers that never come, from a server that sleeps or computes."""

Answers = dict[str, tuple[int, str]]
Serve = Callable[..., Container]


@pytest.fixture
def serve(programs: Path, tmp_path: Path) -> Iterator[Serve]:  # noqa: F811 - the fixture of that name
    """`serve(answers, *args, architecture=…)`: a container whose made-up server answers like that."""
    image = root(tmp_path / "root", programs)

    def run(behaviour: Answers, *args: str, architecture: str = "llama", **variables: str) -> Container:
        metadata: dict[str, str | int] = {"pooling_type": 1} if architecture == "bert" else {}
        gguf(image / "models/m.gguf", architecture, **metadata)
        fake = json.dumps({path: {"Status": status, "Body": body} for path, (status, body) in behaviour.items()})
        port = free_port()
        environment = {"MODEL": "m", "FAKE": fake, "HTTP_PROXY": "x", **variables}
        started = running.enter_context(container(image, "--port", str(port), *args, variables=environment))
        if "listen" not in behaviour:
            wait_until(lambda: listens(inner_port(started)), what="the server")
        return started

    with ExitStack() as running:
        yield run


def inner_port(container: Container) -> int:
    """Where the server listens, behind the program in front of it; 0 until it is started."""
    words = Path(f"/proc/{container.pid}/cmdline").read_text().split("\0")
    return int(words[-2]) if words[0].endswith("llama-server") else 0


def asked(container: Container) -> list[str]:
    """Stop a container; the requests that its made-up server got."""
    return container.kill().splitlines()


@pytest.mark.parametrize(
    ("behaviour", "status", "says"),
    [
        (GOOD | TOKEN, 0, "healthy: it answers with a token"),
        (GOOD | TOKEN | {"/metrics": REFUSED}, 0, "healthy: it answers with a token"),
        ({}, 1, 'unhealthy: /health answers 404: ""'),
        (
            {"/health": (503, json.dumps({"error": {"message": "Loading model"}}))},
            1,
            "unhealthy: /health answers 503: Loading model",
        ),
        (GOOD | {"/completion": (500, "out of luck")}, 1, 'unhealthy: /completion answers 500: "out of luck"'),
        (GOOD | {"/completion": (200, "{}")}, 1, "unhealthy: it was asked for a token and answered"),
        (GOOD | TOKEN | {"/metrics": (500, "")}, 1, "unhealthy: /metrics answers 500"),
    ],
)
def test_chat(serve: Serve, behaviour: Answers, status: int, says: str) -> None:
    """If this fails, a chat server that gives no token counts as healthy, or one that does as ill."""
    done = serve(behaviour).health()
    assert done.stdout.startswith(says), done.stdout
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (status, 1, "")


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (EMBEDDING["/v1/embeddings"], 0, "healthy: it answers with 2 dimensions"),
        ((200, json.dumps({"data": [{"embedding": [0, 0]}]})), 1, "unhealthy: it was asked for an embedding"),
        ((200, json.dumps({"data": [{"embedding": [None]}]})), 1, "unhealthy: it was asked for an embedding"),
        ((200, json.dumps({"data": []})), 1, "unhealthy: it was asked for an embedding"),
        (
            (400, json.dumps({"error": {"message": "Pooling type 'none'"}})),
            1,
            "unhealthy: /v1/embeddings answers 400: P",
        ),
    ],
)
def test_embeddings(serve: Serve, answer: tuple[int, str], status: int, says: str) -> None:
    """If this fails, an embeddings server that gives no or empty vectors counts as healthy."""
    done = serve(GOOD | {"/v1/embeddings": answer}, architecture="bert").health()
    assert done.stdout.startswith(says), done.stdout
    assert done.returncode == status


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_busy(serve: Serve, architecture: str) -> None:
    """If this fails, a container that works is restarted, or the check waits in the queue behind its users."""
    running = serve(GOOD | {"/metrics": (200, "llamacpp:requests_processing 1\n")}, architecture=architecture)
    assert running.health().stdout == "healthy: it is busy, 1 in progress\n"
    assert [line.split()[1] for line in asked(running)] == ["/health", "/metrics"]


@pytest.mark.parametrize("silent", ["/health", "/metrics", "/completion"])
def test_hung(serve: Serve, silent: str) -> None:
    """If this fails, a server that hangs is never restarted, or the check hangs with it."""
    running = serve(GOOD | TOKEN | {silent: NEVER})
    started = time.monotonic()
    done = running.health("2")
    assert (done.returncode, done.stdout) == (1, "unhealthy: no answer within 2s\n")
    assert time.monotonic() - started >= 2


@pytest.mark.parametrize("silent", ["/health", "/metrics", "/completion"])
def test_computing(serve: Serve, silent: str) -> None:
    """If this fails, a slow board that evaluates a long prompt, and answers nobody meanwhile, is restarted."""
    done = serve(GOOD | TOKEN | {silent: COMPUTING}).health("2")
    assert (done.returncode, done.stdout) == (0, "healthy: it is busy\n")


def test_a_prompt_that_is_worth_keeping(serve: Serve) -> None:
    """If this fails, every check pushes the last user's prompt out of the cache, and the next request waits for it."""
    figures = {"requests_processing": 0, "tokens_predicted_total": 3, "n_tokens_max": 300}
    metrics = "".join(f"llamacpp:{name} {value}\n" for name, value in figures.items())
    running = serve(GOOD | {"/metrics": (200, metrics)})
    assert running.health().stdout == "healthy: it has answered before, and is idle\n"


def test_a_key(serve: Serve) -> None:
    """If this fails, a server that asks its clients for a key is never healthy."""
    running = serve(GOOD | TOKEN, "--api-key", "k3y")
    assert running.health().returncode == 0
    assert [line.split()[2:4] for line in asked(running)] == [["Bearer", "k3y"]] * 3


def test_nobody_there(programs: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture of that name
    """If this fails, a container that still downloads its model counts as healthy, or one with another's server."""
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", str(programs / "entrypoint"), "health"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (
        1,
        "unhealthy: no llama-server runs here: the model may still be on its way\n",
    )


def test_nobody_answers(serve: Serve) -> None:
    """If this fails, a server that has not opened its port yet counts as healthy."""
    running = serve({"listen": NEVER})
    wait_until(lambda: inner_port(running) > 0, what="the server")
    done = running.health()
    assert done.returncode == 1
    assert done.stdout.endswith("connect: connection refused\n")


def test_nobody_in_front(serve: Serve) -> None:
    """If this fails, a container that none of its clients can reach counts as healthy."""
    running = serve(GOOD | TOKEN)
    assert running.health().returncode == 0
    for front in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split():
        os.kill(int(front), signal.SIGKILL)
    done = running.health()
    assert done.stdout.startswith("unhealthy: the program in front of llama-server: ")
    assert done.returncode == 1


@pytest.mark.parametrize("given", ["0", "-1", "soon", "1 2"])
def test_usage(programs: Path, given: str) -> None:  # noqa: F811 - the fixture of that name
    """If this fails, a typing error in a HEALTHCHECK counts as healthy."""
    command = [str(programs / "entrypoint"), "health", *given.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "usage: entrypoint health [SECONDS]\n")


class Real:
    """A real llama-server as process 1 of its own, started by the entrypoint."""

    def __init__(self, folder: Path, name: str, *args: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._program = str(folder / "entrypoint")
        alone = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
        environment = {"PATH": os.environ["PATH"], "MODEL": name, "MODELS_DIR": str(folder / "models")}
        command = [*alone, self._program, "--port", str(self.port), "--threads", "1", *args]
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)

    @property
    def pid(self) -> int:
        """Of llama-server, as seen from here."""
        return first_process(self.process.pid)

    def ready(self) -> None:
        """Return when the model is loaded."""
        wait_until(lambda: answers(f"{self.url}/health"), what="llama-server")

    def health(self, seconds: int = 8) -> str:
        """What the check says; its status has to agree."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid"]
        command = [*inside, self._program, "health", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=serving.NEVER, check=False)
        assert done.stdout.startswith("healthy:") == (done.returncode == 0)
        return done.stdout

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """What it answers."""
        answer: dict[str, Any] = httpx.post(self.url + path, json=body, timeout=60).raise_for_status().json()
        return answer


@pytest.fixture
def real(programs: Path, shipped: Path, tmp_path: Path) -> Callable[..., Any]:  # noqa: F811 - the fixture of that name
    """`real(model, *args)`: a context manager; the models are `chat` and `all-minilm`."""
    for name in ("entrypoint", "llama-server"):
        shutil.copy(programs / "entrypoint" if name == "entrypoint" else shipped, tmp_path / name)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/chat.gguf").symlink_to(fetch.fetch(fetch.MODEL))

    @contextmanager
    def run(name: str, *args: str, port: int = 0) -> Iterator[Real]:
        if name == "all-minilm":
            (tmp_path / "models/all-minilm.gguf").symlink_to(model("F16"))
        server = Real(tmp_path, name, *args, port=port)
        try:
            yield server
        finally:
            kill_first_process(server.process)
            server.process.wait()
            server.log.close()

    return run


def test_a_real_chat_server(real: Callable[..., Any]) -> None:
    """If this fails, the image's chat server is not what its own check believes, from loading to hanging."""
    with real("chat") as server:
        wait_until(lambda: answers(f"{server.url}/health", 503) or answers(f"{server.url}/health"))
        server.ready()
        assert server.health() == "healthy: it answers with a token\n"
        assert server.post("/completion", prompt="Hello", n_predict=2)["tokens_predicted"] == 2
        os.kill(server.pid, signal.SIGSTOP)
        assert server.health(2) == "unhealthy: no answer within 2s\n"
        os.kill(server.pid, signal.SIGCONT)
        assert server.health() == "healthy: it answers with a token\n"
        os.kill(server.pid, signal.SIGTERM)
        assert server.process.wait(serving.NEVER) == 0


def test_a_real_embeddings_server(real: Callable[..., Any]) -> None:
    """If this fails, an embeddings server is not healthy, or has another mode than its model's file asks for."""
    with real("all-minilm", "--parallel", "4") as server:
        server.ready()
        for _ in range(5):
            assert server.health() == "healthy: it answers with 384 dimensions\n"
        found = server.post("/v1/embeddings", input=["a", "b", "a longer text"])
        assert [len(one["embedding"]) for one in found["data"]] == [384] * 3
        listed = httpx.get(f"{server.url}/v1/models", timeout=60).json()
        assert [one["id"] for one in listed["data"]] == ["all-minilm"]


def test_a_real_busy_server(real: Callable[..., Any]) -> None:
    """If this fails, a container is restarted in the middle of its longest answer."""
    with real("chat", "--ctx-size", "8192") as server:
        server.ready()
        stop = threading.Event()

        def write() -> None:
            body = {"prompt": "Once", "n_predict": 8000, "ignore_eos": True, "stream": True}
            with httpx.stream("POST", f"{server.url}/completion", json=body, timeout=60) as answer:
                for _ in answer.iter_lines():
                    if stop.is_set():
                        return

        writer = threading.Thread(target=write)
        writer.start()
        wait_until(lambda: "requests_processing 1" in httpx.get(f"{server.url}/metrics", timeout=60).text)
        assert server.health() == "healthy: it is busy, 1 in progress\n"
        stop.set()
        writer.join()
        wait_until(lambda: "requests_processing 0" in httpx.get(f"{server.url}/metrics", timeout=60).text)


def test_a_real_server_that_evaluates_a_long_prompt(real: Callable[..., Any]) -> None:
    """If this fails, a slow board that is given a long text is restarted before it has read it."""
    with real("chat", "--ctx-size", "8192", "--batch-size", "8192", "--ubatch-size", "8192") as server:
        server.ready()
        body = json.dumps({"prompt": "word " * 6000, "n_predict": 1})
        process = psutil.Process(server.pid)
        before = process.cpu_times().user
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = f"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(f"{head}{body}".encode())
            wait_until(lambda: process.cpu_times().user > before + 0.5, what="the long prompt")
            assert server.health(2).startswith("healthy: it is busy")


def test_a_real_prompt_is_kept(real: Callable[..., Any]) -> None:
    """If this fails, a request waits for the whole prompt again that the server had read before the last check."""
    with real("chat") as server:
        server.ready()
        prompt = "You correct texts, and you change nothing but mistakes. " * 10
        first = server.post("/completion", prompt=prompt, n_predict=1)
        assert server.health() == "healthy: it has answered before, and is idle\n"
        second = server.post("/completion", prompt=prompt, n_predict=1)
        assert first["timings"]["prompt_n"] > 100
        assert second["timings"]["prompt_n"] == 1


def test_a_real_server_on_a_port_that_is_taken(real: Callable[..., Any], tmp_path: Path) -> None:
    """If this fails, two servers share a port without a word, or none can be started again where one just was."""
    port = free_port()
    variables = {"MODEL": "chat", "MODELS_DIR": str(tmp_path / "models"), "LLAMA_ARG_PORT": str(port)}
    for _ in range(2):
        with real("chat", port=port) as server:
            server.ready()
            refused(start(tmp_path, variables=variables), 1, f"0.0.0.0:{port} is taken by another program")
            # Who ends a connection is left with its port for a minute.
            assert httpx.get(f"{server.url}/health", headers={"Connection": "close"}, timeout=60).is_success
        wait_until(lambda: not listens(port), what="its end")
