"""llama.cpp's source at the commits that the stack files pin, known by its tree hash wherever it comes from.

That is a published package for the sandbox's commit and the image's; for the Nano's $POLLEX_SOURCE_MIRROR, the path or
URL of a git repository that has it, or else the mirrors in its stack file.
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.core import stackfile
from infra.core.patches import FOLDER
from infra.core.source import Source
from sandbox import fetch
from sandbox.machine import CHECKOUT, SandboxError, run

MIRROR = "POLLEX_SOURCE_MIRROR"
PATIENCE = 300
"""Seconds that fetching one commit may take."""


class OutOfReachError(SandboxError):
    """A source could not be had from where it is published, and nobody named another place."""


def _pinned(stack: str) -> Source:
    """As stacks/Pulumi.<stack>.yaml says."""
    values = stackfile.values(CHECKOUT / "stacks" / f"Pulumi.{stack}.yaml")
    return Source.model_validate_json(json.dumps(values["source"]))


NANO = _pinned("jetson")
CARRIED = _pinned("sandbox")
"""What a board can have without GitHub: the nearest to the Nano's that a package registry carries."""
CURRENT = _pinned("image")
PINS = {pin.tag: pin for pin in (NANO, CARRIED, CURRENT)}
BUNDLES = {CARRIED.tag: fetch.BUNDLE, CURRENT.tag: fetch.CURRENT}
"""Tag → the published file that has its tree, in a commit of the package's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A pinned tree in a git repository, which may lack objects that nobody asks for."""

    pin: Source
    repository: Path

    def holds(self, path: str) -> bool:
        """Whether the tree has this file."""
        return bool(_git(self.repository, "ls-tree", "--name-only", self.pin.tree, "--", path))

    def unpack(self, into: Path, *paths: str) -> None:
        """Write these files and folders of it, or all, into a folder, which need not be there.

        Raises:
            SandboxError: it has no such path.
        """
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            _git(self.repository, "archive", f"--output={archive.name}", self.pin.tree, "--", *paths)
            with tarfile.open(archive.name) as members:
                members.extractall(into, filter="data")


def obtain(pin: Source, scratch: Path) -> Tree:
    """The pinned tree, in the mirror's own repository or in one that is made in `scratch`.

    Raises:
        OutOfReachError: it is in no package, could not be had, and no mirror was named.
        SandboxError: package or mirror do not give it, or a repository has another tree for that commit.
    """
    if pin in (CARRIED, CURRENT):
        bundle = str(fetch.fetch(BUNDLES[pin.tag]))
        return _tree(pin, bundle, *_found(bundle, "HEAD", scratch))
    mirror = os.environ.get(MIRROR)
    if mirror is not None:
        places = [mirror]
    else:
        places = [place.removeprefix("git ") for place in pin.mirrors if place.startswith("git ")]
    reasons = []
    for place in places:
        try:
            found = _found(place, pin.commit, scratch)
        except SandboxError as error:
            reasons.append(str(error))
            continue
        return _tree(pin, place, *found)
    told = "\n".join(reasons)
    if mirror is not None:
        raise SandboxError(f"{MIRROR}={mirror} does not give {pin.tag}, commit {pin.commit}\n{told}")
    raise OutOfReachError(
        f"{pin.tag} could not be had from {' or '.join(places)}: set {MIRROR} to the path or URL of a git repository "
        f"that has the commit {pin.commit}\n{told}"
    )


def apply(into: Path, names: Iterable[str]) -> None:
    """Patch an unpacked source with files of patches/, as the host does (infra/hosttools/pollex_host/source.py).

    Raises:
        SandboxError: one does not apply unchanged.
    """
    command = ["patch", "--strip=1", "--fuzz=0", "--forward", "--force", "--no-backup-if-mismatch"]
    for name in names:
        done = run([*command, f"--directory={into}", f"--input={FOLDER / name}"], check=False)
        if done.returncode != 0:
            raise SandboxError(f"{name} does not apply unchanged (patches/README.md#moving-the-pin)\n{done.stdout}")


def _found(place: str, revision: str, scratch: Path) -> tuple[Path, str]:
    """A repository, and the tree that the revision has in it; a folder is taken as it is."""
    if Path(place).is_dir():
        repository = Path(run(["git", "-C", place, "rev-parse", "--absolute-git-dir"]).stdout.strip())
    else:
        repository = scratch / "source.git"
        run(["git", "init", "--quiet", "--bare", repository])
        patiently = ["env", "GIT_TERMINAL_PROMPT=0", "timeout", str(PATIENCE)]
        run([*patiently, "git", "--git-dir", repository, "fetch", "--quiet", "--depth=1", place, revision])
        revision = "FETCH_HEAD"
    return repository, _git(repository, "rev-parse", "--verify", f"{revision}^{{tree}}")


def _tree(pin: Source, place: str, repository: Path, tree: str) -> Tree:
    """What was found at a place, if it is what is pinned."""
    if tree != pin.tree:
        raise SandboxError(f"{place} has the tree {tree} for {pin.tag}, not the pinned {pin.tree}")
    return Tree(pin=pin, repository=repository)


def _git(repository: Path, *arguments: str) -> str:
    return run(["git", "--git-dir", repository, *arguments]).stdout.strip()
