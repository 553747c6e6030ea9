"""llama.cpp's source for the measurements: the mission's commit where it can be had, else what a package carries."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.patches import FOLDER
from sandbox import fetch
from sandbox.machine import SandboxError, run, say

UPSTREAM = "https://github.com/ggml-org/llama.cpp"


@dataclass(frozen=True, slots=True)
class Pin:
    """A tag and what identifies it; as in the stack files and in patches/README.md."""

    tag: str
    commit: str
    tree: str


PINS = {
    pin.tag: pin
    for pin in (
        Pin("b5050", "23106f94ea2bc3da929afb7330655fd5515d08dc", "cad775076ac50ea8185cc4552ec03105030aea86"),
        Pin("b4980", "2099a9d5dbdcd2841d02dd396a71d0de70bf4490", "f31be41804670f5b0dfa976d742dfe5f54db2f53"),
    )
}


@dataclass(frozen=True, slots=True)
class Checkout:
    """A source's ggml folder, as it is upstream."""

    tag: str
    ggml: Path

    def patched(self, *names: str) -> Path:
        """A copy of the folder with those patches applied, beside the original.

        Raises:
            SandboxError: one does not apply unchanged.
        """
        tree = self.ggml.parent.with_name("patched")
        subprocess.run(["cp", "-r", self.ggml.parent, tree], check=True)
        for name in names:
            command = ["patch", "--strip=1", "--fuzz=0", "--forward"]
            with (FOLDER / name).open() as patch:
                done = subprocess.run(command, cwd=tree, stdin=patch, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise SandboxError(f"{name} does not apply unchanged to {self.tag}, so there is nothing to measure")
        return tree / "ggml"


@contextmanager
def checkout() -> Iterator[Checkout]:
    """b5050 from POLLEX_SOURCE_MIRROR (path or URL of a git repository) or upstream; else b4980 out of a package.

    Raises:
        SandboxError: none of them can be had, or one has other bytes than the pinned tree.
    """
    with tempfile.TemporaryDirectory() as scratch:
        repository, pin = _repository(Path(scratch))
        found = _git(repository, "rev-parse", f"{pin.commit}^{{tree}}")
        if found != pin.tree:
            raise SandboxError(f"the source of {pin.tag} has tree {found}; {pin.tree} is pinned")
        tree = Path(scratch, "original")
        tree.mkdir()
        archive = Path(scratch, "ggml.tar")
        _git(repository, "archive", f"--output={archive}", pin.tree, "--", "ggml/include", "ggml/src")
        with tarfile.open(archive) as opened:
            opened.extractall(tree, filter="data")
        yield Checkout(pin.tag, tree / "ggml")


def _repository(scratch: Path) -> tuple[Path, Pin]:
    """A git repository that has one of the pins, and which."""
    wanted, carried = PINS["b5050"], PINS["b4980"]
    mirror = os.environ.get("POLLEX_SOURCE_MIRROR")
    if mirror is not None and Path(mirror).is_dir():
        return Path(mirror), wanted
    repository = scratch / "repository.git"
    subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
    if _fetch(repository, mirror if mirror is not None else UPSTREAM, wanted.commit):
        return repository, wanted
    if mirror is not None:
        raise SandboxError(f"POLLEX_SOURCE_MIRROR={mirror} does not give {wanted.tag}, commit {wanted.commit}")
    say(f"{wanted.tag} is out of reach ({UPSTREAM}; POLLEX_SOURCE_MIRROR is not set): taking {carried.tag} instead")
    if not _fetch(repository, str(fetch.fetch(fetch.BUNDLE)), "HEAD"):
        raise SandboxError(f"{fetch.BUNDLE} holds no commit")
    head = _git(repository, "rev-parse", "FETCH_HEAD")  # a commit of its own with that tree
    return repository, Pin(carried.tag, head, carried.tree)


def _fetch(repository: Path, url: str, revision: str) -> bool:
    command = ["git", "--git-dir", str(repository), "fetch", "--quiet", "--depth=1", url, revision]
    quiet = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(command, env=quiet, stderr=subprocess.DEVNULL, check=False, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _git(repository: Path, *arguments: str) -> str:
    return run(["git", "-C", repository, *arguments]).stdout.strip()
