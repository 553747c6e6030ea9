"""llama.cpp's own programs for the measurements, built once for this machine's CPU and kept by key."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.source import PINS, Pin
from infra import patches
from infra.profiles import PROFILES
from infra.store import sha256
from sandbox import fetch
from sandbox.machine import SandboxError, cache, locked, run, say

CPU_FLAGS = ("-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON")
"""As in the sandbox's stack file: every PC since about 2015."""


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder of programs, and the tag of the source that they were made from."""

    tag: str
    folder: Path

    def __truediv__(self, name: str) -> Path:
        """The path of a program."""
        return self.folder / name


def programs(*names: str) -> Programs:
    """The programs, of b5050 where POLLEX_SOURCE_MIRROR names a git folder that has it, else of b4980 out of a package.

    Raises:
        SandboxError: the source has other bytes than the pinned tree, or the build failed.
    """
    mirror = os.environ.get("POLLEX_SOURCE_MIRROR")
    pin = PINS["b4980" if mirror is None else "b5050"]
    profile = PROFILES["cpu"]
    series = patches.load(profile.series, tag=pin.tag)
    flags = (*profile.flags, *CPU_FLAGS)
    key = sha256("\n".join([pin.tree, *(patch.sha256 for patch in series), *flags, *names]))[:32]
    folder = cache() / "bench" / f"programs-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent):
        if not folder.is_dir():
            say(f"compiling {', '.join(names)} of {pin.tag}: some minutes, once")
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as scratch:
                tree = _tree(Path(scratch), pin, mirror)
                for patch in series:
                    subprocess.run(["patch", "-sp1", "-d", tree], input=patch.text.encode(), check=True)
                run(["cmake", "-G", "Ninja", *flags, "-S", tree, "-B", tree / "b"])
                run(["ninja", "-C", tree / "b", *names])
                made = Path(scratch, "made")
                made.mkdir()
                for name in names:
                    shutil.move(tree / "b" / "bin" / name, made / name)
                made.replace(folder)
    return Programs(pin.tag, folder)


def _tree(scratch: Path, pin: Pin, mirror: str | None) -> Path:
    """The pinned source, unpacked."""
    repository = Path(mirror) if mirror is not None else scratch / "repository"
    if mirror is None:
        run(["git", "clone", "--quiet", "--bare", fetch.fetch(fetch.BUNDLE), repository])
    revision = pin.commit if mirror is not None else "HEAD"
    found = run(["git", "-C", repository, "rev-parse", f"{revision}^{{tree}}"]).stdout.strip()
    if found != pin.tree:
        raise SandboxError(f"the source of {pin.tag} has tree {found}; {pin.tree} is pinned")
    archive, tree = scratch / "source.tar", scratch / "source"
    run(["git", "-C", repository, "archive", f"--output={archive}", found])
    with tarfile.open(archive) as opened:
        opened.extractall(tree, filter="data")
    return tree
