"""A source is known by its tree, whatever repository gives it, and what is missing is said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.core.source import Source
from sandbox.machine import SandboxError
from sandbox.source import MIRROR, OutOfReachError, apply, obtain


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits, and no mirror named."""
    monkeypatch.delenv(MIRROR, raising=False)
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for text in ("first\n", "second\n"):
        (folder / "part").mkdir(exist_ok=True)
        (folder / "part" / "file").write_text(text)
        (folder / "other").write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", text)
    return folder


def pinned(repository: Path, revision: str, **changes: object) -> Source:
    """A commit of the repository, which is where it is published."""
    commit, tree = git(repository, "rev-parse", revision, f"{revision}^{{tree}}").splitlines()
    values = {"commit": commit, "tree": tree, "tag": "b1", "mirrors": (f"git file://{repository}",)}
    return Source.model_validate(values | changes)


@pytest.mark.parametrize("mirror", [None, "{}", "{}/part", "{}/.git", "file://{}"])
def test_the_pinned_commit_is_taken(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str | None
) -> None:
    """If this fails, tests and measurements are of whatever commit a repository happens to stand at."""
    pin = pinned(repository, "HEAD~1")
    if mirror is not None:
        pin = pin.model_copy(update={"mirrors": ("git file:///nonexistent",)})
        monkeypatch.setenv(MIRROR, mirror.format(repository))
    tree = obtain(pin, tmp_path)
    assert tree.holds("part/file")
    assert not tree.holds("part/none")
    tree.unpack(tmp_path / "into", "part")
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["part"]
    assert (tmp_path / "into/part/file").read_text() == "first\n"
    with pytest.raises(SandboxError, match="none"):
        tree.unpack(tmp_path / "into", "none")


@pytest.mark.parametrize("mirror", [False, True])
def test_another_tree_is_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mirror: bool
) -> None:
    """If this fails, a commit that somebody forged is tested and measured as the pinned one."""
    if mirror:
        monkeypatch.setenv(MIRROR, str(repository))
    pin = pinned(repository, "HEAD", tree=git(repository, "rev-parse", "HEAD~1^{tree}"))
    with pytest.raises(SandboxError, match=f"for b1, not the pinned {pin.tree}") as refused:
        obtain(pin, tmp_path)
    assert not isinstance(refused.value, OutOfReachError)


@pytest.mark.parametrize("mirror", ["/nonexistent", "file:///nonexistent", "{}"])
def test_a_mirror_that_lacks_it_is_an_error(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    """If this fails, who names a mirror is told that tests passed which were skipped."""
    named = mirror.format(repository)
    monkeypatch.setenv(MIRROR, named)
    with pytest.raises(SandboxError, match=f"^{MIRROR}={named} does not give b1, commit {'0' * 40}\n") as refused:
        obtain(pinned(repository, "HEAD", commit="0" * 40), tmp_path)
    assert not isinstance(refused.value, OutOfReachError)


def test_out_of_reach_says_what_to_set(repository: Path, tmp_path: Path) -> None:
    """If this fails, nobody behind a firewall finds out how to run the tests that were skipped."""
    pin = pinned(repository, "HEAD", mirrors=("bundle http://x/y", "git file:///nonexistent"))
    with pytest.raises(OutOfReachError, match=rf"^b1 could not be had from file:///nonexistent: set {MIRROR} to .*\n"):
        obtain(pin, tmp_path)


def test_a_patch_for_another_source_is_refused(tmp_path: Path) -> None:
    """If this fails, what is measured is half patched."""
    with pytest.raises(SandboxError, match=r"^0009-cuda-charconv-for-hip-only\.patch does not apply unchanged"):
        apply(tmp_path, ["0009-cuda-charconv-for-hip-only.patch"])
