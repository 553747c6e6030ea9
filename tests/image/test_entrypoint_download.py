"""The entrypoint downloads a model, goes on where it was cut off, and trusts nothing but the hash."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.serving import NEVER, free_port
from tests.image.entrypoint import (
    Container,
    Ended,
    container,
    ended,
    gguf,
    programs,  # noqa: F401 - a fixture
    refused,
    root,
    start,
)
from tests.waiting import read_until, wait_until

MEGABYTE = 1 << 20


@dataclass
class Origin:
    """A server of one file, which behaves as a test says."""

    content: bytes
    ranges: bool = True
    """Whether it can send a part."""
    announces: bool = True
    """Whether it says how long its answer is."""
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which the next answers end early."""
    first_statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    goes_on: threading.Event = field(default_factory=threading.Event)
    """What it waits for after `first_bytes`."""
    first_bytes: int = 0
    """How much it sends at once, where it waits; 0 is all."""
    asked: list[str] = field(default_factory=list)
    """The Range of each request."""
    url: str = ""

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        asked = handler.headers.get("Range", "")
        self.asked.append(asked)
        if self.first_statuses:
            handler.send_error(self.first_statuses.pop(0))
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if first >= len(self.content):
            handler.send_error(416)
            return
        body = self.content[first:]
        handler.send_response(206 if first else 200)
        if first:
            handler.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        if self.announces:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            self.send(handler, body[: self.cut_after.pop(0)] if self.cut_after else body)
        except OSError:
            return  # whoever asked has gone

    def send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Write a body, all at once or as far as it goes before it waits."""
        if first := self.first_bytes:
            handler.wfile.write(body[:first])
            handler.wfile.flush()
            self.goes_on.wait(NEVER)
            body = body[first:]
        handler.wfile.write(body)


@dataclass
class Hub:
    """Hugging Face's hub as Ollama asks it: a manifest names a blob, which lies at another address."""

    content: bytes
    token: str = ""
    elsewhere: str = ""
    """Where blobs are, when not here."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Authorization of each request."""

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        authorization = handler.headers.get("Authorization", "")
        self.asked.append((handler.path, authorization))
        layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{self.sha256}"}
        manifest = json.dumps({"layers": [{**layer, "size": len(self.content)}]}).encode()
        blob = f"/v2/u/m/blobs/sha256:{self.sha256}"
        answers = {"/v2/u/m/manifests/Q8_0": manifest, blob: self.content}
        if handler.path.startswith("/signed/"):
            answers[handler.path] = self.content
        status, body = 200, answers.get(handler.path, b'{"error": "not a valid quantization"}')
        if self.token and authorization != f"Bearer {self.token}":
            status, body = 401, b'{"error": "Invalid username or password."}'
        elif handler.path not in answers:
            status = 400
        elif handler.path == blob and self.elsewhere:
            status, body = 307, b""
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        if status == 307:
            handler.send_header("Location", f"{self.elsewhere}/signed{handler.path}")
        handler.end_headers()
        handler.wfile.write(body)


