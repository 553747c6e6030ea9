"""The mirror serves whole files, parts of files, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from sandbox import mirror
from sandbox.board import Board
from sandbox.machine import SandboxError
from sandbox.mirror import Mirror
from sandbox.serving import NEVER, free_port

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file of 1 MiB."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "model.gguf").write_bytes(CONTENT)
    return served


def got(url: str, **headers: str) -> httpx.Response:
    """What a mirror answers, however busy the machine is."""
    return httpx.get(url, headers=headers, timeout=NEVER, trust_env=False)


def test_a_part_is_served_as_asked(folder: Path) -> None:
    """A model of which 900 MB had arrived would be fetched from the start."""
    with Mirror(folder) as server:
        answer = got(f"{server.url}/model.gguf", Range="bytes=1000-1999")
    assert (answer.status_code, answer.headers["content-range"]) == (206, f"bytes 1000-1999/{len(CONTENT)}")
    assert answer.content == CONTENT[1000:2000]


def test_curl_resumes(folder: Path, tmp_path: Path) -> None:
    """The client that boards use would not get along with this server."""
    target = tmp_path / "partial"
    target.write_bytes(CONTENT[:300_000])
    with Mirror(folder) as server:
        command = [
            "curl",
            "-sS",
            "-f",
            "-C",
            "-",
            "-o",
            str(target),
            "-w",
            "%{size_download}",
            f"{server.url}/model.gguf",
        ]
        sent = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(sent) == len(CONTENT) - 300_000
    assert target.read_bytes() == CONTENT


def test_a_board_fetches_before_and_after_a_power_cut(board: Board, folder: Path) -> None:
    """What an interrupted build still needs could not be fetched once the board is back."""
    with Mirror(folder, board.gateway) as server:
        ask = f"curl -sS -f {server.url}/model.gguf | wc -c"
        assert int(board.run(ask).stdout) == len(CONTENT)
        board.cut_power()
        assert int(board.run(ask).stdout) == len(CONTENT)


def test_what_is_not_there_is_not_found(folder: Path) -> None:
    """A substituter without the build would look broken, instead of merely empty."""
    with Mirror(folder) as server:
        assert got(f"{server.url}/store/none.tar.gz").status_code == 404
        assert got(f"{server.url}/%2e%2e/secret").status_code == 404


def test_a_port_in_use_is_named(folder: Path) -> None:
    """A second mirror would fail with a traceback out of a library."""
    with Mirror(folder) as server, pytest.raises(SandboxError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address"):
        Mirror(folder, port=int(server.url.rpartition(":")[2]))


def test_the_background_mirror_starts_once_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make sandbox` twice would start two servers, or `make sandbox-down` would leave one running."""
    monkeypatch.setenv("POLLEX_CACHE", str(tmp_path / "cache"))
    port = free_port()
    url = mirror.start("127.0.0.1", tmp_path, port)
    try:
        (mirror.directory() / "note").write_text("served")
        first = (tmp_path / "mirror.pid").read_text()
        assert mirror.start("127.0.0.1", tmp_path, port) == url
        assert (tmp_path / "mirror.pid").read_text() == first
        assert got(f"{url}/note").text == "served"
    finally:
        mirror.stop(tmp_path)
    with pytest.raises(httpx.ConnectError):
        got(f"{url}/note")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
