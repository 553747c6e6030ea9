"""What one host has made goes to the others, signed, and whatever is wrong with the cache holds nobody up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra import HOST_FOLDER
from infra.core import signing
from infra.hosttools.pollex_host import manifest
from infra.provider.engine import Voice
from infra.provider.hosts import Hosts
from infra.provider.share import Firsts, ShareLifecycle
from tests.provider.conftest import Machine

CONTENT = b"GGUF" + bytes(range(256)) * 8192
KEY = signing.new_key()
ITEM = f"{'7' * 32}-model"


@dataclass
class Files:
    """A web server that gives files, and takes them if it may; it counts what was asked for."""

    url: str
    held: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def files(*, takes: bool = False) -> Iterator[Files]:
    """It serves for the length of a `with` block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            content = served.held.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if takes:
                served.held[self.path] = content
            self.send_response(201 if takes else 403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served = Files(f"http://127.0.0.1:{server.server_port}")
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def origin() -> Iterator[Files]:
    """Where the model is published."""
    with files() as served:
        served.held["/small.gguf"] = CONTENT
        yield served


@dataclass
class Site:
    """Hosts that are folders of one machine, each with the real tools; and what was said while something was shared."""

    machine: Machine
    folder: Path
    origin: Files
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def inputs(self, name: str, **changes: Any) -> dict[str, Any]:
        """What is declared for a host."""
        tools = self.folder / f"{name}.sh"
        tools.write_text(f"#!/bin/sh\nPOLLEX_ROOT='{self.root(name)}' exec sh '{HOST_FOLDER}/pollex-host' \"$@\"\n")
        tools.chmod(0o755)
        model = manifest.Model(
            key=ITEM[:32],
            name="model",
            file="small.gguf",
            size=len(CONTENT),
            sha256=sha256(CONTENT).hexdigest(),
            mirrors=(f"{self.origin.url}/small.gguf",),
        )
        given = {"connection": self.machine.connection(), "sudo": False, "identity": "1" * 32, "tools": str(tools)}
        given |= {"manifest": manifest.text(model), "cache": str(self.folder / "cache"), "privateKey": KEY}
        return given | changes

    def root(self, name: str) -> Path:
        """Everything of a host."""
        return self.folder / name

    def share(self, *given: dict[str, Any]) -> list[Any]:
        """How it came to each host, or why it did not, in one run of the engine."""
        voice = Voice(self.said.append, self.warned.append)

        async def session() -> list[Any]:
            async with Hosts() as hosts:
                lifecycle = ShareLifecycle(hosts)
                work = (lifecycle.apply(one, {}, voice) for one in given)
                return await asyncio.gather(*work, return_exceptions=True)

        return [one["how"] if isinstance(one, dict) else one for one in asyncio.run(session())]

    def content(self, name: str) -> bytes:
        """What a host has."""
        return (self.root(name) / "store" / ITEM / "small.gguf").read_bytes()


@pytest.fixture
def site(machine: Machine, origin: Files, tmp_path: Path) -> Site:
    """Nothing is anywhere but at the origin."""
    return Site(machine, tmp_path, origin)


def test_it_is_made_once_and_brought_to_all_others(site: Site) -> None:
    """If this fails, a fleet of twenty loads a model twenty times, and compiles for a day what takes an hour."""
    how = site.share(*(site.inputs(name) for name in ("one", "two", "three")))
    assert sorted(how) == ["downloaded", "received", "received"]
    assert site.origin.asked == ["/small.gguf"]
    assert site.warned == []
    assert all(site.content(name) == CONTENT for name in ("one", "two", "three"))
    assert site.share(site.inputs("four")) == ["received"]
    assert site.origin.asked == ["/small.gguf"]


def test_what_a_host_has_already_is_kept_for_the_others(site: Site) -> None:
    """If this fails, a fleet that was set up without a cache has to be set up anew to get one."""
    (site.folder / "blocked").write_text("")
    site.share(site.inputs("one", cache=str(site.folder / "blocked")))
    assert site.share(site.inputs("one"), site.inputs("two")) == ["present", "received"]
    assert site.origin.asked == ["/small.gguf"]


@pytest.mark.fault("cache", "two hosts", "it takes nothing", "each host gets what it needs")
def test_a_cache_that_takes_nothing_holds_nobody_up(site: Site) -> None:
    """If this fails, a full or write-protected disk of the operator's ends every deployment."""
    (site.folder / "blocked").write_text("")
    how = site.share(*(site.inputs(name, cache=str(site.folder / "blocked")) for name in ("one", "two")))
    assert how == ["downloaded", "downloaded"]
    assert "is not kept for other hosts" in "".join(site.warned)
    assert site.share(site.inputs("three", cache="http://127.0.0.1:9")) == ["downloaded"]


@pytest.mark.fault("cache", "two hosts", "what lies there is damaged", "said, made, and put there anew")
@pytest.mark.parametrize("fault", ["entry", "signature", "archive", "another's"])
def test_what_is_not_right_is_said_made_and_mended(site: Site, fault: str) -> None:
    """If this fails, whoever can write to the cache runs programs as root on every board."""
    cache = site.folder / "cache"
    site.share(site.inputs("one", **({"privateKey": signing.new_key()} if fault == "another's" else {})))
    damaged = {"entry": ".json", "signature": ".json.sig", "archive": ".tar.gz"}.get(fault)
    if damaged:
        content = (cache / f"{ITEM}{damaged}").read_bytes()
        (cache / f"{ITEM}{damaged}").write_bytes(content[:-3] + b"..\n")
    assert site.share(site.inputs("two")) == ["downloaded"]
    assert "not from the cache: " in "".join(site.warned)
    assert site.content("two") == CONTENT
    site.warned.clear()
    assert site.share(site.inputs("three")) == ["received"]
    assert site.warned == []


def test_a_server_can_be_the_cache(site: Site) -> None:
    """If this fails, two operators cannot share what their boards have built."""
    with files(takes=True) as cache:
        assert site.share(site.inputs("one", cache=f"{cache.url}/builds/")) == ["downloaded"]
        assert sorted(cache.held) == [f"/builds/{ITEM}{end}" for end in (".json", ".json.sig", ".tar.gz")]
        assert site.share(site.inputs("two", cache=f"{cache.url}/builds")) == ["received"]
    with files() as cache:
        assert site.share(site.inputs("one", cache=cache.url)) == ["present"]
        assert "takes nothing" in site.warned[-1]


@pytest.mark.fault("cache", "two hosts", "the first one cannot make it", "the other one does")
def test_one_that_cannot_make_it_holds_nobody_up(site: Site) -> None:
    """If this fails, a board that is away, or whose disk is full, keeps all others from being set up."""
    away = site.inputs("away", connection=site.machine.connection(port=9))
    first, second, third = site.share(away, site.inputs("one"), site.inputs("two"))
    assert "refuses connections on port 9" in str(first)
    assert [second, third] == ["downloaded", "received"]
    site.origin.held.clear()
    (site.folder / "other").mkdir()
    failed = site.share(*(site.inputs(name, cache=str(site.folder / "other")) for name in ("three", "four")))
    assert all("no mirror could be reached" in str(one) for one in failed)


def test_none_waits_for_what_another_could_not_make() -> None:
    """If this fails, ten boards find out one after the other that none of them can build it."""

    async def scenario() -> list[str]:
        firsts, seen, both = Firsts(), list[str](), asyncio.Barrier(2)

        async def make(name: str) -> None:
            async with firsts.turn("it"):
                if not seen:
                    seen.append(name)
                    firsts.give_up("it")
                    return
                await both.wait()
                seen.append(name)

        await asyncio.gather(*(make(name) for name in ("one", "two", "three")))
        return seen

    assert sorted(asyncio.run(scenario())) == ["one", "three", "two"]


def test_the_key_stays_with_the_operator(site: Site) -> None:
    """If this fails, whoever has one board, or reads a log, can sign for all of them."""
    site.share(*(site.inputs(name) for name in ("one", "two")))
    inside = KEY.splitlines()[1]
    said = [*site.said, *site.warned]
    assert said
    assert not [line for line in said if inside in line or "PRIVATE" in line]
    held = [file for file in site.folder.rglob("*") if file.is_file()]
    assert len(held) > 4
    assert not [file for file in held if inside.encode() in file.read_bytes()]
    assert json.loads((site.folder / "cache" / f"{ITEM}.json").read_text())["kind"] == "model"
