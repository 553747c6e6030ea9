"""A model file is complete and right, or not there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.hosttools.pollex_host.errors import Exit
from tests.host.conftest import KEY, Host, model_manifest
from tests.host.web import answering

MB = 1 << 20
CONTENT = os.urandom(3 * MB)
PATH = f"store/{KEY}-model/small.gguf"


class Server:
    """One file over HTTP, with the faults of real servers."""

    def __init__(
        self, content: bytes, *, ranges: bool = True, cut: tuple[int, ...] = (), endless: bool = False
    ) -> None:
        """Ranges are served or not; each number in `cut` ends one more answer after that many bytes."""
        self.content = content
        self.ranges = ranges
        self.cut = list(cut)
        self.endless = endless
        self.asked: list[str | None] = []
        self.url = ""


@contextmanager
def serving(server: Server, secured: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Its URL, while it answers; with the certificate and key of a server by https."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
            body = server.content[start:]
            if start >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
            if not server.endless:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            stop = server.cut.pop(0) if server.cut else len(body)
            self.wfile.write(body[:stop])
            self.wfile.flush()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with answering(Handler, secured=secured) as url:
        yield f"{url}/small.gguf"


def part(host: Host, content: bytes) -> None:
    """What an earlier attempt left."""
    work = host.root / "build" / KEY
    work.mkdir(parents=True)
    (work / "part").write_bytes(content)


def test_a_model_is_downloaded(odd_host: Host) -> None:
    """There would be nothing to serve."""
    with serving(Server(CONTENT)) as url:
        answer = odd_host.json("ensure-model", stdin=model_manifest(CONTENT, [url]))
    assert (answer["how"], answer["key"], answer["name"]) == ("downloaded", KEY, "model")
    path = Path(answer["path"])
    assert (path / "small.gguf").read_bytes() == CONTENT
    assert (path / "small.gguf").stat().st_mode & 0o777 == 0o644
    subprocess.run(["sha256sum", "--check", "--quiet", ".sha256sums"], cwd=path, check=True)
    assert not (odd_host.root / "build" / KEY).exists()
    assert odd_host.json("ensure-model", KEY)["how"] == "present"


@pytest.mark.fault("model", "a part of the file has arrived", "the run is cut", "the next run asks for the rest alone")
def test_a_download_is_resumed(host: Host) -> None:
    """A gigabyte would be fetched from the start after every lost connection."""
    part(host, CONTENT[: 2 * MB])
    server = Server(CONTENT)
    with serving(server) as url:
        assert host.json("ensure-model", stdin=model_manifest(CONTENT, [url]))["how"] == "downloaded"
    assert server.asked == [f"bytes={2 * MB}-"]


@pytest.mark.fault("model", "none", "the connection is cut, twice", "one run is enough")
def test_a_connection_that_ends_is_taken_up_again(host: Host) -> None:
    """On a poor line one `up` would never be enough."""
    server = Server(CONTENT, cut=(MB, MB))
    with serving(server) as url:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, [url]))
    assert done.returncode == 0, done.stderr
    assert "the connection ended at 33% (1 of 3 MB); going on" in done.stderr
    assert server.asked[:2] == [None, f"bytes={MB}-"]


def test_a_server_without_ranges(host: Host) -> None:
    """A part would be kept that can never be completed."""
    part(host, CONTENT[:MB])
    with serving(Server(CONTENT, ranges=False)) as url:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, [url]))
    assert done.returncode == 0, done.stderr
    assert (host.root / PATH).read_bytes() == CONTENT


def test_a_part_that_was_complete(host: Host) -> None:
    """A run that was cut just before its check would ask for bytes beyond the end, for ever."""
    part(host, CONTENT)
    assert host.json("ensure-model", stdin=model_manifest(CONTENT, ["http://127.0.0.1:9/x"]))["how"] == "downloaded"


@pytest.mark.fault(
    "model", "what has arrived is rotten", "a mirror has the rest", "it is fetched anew, and no mirror is blamed"
)
def test_a_rotten_part_is_not_the_mirrors_fault(host: Host) -> None:
    """One bad sector in what had arrived would make every mirror look forged."""
    part(host, b"x" * MB)
    with serving(Server(CONTENT)) as url:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, [url]))
    assert done.returncode == 0, done.stderr
    assert "once more from the beginning" in done.stderr


def corrupted(content: bytes) -> bytes:
    """One bit differs."""
    return bytes([content[0] ^ 1]) + content[1:]


@pytest.mark.fault(
    "model", "none", "a mirror has other, fewer or more bytes", "refused with both values; nothing of it is kept"
)
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (corrupted, "has SHA-256 {got}, wanted {sha256}"),
        (lambda content: content[:MB], "has {length} bytes, wanted {size}"),
        (lambda content: content + b"more", "bytes, wanted {size}"),
    ],
)
def test_other_bytes_are_refused_by_both_values(host: Host, spoil: Callable[[bytes], bytes], says: str) -> None:
    """A cut or forged model would be loaded, and the server crash or lie."""
    served = spoil(CONTENT)
    with serving(Server(served, endless=True)) as url:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, [url]))
    assert (done.returncode, done.stdout) == (3, "")
    values = {
        "got": sha256(served).hexdigest(),
        "sha256": sha256(CONTENT).hexdigest(),
        "length": len(served),
        "size": len(CONTENT),
    }
    assert says.format(**values) in done.stderr
    assert "no mirror has the right small.gguf: correct pollex:model.sha256" in done.stderr
    assert not (host.root / PATH).exists()
    assert not (host.root / "build" / KEY / "part").exists()


class Trouble(BaseHTTPRequestHandler):
    """Mirrors in trouble, by path."""

    elsewhere = ""
    over: threading.Event

    def do_GET(self) -> None:
        """Hang, drip, send elsewhere or without end, or say sorry with status 200."""
        if self.path == "/hangs":
            self.over.wait()
            return
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", self.elsewhere)
            self.end_headers()
            return
        page = b"<html>Sorry, this file has moved.</html>"
        self.send_response(200)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(page) if self.path == "/sorry" else len(CONTENT)))
        self.end_headers()
        if self.path == "/sorry":
            self.wfile.write(page)
        while self.path in {"/drips", "/endless"} and not self.over.wait(0.1 if self.path == "/drips" else 0):
            try:
                self.wfile.write(b"x" if self.path == "/drips" else b"x" * MB)
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def in_trouble(elsewhere: str) -> Iterator[str]:
    """The address of such mirrors; one of them sends to `elsewhere`."""
    over = threading.Event()
    handler = type("Handler", (Trouble,), {"elsewhere": elsewhere, "over": over})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        over.set()
        http.shutdown()
        thread.join()


@pytest.mark.fault(
    "model",
    "none",
    "a mirror hangs, drips, sends elsewhere, answers 200 with a page, or without end",
    "the next one is asked",
)
@pytest.mark.parametrize("path", ["hangs", "drips", "elsewhere", "sorry", "endless"])
def test_a_mirror_in_trouble(host: Host, path: str) -> None:
    """If this fails, one mirror in trouble holds every deployment up for ever, or its page is served as a model."""
    host.environment["POLLEX_STALL"] = "1"
    with serving(Server(corrupted(CONTENT))) as wrong, serving(Server(CONTENT)) as right, in_trouble(wrong) as trouble:
        mirrors = [f"{trouble}/{path}", right]
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, mirrors))
    assert done.returncode == 0, done.stderr
    assert (host.root / PATH).read_bytes() == CONTENT
    assert mirrors[0] in done.stderr


@pytest.mark.fault("model", "none", "a mirror is away, another one lies", "the next one is asked")
def test_the_next_mirror_is_tried(host: Host) -> None:
    """One dead or wrong mirror would stop every deployment."""
    with serving(Server(corrupted(CONTENT))) as wrong, serving(Server(CONTENT)) as right:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, ["http://127.0.0.1:9/x", wrong, right]))
    assert done.returncode == 0, done.stderr
    assert (host.root / PATH).read_bytes() == CONTENT


@pytest.mark.fault("model", "a part of the file has arrived", "all mirrors are away", "said; the part is kept")
def test_no_mirror_at_all(host: Host) -> None:
    """A dead network would be told as a forged model, and what has arrived be thrown away."""
    part(host, CONTENT[:MB])
    done = host.run("ensure-model", stdin=model_manifest(CONTENT, ["http://127.0.0.1:9/x"]))
    assert done.returncode == 8
    assert "see pollex:model.mirrors" in done.stderr
    assert (host.root / "build" / KEY / "part").stat().st_size == MB


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_file_that_is_there_is_adopted(odd_host: Host, tmp_path: Path, mode: int) -> None:
    """A board that has the model already would download a gigabyte again."""
    there = tmp_path / "it's there.gguf"
    there.write_bytes(CONTENT)
    there.chmod(mode)
    answer = odd_host.json("ensure-model", stdin=model_manifest(CONTENT, [], adopt=str(there)))
    assert answer["how"] == "adopted"
    taken = odd_host.root / PATH
    assert taken.read_bytes() == there.read_bytes() == CONTENT
    # What others may not read cannot be served by name alone, so it is copied, and left as it was.
    assert taken.samefile(there) == (mode == 0o644)
    assert (taken.stat().st_mode & 0o777, there.stat().st_mode & 0o777) == (0o644, mode)


def test_another_file_is_not_adopted(host: Host, tmp_path: Path) -> None:
    """Whatever lies at the visible path would be served as the model."""
    there = tmp_path / "there.gguf"
    there.write_bytes(corrupted(CONTENT))
    with serving(Server(CONTENT)) as url:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, [url], adopt=str(there)))
    assert done.returncode == 0
    assert "not taken" in done.stderr
    assert (host.root / PATH).read_bytes() == CONTENT
    assert there.read_bytes() == corrupted(CONTENT)


@pytest.mark.fault("model", "a small disk", "too little space", "said before anything is fetched")
def test_no_space_is_said_before_anything_is_fetched(small_disk: Path) -> None:
    """The board's disk would be filled to the last byte, and everything else on it fail."""
    host = Host(small_disk)
    server = Server(CONTENT)
    with serving(server) as url:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, [url]))
    assert done.returncode == 6
    assert "small.gguf needs 4 MB more" in done.stderr
    assert "MB are free" in done.stderr
    assert server.asked == []


