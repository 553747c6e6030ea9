"""Builds llama-server for the Nano's GPU with nvcc 11.2, dressed as CUDA 10.2, and its host part for the Nano's CPU.

    python -m sandbox.cuda

compiles everything, which takes a quarter of an hour, and says what it found. No board and no GPU is needed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.core import patches
from infra.core.profiles import PROFILES, SPARSE
from infra.toolchain.once import cache
from sandbox import debian, source
from sandbox.debian import nvcc
from sandbox.machine import SandboxError, say

PROFILE = PROFILES["cuda10"]
FOLDERS = ("CMakeLists.txt", "tests", *SPARSE)
"""What is taken of the source; the tests are part of the original recipe's build."""


def unpack(into: Path) -> None:
    """The Nano's source, unpatched.

    Raises:
        SandboxError: it cannot be had.
    """
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        source.obtain(source.NANO, Path(scratch)).unpack(into, *FOLDERS)


def apply_series(tree: Path) -> None:
    """Patch a source as the host does."""
    source.apply(tree, (patch.name for patch in patches.load(PROFILE.series, tag=source.NANO.tag)))


def flags() -> tuple[str, ...]:
    """The profile's CMake arguments without those that name the board's own compilers and CPU."""
    ours = ("-DCMAKE_C_COMPILER", "-DCMAKE_CXX_COMPILER", "-DCMAKE_CUDA_COMPILER", "-DCMAKE_CUDA_HOST_COMPILER")
    return tuple(flag for flag in PROFILE.flags if not flag.startswith((*ours, "-DGGML_CPU_ARM_ARCH")))


class Build:
    """A build in the chroot: `folder` holds src/, b/ and log."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.log = folder / "log"

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command there, with what it says at the end of the log."""
        with self.log.open("ab") as log:
            return debian.start(self.root, self.folder, command, log)

    def run(self, *command: str) -> None:
        """Run a command there.

        Raises:
            SandboxError: it failed; the message holds the end of the log.
        """
        if self.start(command).wait() != 0:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
            raise SandboxError(f"{' '.join(command)} failed in {self.folder}\n{tail}")

    def configure(self, arguments: Sequence[str]) -> None:
        """Make b/ anew."""
        version = ("-DGGML_BUILD_NUMBER=0", f"-DGGML_BUILD_COMMIT={source.NANO.commit[:9]}")
        self.run("cmake", "-G", "Ninja", "-S", "src", "-B", "b", *version, *arguments)

    def said(self, words: str) -> list[str]:
        """The lines of the log with these words."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if words in line]


CROSS = (
    "-DCMAKE_SYSTEM_NAME=Linux",
    "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
    "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc-9",
    "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++-9",
    # So that what asks for the compiler's age takes the way that it takes on the board.
    "-DCMAKE_C_FLAGS=-U__GNUC__ -D__GNUC__=8",
    "-DCMAKE_CXX_FLAGS=-U__GNUC__ -D__GNUC__=8",
    "-DCMAKE_CXX_STANDARD=17",
    "-DCMAKE_CXX_EXTENSIONS=OFF",
    "-DGGML_CUDA=OFF",
)
"""The host's part for the Nano's CPU, with the oldest cross compiler that Debian still serves."""


def check_gpu(root: Path, folder: Path) -> str:
    """Compile and link the whole of the Nano's llama-server; a line about what came out.

    Raises:
        SandboxError: it does not compile, needs a newer C++, or holds other device code than the Nano's.
    """
    build = Build(root, folder)
    unpack(folder / "src")
    apply_series(folder / "src")
    build.configure(flags())
    build.run("ninja", "-C", "b", "llama-server")
    if newer := [*build.said("c++17"), *build.said("C++17")]:
        raise SandboxError(f"nvcc 10.2 knows C++14 at most, but nvcc says: {newer[0]}")
    build.run("sh", "-c", "cuobjdump --list-elf b/bin/llama-server >elf")
    build.run("sh", "-c", "cuobjdump --list-ptx b/bin/llama-server >ptx || :")  # fails where there is none
    device = (folder / "elf").read_text().splitlines()
    foreign = [line for line in device if ".sm_53." not in line]
    if foreign or not device or "sm_" in (folder / "ptx").read_text():
        raise SandboxError(f"device code for sm_53 alone was expected, but there is {foreign or 'none, or PTX'}")
    size = (folder / "b" / "bin" / "llama-server").stat().st_size
    return f"llama-server for sm_53: compiled as C++14 and linked, {len(device)} cubins, {size / 1e6:.0f} MB"


def check_host(root: Path, folder: Path) -> str:
    """Compile and link the host's part for aarch64 with GCC 9 that takes itself for GCC 8; a line about what came out.

    Raises:
        SandboxError: it does not compile.
    """
    build = Build(root, folder)
    unpack(folder / "src")
    apply_series(folder / "src")
    build.configure([*PROFILES["cpu"].flags, "-DGGML_CPU_ARM_ARCH=armv8-a", *CROSS])
    build.run("ninja", "-C", "b", "llama-server")
    size = (folder / "b" / "bin" / "llama-server").stat().st_size
    return f"host part for aarch64 (armv8-a): compiled with GCC 9 as GCC 8, C++17, {size / 1e6:.0f} MB"


def main() -> None:
    """Check both parts."""
    try:
        root = nvcc.chroot()
        for check in (check_host, check_gpu):
            with tempfile.TemporaryDirectory(dir=cache(), prefix="cuda-") as scratch:
                say(check(root, Path(scratch)))
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
