"""The real sources that the series are for, as git trees identified by their hash."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra import patches
from infra.profiles import PROFILES
from infra.store import sha256
from sandbox import fetch
from sandbox.machine import cache, locked
from tests.patches import nano

UPSTREAM = "https://github.com/ggml-org/llama.cpp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What identifies a source; the same values as in the stack files and in patches/README.md."""

    commit: str
    tree: str


PINS = {
    "b4980": Pin(
        commit="2099a9d5dbdcd2841d02dd396a71d0de70bf4490",
        tree="f31be41804670f5b0dfa976d742dfe5f54db2f53",
    ),
    "b5050": Pin(
        commit="23106f94ea2bc3da929afb7330655fd5515d08dc",
        tree="cad775076ac50ea8185cc4552ec03105030aea86",
    ),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A tree in a git repository, which may lack objects that no patch needs."""

    repository: Path
    tree: str

    def git(self, *arguments: str) -> bytes:
        """Standard output of a git command on the repository."""
        command = ["git", "--git-dir", str(self.repository), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def holds(self, path: str) -> bool:
        """Whether the tree has this file."""
        return bool(self.git("ls-tree", "--name-only", self.tree, "--", path))

    def read(self, path: str) -> bytes:
        """The content of a file of the tree."""
        return self.git("cat-file", "blob", f"{self.tree}:{path}")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Source]:
    """`source(tag)`: from POLLEX_SOURCE_MIRROR (a path or URL), else a published package, else upstream.

    Only b4980 is in a package, so a test that asks for another one is skipped, with the reason, where no
    repository that has it can be reached.
    """
    found: dict[str, Source] = {}

    def get(tag: str) -> Source:
        if tag not in found:
            found[tag] = _obtain(tag, tmp_path_factory.mktemp(tag) / "source.git")
        return found[tag]

    return get


@pytest.fixture(scope="session")
def nano_source(source: Callable[[str], Source], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Nano's series is for, unpatched: the folders that it touches or concerns."""
    tree, into = source(nano.TAG), tmp_path_factory.mktemp("nano") / "source"
    archive = tree.git("archive", tree.tree, "CMakeLists.txt", "common", "examples", "ggml", "src")
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(into, filter="data")
    return into


@pytest.fixture(scope="session", name="nano")
def patched_nano(nano_source: Path) -> Path:
    """The same with the series applied."""
    into = nano_source.with_name("patched")
    shutil.copytree(nano_source, into)
    for patch in patches.load(nano.PROFILE.series, tag=nano.TAG):
        command = ["patch", "--quiet", "--strip=1", "--fuzz=0", "--directory", str(into)]
        subprocess.run(command, input=patch.text.encode(), check=True)
    return into


def _obtain(tag: str, into: Path) -> Source:
    mirror = os.environ.get("POLLEX_SOURCE_MIRROR")
    if mirror is not None and Path(mirror).is_dir():
        repository = Path(_output("git", "-C", mirror, "rev-parse", "--absolute-git-dir"))
        return _checked(repository, PINS[tag].commit, tag)
    subprocess.run(["git", "init", "--quiet", "--bare", str(into)], check=True)
    if mirror is not None:
        assert _fetch(into, mirror, PINS[tag].commit), f"POLLEX_SOURCE_MIRROR={mirror} does not give {tag}"
    elif tag == "b4980":
        assert _fetch(into, str(fetch.fetch(fetch.BUNDLE)), "HEAD")
    elif not _fetch(into, UPSTREAM, PINS[tag].commit):
        pytest.skip(
            f"the source of {tag} could not be had ({UPSTREAM} is out of reach and POLLEX_SOURCE_MIRROR is not set): "
            "of the patches that are for it only the structure was checked"
        )
    return _checked(into, "FETCH_HEAD", tag)


def _fetch(into: Path, url: str, revision: str) -> bool:
    command = ["git", "--git-dir", str(into), "fetch", "--quiet", "--depth=1", url, revision]
    quiet = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(command, env=quiet, stderr=subprocess.DEVNULL, check=False, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _checked(repository: Path, revision: str, tag: str) -> Source:
    """The source, once it is known to be the pinned one."""
    tree = _output("git", "--git-dir", str(repository), "rev-parse", f"{revision}^{{tree}}")
    assert tree == PINS[tag].tree, f"{repository} has other bytes for {tag} than the pinned tree"
    return Source(repository, tree)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def server_binary(source: Callable[[str], Source]) -> Path:
    """llama-server of b4980, built as the profile `cpu` says; that takes minutes, so it is kept in the cache."""
    tag = "b4980"
    tree, profile = source(tag), PROFILES["cpu"]
    series = patches.load(profile.series, tag=tag)
    key = sha256("\n".join([tree.tree, *(patch.sha256 for patch in series), *profile.flags]))[:32]
    final = cache() / "tests" / f"llama-server-{key}"
    final.parent.mkdir(parents=True, exist_ok=True)
    with locked(final.parent):
        if not final.exists():
            _build(tree, series, profile.flags, final)
    return final


def _build(tree: Source, series: tuple[patches.Patch, ...], flags: tuple[str, ...], final: Path) -> None:
    missing = [tool for tool in ("cmake", "ninja", "c++", "patch") if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"cannot build llama-server: no {' and no '.join(missing)}; `python -m sandbox.machine` brings it")
    work = final.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(tree.git("archive", tree.tree))) as archive:
        archive.extractall(work / "src", filter="data")
    for patch in series:
        subprocess.run(["patch", "-sp1", "-d", str(work / "src")], input=patch.text.encode(), check=True)
    with (work / "log").open("wb") as log:
        for command in (
            ["cmake", "-G", "Ninja", *flags, "-S", str(work / "src"), "-B", str(work / "b")],
            ["ninja", "-C", str(work / "b"), "llama-server"],
        ):
            subprocess.run(command, stdout=log, stderr=log, check=True)
    (work / "b" / "bin" / "llama-server").replace(final)
    shutil.rmtree(work)