@pytest.mark.fault("model", "none", "two operators at once", "it is fetched once")
def test_two_at_once_download_once(host: Host) -> None:
    """Two laptops would write into one file, and both find it wrong."""
    server = Server(CONTENT, cut=(MB, MB, MB))
    with serving(server) as url:
        text = model_manifest(CONTENT, [url])
        command = [*host.command, "ensure-model"]
        runs = [
            subprocess.Popen(
                command,
                env=host.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        with ThreadPoolExecutor() as at_once:
            said = list(at_once.map(lambda run: run.communicate(text), runs))
    assert [run.returncode for run in runs] == [0, 0], said
    assert sum('"how":"downloaded"' in out for out, _ in said) == 1
    assert sum('"how":"present"' in out for out, _ in said) == 1
    assert server.asked.count(None) == 1


@pytest.mark.fault("model", "a download runs", "the run is killed", "nothing goes on running")
def test_a_stopped_download_leaves_nothing_running(host: Host) -> None:
    """After ^C a hidden curl would go on writing, and the next run find it in its way."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with subprocess.Popen(
            [*host.command, "ensure-model"],
            env=host.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stdin is not None
            run.stdin.write(model_manifest(CONTENT, [url]))
            run.stdin.close()
            connection, _ = silent.accept()
            run.terminate()
            assert run.wait() == 143
            while connection.recv(4096):
                pass
            connection.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [({"file": "../x"}, "file: '../x' is not a plain file name"), ({"size": "many"}, "size: 'many' is not a number")],
)
def test_a_bad_manifest(host: Host, change: dict[str, str], says: str) -> None:
    """A file would be written outside of the store."""
    done = host.run("ensure-model", stdin=model_manifest(CONTENT, [], **change))
    assert done.returncode == 2
    assert says in done.stderr


def test_space_is_not_asked_for_what_is_here(small_disk: Path) -> None:
    """A full disk would fail a deployment that changes nothing."""
    host = Host(small_disk)
    store = host.root / f"store/{KEY}-model"
    store.mkdir(parents=True)
    (store / "small.gguf").write_bytes(CONTENT)
    with (small_disk / "ballast").open("wb") as ballast:
        ballast.write(b"\0" * (shutil.disk_usage(small_disk).free - MB))
    assert host.json("ensure-model", stdin=model_manifest(CONTENT, []))["how"] == "present"


@pytest.mark.fault(
    "model", "none", "a certificate is refused, as with a clock three years back", "said, with the date of the host"
)
def test_the_reason_of_a_refused_certificate_is_told(host: Host, tmp_path: Path) -> None:
    """If this fails, a wrong clock shows as advice on web pages, and nobody knows what is wrong."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=127.0.0.1"
    subprocess.run([*request.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    with serving(Server(CONTENT), (cert, key)) as url:
        done = host.run("ensure-model", stdin=model_manifest(CONTENT, [url]))
    assert done.returncode == Exit.NO_MIRROR
    (line,) = [line for line in done.stderr.splitlines() if "cannot be used" in line]
    assert "curl: (60) SSL certificate problem: self" in line
    assert "this host's clock says" in line
