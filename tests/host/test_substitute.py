"""What a cache has is taken if its signature is right; everything else is said, costs seconds, and is made instead."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from infra.core import signing
from infra.hosttools.pollex_host import entry
from infra.hosttools.pollex_host.entry import Entry
from infra.hosttools.pollex_host.manifest import Substituter
from sandbox import mirror
from sandbox.mirror import Mirror
from sandbox.serving import NEVER
from tests.host.conftest import NAME as BUILD
from tests.host.conftest import Host, Project
from tests.host.test_bundle import ARCHIVE, FILES, ITEM, KEY, archive, content, receive, received, text
from tests.host.test_files import equipped

OURS: Final = signing.new_key()
THEIRS: Final = signing.new_key()
NAME: Final = "polish"


def patient(folder: Path) -> Host:
    """A host that waits for its caches, however busy this machine is."""
    made = equipped(folder / "host")
    made.environment["POLLEX_CACHE_PATIENCE"] = str(int(NEVER))
    return made


def kept(folder: Path) -> Path:
    """A folder as `publish` leaves it: the bundle, signed by us."""
    made = folder / "cache"
    made.mkdir()
    (made / ARCHIVE).write_bytes(archive())
    mirror.vouch(made / ARCHIVE, OURS, "bundle")
    return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """As `patient`."""
    return patient(tmp_path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """As `kept`."""
    return kept(tmp_path)


def at(url: str, key: str = OURS) -> Substituter:
    """A cache, and whose signature is believed there."""
    return Substituter(url, signing.public_key(key))


def resign(cache: Path, by: str = OURS, **changes: str | int) -> None:
    """Sign another entry, as somebody who has a key may."""
    said = json.loads((cache / f"{ITEM}.json").read_text()) | changes
    for suffix, written in signing.vouched(Entry(**said), by).items():
        (cache / f"{ITEM}{suffix}").write_bytes(written)


def test_what_is_signed_is_taken_and_stays(host: Host, cache: Path) -> None:
    """A board in the field could not be mended, because its first deployment was made at home."""
    with Mirror(cache) as served:
        done = host.run("ensure-bundle", stdin=text(at("http://127.0.0.1:9"), at(f"{served.url}/")))
    assert done.returncode == 0, done.stderr
    assert '"how":"substituted"' in done.stdout
    assert f"not from http://127.0.0.1:9/{ARCHIVE}: curl: (7)" in done.stderr
    assert content(host) == FILES
    shutil.rmtree(host.root / "store" / ITEM)
    assert host.json("ensure-bundle", KEY)["how"] == "restored"
    assert content(host) == FILES


def test_a_folder_of_the_host_is_a_cache_too(host: Host, cache: Path) -> None:
    """What was carried there on a stick would have to be served first."""
    nowhere = host.run("ensure-bundle", stdin=text(at(f"file://{cache}/none")))
    assert nowhere.returncode == 10
    assert f"no finished build at file://{cache}/none" in nowhere.stderr
    assert host.json("ensure-bundle", stdin=text(at(f"file://{cache}")))["how"] == "substituted"


def altered(cache: Path) -> None:
    """A byte of the entry."""
    said = (cache / f"{ITEM}.json").read_text()
    (cache / f"{ITEM}.json").write_text(said.replace('"size": ', '"size":  '))


def truncated(cache: Path) -> None:
    """The archive, cut."""
    (cache / ARCHIVE).write_bytes((cache / ARCHIVE).read_bytes()[:-1])


def longer(cache: Path) -> None:
    """The archive, with more behind it."""
    (cache / ARCHIVE).write_bytes((cache / ARCHIVE).read_bytes() + b"x")


def other_bytes(cache: Path) -> None:
    """An archive of the same size."""
    whole = (cache / ARCHIVE).read_bytes()
    (cache / ARCHIVE).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def cut_signature(cache: Path) -> None:
    """Half a signature."""
    (cache / f"{ITEM}.json.sig").write_bytes((cache / f"{ITEM}.json.sig").read_bytes()[:20])


def error_page(cache: Path) -> None:
    """What a proxy answers with 200."""
    (cache / f"{ITEM}.json").write_text("<html>please log in</html>")


NOT_SIGNED: Final = "it is not signed by the key that the declaration names"
WRONG: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "altered entry": (altered, NOT_SIGNED),
    "empty entry": (lambda cache: (cache / f"{ITEM}.json").write_text(""), NOT_SIGNED),
    "empty signature": (lambda cache: (cache / f"{ITEM}.json.sig").write_bytes(b""), NOT_SIGNED),
    "cut signature": (cut_signature, NOT_SIGNED),
    "an error page": (error_page, NOT_SIGNED),
    "an endless entry": (lambda cache: (cache / f"{ITEM}.json").write_text("x" * 100_000), "curl: ("),
    "another's key": (lambda cache: resign(cache, THEIRS), NOT_SIGNED),
    "another name": (lambda cache: resign(cache, name="polisher"), "the entry is one of another name, 'polisher'"),
    "another kind": (lambda cache: resign(cache, kind="build"), "the entry is one of another kind, 'build'"),
    "another derivation": (lambda cache: resign(cache, key="f" * 32), "the entry is one of another key, 'ffffff"),
    "no hash": (lambda cache: resign(cache, sha256="none"), "the entry sha256: 'none' is not 64 hex digits"),
    "truncated archive": (truncated, "bytes, and its entry says"),
    "longer archive": (longer, "curl: ("),
    "other bytes": (other_bytes, "its SHA-256 is"),
    "lost archive": (lambda cache: (cache / ARCHIVE).unlink(), "there is an entry, and no archive"),
}


@pytest.mark.fault(
    "cache",
    "none",
    "entry, signature or archive is altered, cut, another's or a web page",
    "refused in one line; the store is as it was",
)
@pytest.mark.parametrize("fault", WRONG)
def test_what_is_not_right_is_refused_and_said(host: Host, cache: Path, fault: str) -> None:
    """If this fails, whoever can write to a cache, or stands between, runs programs as root on every board."""
    spoil, reason = WRONG[fault]
    spoil(cache)
    with Mirror(cache) as served:
        done = host.run("ensure-bundle", stdin=text(at(served.url)))
    assert done.returncode == 10, done.stderr
    said = [line for line in done.stderr.splitlines() if f"not from {served.url}/{ARCHIVE}: " in line]
    assert len(said) == 1
    assert reason in said[0]
    assert list((host.root / "store").iterdir()) == []
    assert receive(host, archive()).returncode == 0


@pytest.mark.fault("cache", "none", "nothing is signed", "not taken")
def test_what_is_not_signed_at_all_is_not_there(host: Host, cache: Path) -> None:
    """A cache of former times, with hashes and no signatures, would be believed."""
    for name in (f"{ITEM}.json", f"{ITEM}.json.sig"):
        (cache / name).unlink()
    with Mirror(cache) as served:
        done = host.run("ensure-bundle", stdin=text(at(served.url)))
    assert done.returncode == 10
    assert f"no finished build at {served.url}" in done.stderr


def test_an_address_that_nobody_signs_for_is_passed_over(host: Host) -> None:
    """A host could no longer read what tools of before have kept there."""
    bare = json.loads(text()) | {"substituters": ["http://127.0.0.1:9"]}
    done = host.run("ensure-bundle", stdin=json.dumps(bare))
    assert done.returncode == 10
    assert "127.0.0.1:9" not in done.stderr


class Slow(BaseHTTPRequestHandler):
    """Answers nothing, or a byte now and then."""

    over = threading.Event()
    drips = False

    def do_GET(self) -> None:
        """Until the client has had enough."""
        if self.drips:
            self.send_response(200)
            self.end_headers()
        while not self.over.wait(0.2):
            try:
                self.wfile.write(b"x" if self.drips else b"")
                if self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                    return
            except BlockingIOError:
                continue
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def slow(*, drips: bool) -> Iterator[str]:
    """A cache that hangs, or drips."""
    over = threading.Event()
    handler = type("Handler", (Slow,), {"over": over, "drips": drips})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.fault("cache", "none", "one hangs, or drips", "the next one is asked")
@pytest.mark.parametrize("how", ["hangs", "drips"])
def test_a_slow_cache_blocks_nothing(host: Host, cache: Path, how: str) -> None:
    """If this fails, a cache that is ill keeps every board from being set up."""
    host.environment["POLLEX_CACHE_PATIENCE"] = "15"  # long for the one that is well, too
    with slow(drips=how == "drips") as ill, Mirror(cache) as well:
        done = host.run("ensure-bundle", stdin=text(at(ill), at(well.url)))
    assert done.returncode == 0, done.stderr
    assert f"not from {ill}/{ARCHIVE}: curl: (28)" in done.stderr
    assert '"how":"substituted"' in done.stdout


@pytest.mark.fault("cache", "none", "signatures cannot be checked", "nothing is taken")
def test_a_host_without_openssl_takes_nothing(host: Host, cache: Path, tmp_path: Path) -> None:
    """A signature that cannot be checked would pass for a right one."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "openssl").write_text("#!/bin/sh\necho it is fine\n")
    (programs / "openssl").chmod(0o755)
    host.environment["PATH"] = f"{programs}:{host.environment['PATH']}"
    with Mirror(cache) as served:
        done = host.run("ensure-bundle", stdin=text(at(served.url)))
    assert done.returncode == 10
    assert "openssl does not say whether its signature is right: it is fine" in done.stderr


