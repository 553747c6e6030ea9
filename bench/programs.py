"""llama.cpp's own programs for the measurements, built once for this machine's CPU and kept by key."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.core import patches
from infra.core.derivation import sha256
from infra.core.profiles import PROFILES, SPARSE
from infra.core.source import Source
from infra.toolchain.once import cache, made
from sandbox import source
from sandbox.machine import SandboxError, run, say

CPU_FLAGS = ("-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON")
"""As in the sandbox's stack file: every PC since about 2015."""
TOOLS = ("cmake", "ninja", "c++", "patch")


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder of programs, and the tag of the source that they were made from."""

    tag: str
    folder: Path

    def __truediv__(self, name: str) -> Path:
        """The path of a program."""
        return self.folder / name


def programs(*names: str, without: Collection[str] = ()) -> Programs:
    """The programs, of the Nano's source where POLLEX_SOURCE_MIRROR is set, else of the sandbox's.

    Args:
        names: of what is built.
        without: patches that are left out, to measure what they do.

    Raises:
        SandboxError: as `built`.
    """
    pin = source.NANO if source.MIRROR in os.environ else source.CARRIED
    return built(pin, CPU_FLAGS, *names, without=without)


def built(pin: Source, flags: Sequence[str], *names: str, without: Collection[str] = ()) -> Programs:
    """The programs of a pinned source with the patches and flags of the profile `cpu`, and more flags.

    Raises:
        SandboxError: the source cannot be had, a tool is missing, or the build failed.
    """
    series = [patch for patch in patches.load(PROFILES["cpu"].series, tag=pin.tag) if patch.name not in without]
    flags = (*PROFILES["cpu"].flags, *flags)
    key = sha256("\n".join([pin.tree, *(patch.sha256 for patch in series), *flags, *names]))[:32]

    def make(part: Path) -> None:
        if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
            raise SandboxError(f"compiling needs {', '.join(missing)}: `python -m sandbox.machine` brings it")
        say(f"compiling {', '.join(names)} of {pin.tag}: some minutes, once")
        tree = part.with_name("source")
        source.obtain(pin, part.parent).unpack(tree, "CMakeLists.txt", *SPARSE)
        source.apply(tree, (patch.name for patch in series))
        run(["cmake", "-G", "Ninja", *flags, "-S", tree, "-B", tree / "b"])
        run(["ninja", "-C", tree / "b", *names])
        part.mkdir()
        for name in names:
            shutil.move(tree / "b" / "bin" / name, part / name)

    return Programs(pin.tag, made(cache() / "bench" / f"programs-{key}", make))
