"""Only bytes with the expected hash reach the mirror, from real registries."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import fetch
from sandbox.fetch import Artefact
from sandbox.machine import SandboxError
from sandbox.mirror import directory

SMALL = [
    Artefact(
        name="from-pypi",
        sha256="c1e3d0038536d2d2a060047248b102d38eee70d5fe83ca512e9601ba21e52dbf",
        size=266,
        registry="pypi",
        package="colorama",
        version="0.4.6",
        member="colorama/__init__.py",
    ),
    Artefact(
        name="from-npm",
        sha256="32641b6b3c2bd800bcc8283205ee27426aed2559f1e8eb7d9377530f62292686",
        size=1469,
        registry="npm",
        package="left-pad",
        version="1.3.0",
        member="package/index.js",
    ),
]


@pytest.fixture(params=SMALL, ids=lambda artefact: artefact.name)
def artefact(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artefact:
    """A small file of each registry, in a cache of its own."""
    small: Artefact = request.param
    monkeypatch.setenv("POLLEX_CACHE", str(tmp_path))
    monkeypatch.setitem(fetch.ARTEFACTS, small.name, small)
    return small


def test_a_file_is_fetched_once(artefact: Artefact, capfd: pytest.CaptureFixture[str]) -> None:
    """Every `make sandbox` would download everything again, or the first would not work at all."""
    path = fetch.fetch(artefact.name)
    assert path == directory() / artefact.name
    assert path.stat().st_size == artefact.size
    assert artefact.package in capfd.readouterr().err
    fetch.fetch(artefact.name)
    assert capfd.readouterr().err == ""


def test_a_damaged_file_is_fetched_again(artefact: Artefact) -> None:
    """A file damaged in the cache would fail on every board until somebody finds and deletes it."""
    (directory() / artefact.name).write_text("damaged")
    assert fetch.fetch(artefact.name).stat().st_size == artefact.size


def test_other_bytes_are_refused(artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that was published anew with other contents would be built and run."""
    other = replace(artefact, sha256="0" * 64)
    monkeypatch.setitem(fetch.ARTEFACTS, artefact.name, other)
    with pytest.raises(SandboxError, match=rf"(?s)expected SHA-256 0{{64}}.*found +{artefact.sha256}"):
        fetch.fetch(artefact.name)
    assert not [file for file in directory().iterdir() if file.suffix != ".lock"]


def test_a_package_without_the_file_is_named(artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong pin would end in a traceback."""
    monkeypatch.setitem(fetch.ARTEFACTS, artefact.name, replace(artefact, member="nowhere"))
    with pytest.raises(SandboxError, match=rf"{artefact.package}.* holds no nowhere"):
        fetch.fetch(artefact.name)


def test_the_bundle_is_the_commit_that_it_stands_for(tmp_path: Path) -> None:
    """The sandbox would build some source, but not the one whose identity its stack file declares."""
    subprocess.run(["git", "clone", "-q", "--bare", fetch.fetch(fetch.BUNDLE), tmp_path / "git"], check=True)
    tree = subprocess.run(
        ["git", "-C", tmp_path / "git", "rev-parse", "HEAD^{tree}"], check=True, capture_output=True, text=True
    )
    assert tree.stdout.strip() == "f31be41804670f5b0dfa976d742dfe5f54db2f53"