@contextmanager
def serving(origin: Origin | Hub, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Let an origin answer; the port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            origin.answer(self)

        def log_message(self, *values: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    """A model of a megabyte, to be had over HTTP."""
    head = gguf(tmp_path / "made", "bert", pooling_type=2, context_length=512, embedding_length=8).read_bytes()
    made = Origin(head + random.Random(0).randbytes(MEGABYTE))
    with serving(made) as port:
        made.url = f"http://127.0.0.1:{port}/small%20model.Q8_0.gguf?token=secret"
        yield made
        made.goes_on.set()


@dataclass
class Downloads:
    """The entrypoint with a folder to download to."""

    programs: Path
    folder: Path
    origin: Origin

    def begin(self, **variables: str) -> Ended:
        """Start it to its end."""
        return start(self.programs, variables={**self.variables, **variables})

    @property
    def variables(self) -> dict[str, str]:
        """What asks for the origin's file."""
        asks = {"MODEL": self.origin.url, "MODEL_SHA256": self.origin.sha256}
        return {**asks, "MODELS_DIR": str(self.folder), "LLAMA_ARG_PORT": str(free_port())}

    @property
    def file(self) -> Path:
        """Where the model is expected."""
        return self.folder / f"{self.origin.sha256}-small_model.Q8_0.gguf"

    @property
    def part(self) -> Path:
        """Where what has arrived of it is."""
        return self.folder / f".{self.file.name}.part"

    def arrived(self, end: Ended) -> None:
        """Check that the server was started with the right file, and that nothing else is left."""
        assert end.status == 0, end.said
        assert end.option("--model") == str(self.file)
        assert end.option("--alias") == "small_model.Q8_0"
        assert end.option("--pooling") == "cls"
        assert self.file.read_bytes() == self.origin.content
        assert list(self.folder.iterdir()) == [self.file]


@pytest.fixture
def downloads(programs: Path, tmp_path: Path, origin: Origin) -> Downloads:  # noqa: F811 - the fixture of that name
    """An empty folder, and the origin."""
    folder = tmp_path / "models"
    folder.mkdir()
    return Downloads(programs, folder, origin)


def test_a_download(downloads: Downloads) -> None:
    """If this fails, a model cannot be had from a URL, is fetched at every start, or its URL's token is in the log."""
    end = downloads.begin()
    downloads.arrived(end)
    assert "100%" not in end.said
    assert "0% (0 of 1 MB)" in end.said
    assert "secret" not in end.said
    downloads.arrived(downloads.begin())
    assert downloads.origin.asked == [""]


def test_a_read_only_volume_with_the_model_on_it(downloads: Downloads, tmp_path: Path) -> None:
    """If this fails, a volume that one container filled cannot be mounted read-only by the next."""
    downloads.arrived(downloads.begin())
    image = root(tmp_path / "root", downloads.programs)
    downloads.file.rename(image / "models" / downloads.file.name)
    with container(image, variables={**downloads.variables, "MODELS_DIR": "/models"}) as started:
        end = started.end()
    assert end.server is not None, end.said
    assert downloads.origin.asked == [""]


def test_a_connection_that_is_cut(downloads: Downloads) -> None:
    """If this fails, a download over a bad connection starts again from nothing each time."""
    downloads.origin.cut_after = [300_000, 400_000]
    downloads.arrived(downloads.begin())
    assert downloads.origin.asked == ["", "bytes=300000-", "bytes=700000-"]


def test_a_start_that_was_killed(downloads: Downloads) -> None:
    """If this fails, a container that is killed while it downloads has done it for nothing."""
    downloads.origin.first_bytes = 64 * 1024
    with running(downloads) as process:
        wait_until(lambda: downloads.part.exists() and downloads.part.stat().st_size > 0)
        process.kill()
    have = downloads.part.stat().st_size
    assert 0 < have < len(downloads.origin.content)
    downloads.origin.first_bytes = 0
    downloads.arrived(downloads.begin())
    assert downloads.origin.asked[1:] == [f"bytes={have}-"]


def test_a_stop(downloads: Downloads, tmp_path: Path) -> None:
    """If this fails, a container that downloads does not stop when it is told to, or ends as failed."""
    downloads.origin.first_bytes = 64 * 1024
    image = root(tmp_path / "root", downloads.programs)
    (image / "models").chmod(0o777)
    with container(image, variables={**downloads.variables, "MODELS_DIR": "/models"}, volume="rw") as stopping:
        part = image / "models" / downloads.part.name
        wait_until(lambda: part.exists() and part.stat().st_size > 0)
        stop(stopping)
        end = stopping.end()
    assert (end.status, end.server) == (0, None), end.said
    assert end.said.endswith("entrypoint: stopped before llama-server was started\n")
    assert part.stat().st_size > 0


def stop(running: Container) -> None:
    """Send SIGTERM to process 1 as a container engine does."""
    os.kill(running.pid, 15)


def running(downloads: Downloads) -> subprocess.Popen[str]:
    """The entrypoint, which downloads; for a `with` block."""
    pipe, command = subprocess.PIPE, [str(downloads.programs / "entrypoint")]
    return subprocess.Popen(command, env=downloads.variables, stdout=pipe, stderr=pipe, text=True)


def test_two_at_once(downloads: Downloads) -> None:
    """If this fails, two containers on one volume write into each other's file."""
    downloads.origin.first_bytes = 64 * 1024
    with running(downloads) as first:
        wait_until(lambda: downloads.part.exists() and downloads.part.stat().st_size > 0)
        with running(downloads) as second:
            said = read_until(re.escape(f"another container is downloading {downloads.file}: waiting"), second.stderr)
            downloads.origin.goes_on.set()
            out, rest = second.communicate()
        first.communicate()
    assert first.returncode == 0
    downloads.arrived(ended(second.returncode, out, "".join([*said, rest])))
    assert downloads.origin.asked == [""]


def test_a_server_that_cannot_resume(downloads: Downloads) -> None:
    """If this fails, a part is followed by the whole file."""
    downloads.origin.ranges = False
    downloads.part.write_bytes(downloads.origin.content[:1000])
    downloads.arrived(downloads.begin())


def test_a_server_that_does_not_say_how_long_it_is(downloads: Downloads) -> None:
    """If this fails, files behind some proxies cannot be downloaded."""
    downloads.origin.announces = False
    downloads.arrived(downloads.begin())


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * 2 * MEGABYTE], ids=["shorter", "longer"])
def test_leftovers_of_something_else(downloads: Downloads, left: bytes) -> None:
    """If this fails, a damaged rest on the disk stops every further start."""
    downloads.part.write_bytes(left)
    end = downloads.begin()
    downloads.arrived(end)
    assert "once more from the beginning" in end.said


