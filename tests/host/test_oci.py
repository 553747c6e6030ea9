"""A cache in a registry, filled as the documentation says, is one like any other."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from infra import ROOT
from infra.core import signing
from infra.core.report import ConfigError
from infra.hosttools.pollex_host import entry
from infra.kinds import table
from sandbox.images import oras
from sandbox.images.registry import Registry
from tests.host.conftest import Host
from tests.host.test_bundle import ARCHIVE, FILES, ITEM, content, text
from tests.host.test_substitute import NOT_SIGNED, OURS, THEIRS, at, kept, patient, resign
from tests.infra.conftest import values_of

PAGE: Final = ROOT / "docs/how-to/share-builds.md"
REPOSITORY: Final = "you/pollex"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """As `patient`."""
    return patient(tmp_path)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """An empty one that lets everybody in."""
    with Registry(tmp_path / "registry") as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """As `kept`."""
    return kept(tmp_path)


def push(registry: Registry, cache: Path) -> None:
    """What the page says, with this folder and this registry."""
    (block,) = (one for one in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if "oras push" in one)
    login, folder, rest = block.split("\n", 2)
    assert (login, folder) == ("oras login ghcr.io", "cd ~/.cache/pollex/shared")
    ours = rest.replace("ghcr.io/you/pollex", f"{registry.address}/{REPOSITORY}")
    assert ours != rest
    # docker-registry speaks no https here
    script = ours.replace("oras push", f"{shlex.quote(str(oras.ensure()))} push --plain-http")
    subprocess.run(["sh", "-eu"], cwd=cache, input=script, check=True, capture_output=True, text=True)


def put(registry: Registry, cache: Path, *files: str) -> None:
    """Some of the files under the tag, as whoever does otherwise."""
    words = ["push", "--plain-http", f"{registry.address}/{REPOSITORY}:{ITEM}", *files]
    subprocess.run([oras.ensure(), *words], cwd=cache, check=True, capture_output=True)


def ensured(host: Host, address: str) -> subprocess.CompletedProcess[str]:
    """The bundle out of that registry, or not."""
    return host.run("ensure-bundle", stdin=text(at(f"oci://{address}/{REPOSITORY}")))


def test_what_the_page_says_fills_a_cache(host: Host, registry: Registry, cache: Path) -> None:
    """If this fails, whoever keeps builds in a registry compiles them again on every board."""
    push(registry, cache)
    done = ensured(host, registry.address)
    assert done.returncode == 0, done.stderr
    assert '"how":"substituted"' in done.stdout
    assert content(host) == FILES
    assert [file.name for file in (host.root / "store").iterdir()] == [ITEM]


def test_what_is_not_there_is_said(host: Host, registry: Registry, cache: Path) -> None:
    """If this fails, a build that nobody has pushed yet looks like a broken registry."""
    done = ensured(host, registry.address)
    assert done.returncode == 10
    assert f"no finished build at oci://{registry.address}/{REPOSITORY}" in done.stderr


WRONG: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "somebody else's": (lambda folder: resign(folder, THEIRS), NOT_SIGNED),
    "an altered archive": (lambda folder: (folder / ARCHIVE).write_bytes(b"x"), "bytes, and its entry says"),
    "a page": (lambda folder: (folder / f"{ITEM}{entry.ENTRY}").write_text("<html>"), NOT_SIGNED),
}


@pytest.mark.fault("cache", "none", "what a registry has is altered, or another's", "refused in one line")
@pytest.mark.parametrize("fault", WRONG)
def test_what_is_not_right_is_refused(host: Host, registry: Registry, cache: Path, fault: str) -> None:
    """If this fails, whoever may push to the registry runs programs as root on every board."""
    spoil, reason = WRONG[fault]
    spoil(cache)
    push(registry, cache)
    done = ensured(host, registry.address)
    assert done.returncode == 10, done.stderr
    (said,) = (line for line in done.stderr.splitlines() if f"not from oci://{registry.address}/" in line)
    assert reason in said
    assert list((host.root / "store").iterdir()) == []


def test_what_is_no_entry_is_refused(host: Host, registry: Registry, cache: Path) -> None:
    """If this fails, a tag with something else ends in a trace, and the board is not set up."""
    put(registry, cache, ARCHIVE)
    assert f"the tag {ITEM} has no {ITEM}.json" in ensured(host, registry.address).stderr
    put(registry, cache)
    assert f"the tag {ITEM} has no {ITEM}.json" in ensured(host, registry.address).stderr


class Front(BaseHTTPRequestHandler):
    """A registry that wants a token from everybody, and gives one to everybody, or to nobody."""

    registry = ""
    gives = True

    def do_GET(self) -> None:
        """Pass on what comes with the token."""
        here = f"http://{self.headers['Host']}"
        url = urlsplit(self.path)
        if url.path == "/token":
            asked = parse_qs(url.query)
            right = asked == {"service": ["here"], "scope": [f"repository:{REPOSITORY}:pull"]}
            self._answer(200, json.dumps({"token": "t0ken"} if right and self.gives else {"errors": []}).encode())
        elif self.headers.get("Authorization") != "Bearer t0ken":
            self._answer(401, b"{}", **{"WWW-Authenticate": f'Bearer realm="{here}/token",service="here",scope="x"'})
        else:
            accept = {"Accept": self.headers.get("Accept", "*/*")}
            got = httpx.request(self.command, f"http://{self.registry}{self.path}", headers=accept, trust_env=False)
            self._answer(got.status_code, got.content)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def front(registry: Registry, *, gives: bool) -> Iterator[str]:
    """The address of one."""
    handler = type("Handler", (Front,), {"registry": registry.address, "gives": gives})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("gives", [True, False])
def test_a_registry_s_token_is_asked_for(host: Host, registry: Registry, cache: Path, *, gives: bool) -> None:
    """If this fails, no board can read a public repository of the large registries, which want a token from anybody."""
    push(registry, cache)
    with front(registry, gives=gives) as address:
        done = ensured(host, address)
    if gives:
        assert done.returncode == 0, done.stderr
        assert '"how":"substituted"' in done.stdout
    else:
        assert done.returncode == 10
        assert "the registry gives no token to whoever has no login" in done.stderr


def test_an_address_names_a_repository() -> None:
    """If this fails, an address that no board can ask is found out by a build of an hour."""
    key = signing.public_key(OURS)
    for url, right in {
        "oci://ghcr.io/you/pollex": True,
        "oci://127.0.0.1:5000/a/b-c": True,
        "oci://ghcr.io": False,
        "oci://ghcr.io/you/pollex:latest": False,
        "oci://ghcr.io/You": False,
    }.items():
        values = {**values_of("jetson"), "substituters": [{"url": url, "publicKey": key}]}
        if right:
            assert table.parse(values, file="x")
            continue
        with pytest.raises(ConfigError, match="oci://REGISTRY/REPOSITORY"):
            table.parse(values, file="x")


def test_publish_says_what_fills_a_registry() -> None:
    """If this fails, builds go into a folder named `oci:`, and no board finds them."""
    values = {**values_of("jetson"), "publish": "oci://ghcr.io/you/pollex"}
    with pytest.raises(ConfigError, match="oras brings a folder to a registry"):
        table.parse(values, file="x")
