"""What the profile of the Nano compiles of ggml-cuda, as the source's own CMakeLists.txt decides it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.core.profiles import PROFILES

PROFILE = PROFILES["cuda10"]
CUDA = "ggml/src/ggml-cuda"
"""Folder of the CUDA files in a source."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What would be compiled."""

    sources: frozenset[str]
    """Paths below ggml/src/ggml-cuda."""
    defines: tuple[str, ...]
    """`NAME` or `NAME=VALUE`."""


def arguments(*changes: str) -> tuple[str, ...]:
    """The CMake arguments of the profile about its GPU, with changes."""
    chosen = [flag for flag in PROFILE.flags if "CUDA" in flag]
    given = dict(flag.removeprefix("-D").split("=", 1) for flag in (*chosen, *changes))
    return tuple(f"-D{name}={value}" for name, value in given.items())


def select(tree: Path, *given: str) -> Selection:
    """Run the CMakeLists.txt of ggml-cuda in a source, without a toolkit."""
    command = ["cmake", *given, "-DFILE=CMakeLists.txt", "-P", str(Path(__file__).with_name("sources.cmake"))]
    told = subprocess.run(command, cwd=tree / CUDA, check=True, capture_output=True, text=True).stdout
    lines = [line.split(maxsplit=1) for line in told.splitlines()]
    assert lines, "CMake said nothing: sources.cmake no longer fits the CMakeLists.txt"
    sources = frozenset(value for kind, value in lines if kind == "source")
    return Selection(sources, tuple(value for kind, value in lines if kind == "define"))