def test_what_had_arrived_completely(downloads: Downloads) -> None:
    """If this fails, a start that was killed at the last moment makes the next one fetch everything again."""
    downloads.part.write_bytes(downloads.origin.content)
    downloads.arrived(downloads.begin())
    assert downloads.origin.asked == [f"bytes={len(downloads.origin.content)}-"]


def test_other_bytes(downloads: Downloads) -> None:
    """If this fails, a model that somebody exchanged is loaded."""
    wanted = "0" * 64
    end = downloads.begin(MODEL_SHA256=wanted)
    assert (end.status, end.server) == (3, None)
    last = end.said.splitlines()[-1]
    assert f"has SHA-256 {downloads.origin.sha256}" in last
    assert f"MODEL_SHA256 says {wanted}" in last
    assert list(downloads.folder.iterdir()) == []
    assert downloads.origin.asked == [""]


def test_a_file_that_is_no_model(downloads: Downloads) -> None:
    """If this fails, a page that was downloaded in place of a model ends in the server's log."""
    downloads.origin.content = b"<!doctype html>"
    end = downloads.begin()
    assert (end.status, end.server) == (3, None)
    assert "is not a GGUF file" in end.said.splitlines()[-1]


def test_a_server_that_refuses(downloads: Downloads) -> None:
    """If this fails, a wrong URL is tried for ever, or its reason is not told."""
    downloads.origin.first_statuses = [404]
    refused(downloads.begin(), 8, "/small model.Q8_0.gguf answers 404 Not Found")
    assert list(downloads.folder.iterdir()) == []


def test_a_server_in_trouble(downloads: Downloads) -> None:
    """If this fails, one bad moment of a server ends the start."""
    downloads.origin.first_statuses = [503, 429]
    end = downloads.begin()
    downloads.arrived(end)
    assert "answers 503 Service Unavailable: going on" in end.said


def test_a_server_that_is_not_there(downloads: Downloads) -> None:
    """If this fails, an unreachable server is waited for without end, or what has arrived is thrown away."""
    downloads.part.write_bytes(downloads.origin.content[:1000])
    downloads.origin.url = f"http://127.0.0.1:{free_port()}/small%20model.Q8_0.gguf"
    end = downloads.begin()
    assert (end.status, end.server) == (8, None)
    assert "connection refused (what has arrived is kept for the next start)" in end.said.splitlines()[-1]
    assert downloads.part.read_bytes() == downloads.origin.content[:1000]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MODEL": "http://"}, "MODEL=http:// is not a URL with a host"),
        ({"MODEL": "https:///x.gguf"}, "is not a URL with a host"),
        ({"MODEL": "http://host:port/x"}, "is not a URL with a host"),
        ({"MODEL_SHA256": ""}, "MODEL_SHA256 is not set"),
        ({"MODEL_SHA256": "abc"}, "MODEL_SHA256=abc is not 64 hex digits"),
        ({"MODELS_DIR": "/proc/nothing"}, "cannot write to /proc/nothing (no such file or directory)"),
        ({"MODEL_CACHE": "/proc/self"}, "cannot write to /proc/self"),
    ],
)
def test_requests_that_cannot_be(downloads: Downloads, variables: dict[str, str], words: str) -> None:
    """If this fails, a wrong setting shows as a failed download."""
    refused(downloads.begin(**variables), 2, words)
    assert downloads.origin.asked == []


def test_a_volume_that_may_not_be_written(downloads: Downloads, tmp_path: Path) -> None:
    """If this fails, a read-only volume looks like a failed download."""
    image = root(tmp_path / "root", downloads.programs)
    with container(image, variables={**downloads.variables, "MODELS_DIR": "/models"}) as started:
        refused(started.end(), 2, "user 65532 cannot write to /models (read-only file system)", "or set MODEL_CACHE")