def test_what_one_host_has_another_one_takes(host: Host, tmp_path: Path) -> None:
    """The second board would be sent what the first one has."""
    received(host)
    folder = tmp_path / "packed"
    folder.mkdir()
    with (folder / ARCHIVE).open("wb") as packed:
        host.pack(ITEM, packed)
    mirror.vouch(folder / ARCHIVE, OURS, "bundle")
    second = Host(tmp_path / "second")
    assert second.json("ensure-bundle", stdin=text(at(f"file://{folder}")))["how"] == "substituted"
    assert content(second) == FILES


@pytest.mark.fault(
    "cache", "none", "what was signed does not run here, or is damaged", "refused; the store is as it was"
)
@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "content", "program"])
def test_a_build_is_tried_out_although_it_is_signed(host: Host, project: Project, tmp_path: Path, fault: str) -> None:
    """What was built for another machine, or on a broken disk, would take the server down."""
    assert host.build(project.manifest()).returncode == 0
    folder = tmp_path / "cache"
    folder.mkdir()
    program = host.store / "bin/llama-server"
    if fault:
        program.write_text("#!/bin/sh\nexit 1\n")
    if fault == "program":
        digest = sha256(program.read_bytes()).hexdigest()
        (host.store / ".sha256sums").write_text(f"{digest}  bin/llama-server\n")
    packed = folder / f"{BUILD}{entry.ARCHIVE}"
    subprocess.run(["tar", "-C", host.root / "store", "-czf", packed, BUILD], check=True)
    mirror.vouch(packed, OURS)
    second = Host(tmp_path / "second")
    cache = {"url": f"file://{folder}", "publicKey": signing.public_key(OURS)}
    done = second.run("ensure", stdin=project.manifest(substituters=[cache]))
    reason = {"content": "its content is changed: bin/llama-server", "program": "does not run on this host"}.get(fault)
    assert (reason or '"how":"substituted"') in done.stderr + done.stdout
    assert second.store.exists() == (not fault)