@pytest.mark.parametrize("announces", [True, False], ids=["announced", "not announced"])
def test_a_disk_that_is_full(downloads: Downloads, announces: bool) -> None:  # noqa: FBT001 - pytest gives it by name
    """If this fails, a model that does not fit fills the disk, or ends in an error that does not say so."""
    downloads.origin.announces = announces
    small = f"mount -t tmpfs -o size=500k tmpfs {downloads.folder} && exec {downloads.programs / 'entrypoint'}"
    command = ["unshare", "--mount", "sh", "-c", small]
    environment = {"PATH": os.environ["PATH"], **downloads.variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=NEVER, check=False)
    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.endswith("make room there, or set MODEL_CACHE")
    assert ("9 MB are needed" if announces else f"{downloads.folder} is full") in said


def test_https(downloads: Downloads, tmp_path: Path) -> None:
    """If this fails, models cannot be had from where they are published."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    with serving(downloads.origin, context) as port:
        downloads.origin.url = f"https://localhost:{port}/small%20model.Q8_0.gguf"
        end = downloads.begin(SSL_CERT_FILE=str(tmp_path / "cert"))
    downloads.arrived(end)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Hub, Hub, dict[str, str]]]:
    """A hub, the storage that it leads to, and the variables of a container that asks it."""
    content = gguf(tmp_path / "made", "bert", pooling_type=2, context_length=512, embedding_length=8).read_bytes()
    storage, first = Hub(content), Hub(content, token="hf_secret")
    with serving(storage) as behind, serving(first) as port:
        first.elsewhere = f"http://localhost:{behind}"
        folder = tmp_path / "cache"
        folder.mkdir()
        variables = {"MODEL": "hf.co/u/m:Q8_0", "MODELS_DIR": str(folder), "HF_TOKEN": first.token}
        yield first, storage, {**variables, "HF_ENDPOINT": f"http://127.0.0.1:{port}/"}


def test_a_file_of_the_hub(programs: Path, hub: tuple[Hub, Hub, dict[str, str]]) -> None:  # noqa: F811 - the fixture
    """If this fails, a model of Hugging Face has to be fetched by hand, or is another one after a restart."""
    first, storage, variables = hub
    end = start(programs, variables=variables)
    assert end.status == 0, end.said
    assert f"pinned: from now on it is SHA-256 {first.sha256} here" in end.said
    assert first.token not in end.said
    blob = Path(variables["MODELS_DIR"]) / f"blobs/sha256-{first.sha256}"
    assert (end.option("--model"), end.option("--alias")) == (str(blob), "hf.co/u/m:Q8_0")
    assert [path for path, _ in first.asked] == ["/v2/u/m/manifests/Q8_0", f"/v2/u/m/blobs/sha256:{first.sha256}"]
    assert storage.asked == [(f"/signed/v2/u/m/blobs/sha256:{first.sha256}", "")]  # another host gets no token
    asked = len(first.asked)
    again = start(programs, variables={**variables, "MODEL": "huggingface.co/u/m:Q8_0"})
    assert again.option("--model") == str(blob)
    assert "pinned" not in again.said
    assert len(first.asked) == asked  # what it was on first use, it stays


def test_a_file_that_the_hub_does_not_give(
    programs: Path,  # noqa: F811 - the fixture of that name
    hub: tuple[Hub, Hub, dict[str, str]],
) -> None:
    """If this fails, a missing token, a misspelt quantisation and another file than was pinned all look the same."""
    first, _, variables = hub
    for change, status, words in (
        ({"HF_TOKEN": ""}, 8, "refuses hf.co/u/m:Q8_0 (401 Unauthorized: Invalid username or password.): set HF_TOKEN"),
        ({"HF_TOKEN": "other"}, 8, "HF_TOKEN may not read it"),
        ({"MODEL": "hf.co/u/m:Q9"}, 4, "has no hf.co/u/m:Q9 (400 Bad Request: not a valid quantization)"),
        ({"MODEL_SHA256": "0" * 64}, 3, f"has SHA-256 {first.sha256} on 127.0.0.1"),
        ({"HF_ENDPOINT": "http://127.0.0.1:1"}, 8, "127.0.0.1:1 cannot be reached for hf.co/u/m:Q8_0"),
    ):
        refused(start(programs, variables={**variables, **change}), status, words)
    assert not list(Path(variables["MODELS_DIR"]).rglob("*"))


def test_another_file_than_the_hub_announced(
    programs: Path,  # noqa: F811 - the fixture of that name
    hub: tuple[Hub, Hub, dict[str, str]],
) -> None:
    """If this fails, whoever stands between here and the hub's storage decides what is served."""
    _, storage, variables = hub
    storage.content = storage.content[:-1] + b"x"
    end = start(programs, variables=variables)
    assert (end.status, end.server) == (3, None), end.said
    assert "its manifest there says" in end.said
