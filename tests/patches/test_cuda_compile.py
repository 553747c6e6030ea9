"""The whole CUDA part of the Nano's build, compiled as strictly as its compilers ask, without CUDA.

Debian's clang is the front end, and refuses what C++14 does not have; NVIDIA's own assembler makes the machine code for
compute capability 5.3. The toolkit's headers wear CUDA 10.2's version numbers and lack cuda_bf16.h. What the front end
of nvcc 10.2 says, patches/README.md tells; `make check-cuda` compiles and links everything with nvcc 11.2.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench import nvidia
from infra.core import patches
from infra.core.derivation import sha256
from infra.toolchain.once import cache, made
from sandbox.source import NANO
from tests.patches.nano import CUDA, PROFILE, arguments, select

STUBS = Path(__file__).parent / "cuda"
CLANG = "clang++-14"
STRICT = ("-std=c++14", "-Wno-everything", "-Werror=c++17-extensions", "-Werror=c++20-extensions")
VERSIONS = re.compile(r"(#define +(?:CUDA_VERSION|CUDART_VERSION) +)\d+")
EM_CUDA = 190


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NVIDIA's assembler and headers, dressed as CUDA 10.2."""
    found, dressed = nvidia.toolkit(), tmp_path_factory.mktemp("toolkit")
    for part in found.iterdir():
        if part.name != "include":
            (dressed / part.name).symlink_to(part)
    (dressed / "include").mkdir()
    for header in (found / "include").iterdir():
        if header.name in {"cuda.h", "cuda_runtime_api.h"}:
            text, times = VERSIONS.subn(r"\g<1>10020", header.read_text())
            assert times == 1
            (dressed / "include" / header.name).write_text(text)
        elif not header.name.startswith("cuda_bf16"):
            (dressed / "include" / header.name).symlink_to(header)
    return dressed


def front(tree: Path, toolkit: Path, unit: str) -> list[str]:
    """The command line of clang for a CUDA file of a source, without what it is to make of it."""
    folders = (STUBS, nvidia.STUBS, tree / CUDA, tree / CUDA / "compat", tree / "ggml/src", tree / "ggml/include")
    return [
        *(CLANG, "-x", "cuda", f"--cuda-gpu-arch={nvidia.ARCHITECTURE}", f"--cuda-path={toolkit}", "-O3", *STRICT),
        *(f"-I{folder}" for folder in folders),
        *(f"-D{name}" for name in select(tree, *arguments()).defines),
        *(f'-DUNIT="{unit}"', str(nvidia.STUBS / "unit.cu")),
    ]


def complaints(command: list[str]) -> str:
    """What a compiler has against its input; empty when it takes it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "\n".join(done.stderr.splitlines()[:20]) or f"status {done.returncode}"


def compile_unit(tree: Path, toolkit: Path, unit: str, cubin: Path) -> str:
    """Make a file's machine code and check its host code; what is wrong, if anything."""
    with TemporaryDirectory() as scratch:
        ptx, common = f"{scratch}/unit.ptx", front(tree, toolkit, unit)
        assemble = [str(toolkit / "bin/ptxas"), f"-arch={nvidia.ARCHITECTURE}", ptx, "-o", str(cubin)]
        return (
            complaints([*common, "--cuda-host-only", "-fsyntax-only"])
            or complaints([*common, "--cuda-device-only", "-S", "-o", ptx])
            or complaints(assemble)
        )


@pytest.fixture(scope="module")
def cubins(nano: Path, toolkit: Path) -> Path:
    """A folder with the machine code of every file, kept in the cache until anything that decides it changes."""
    if shutil.which(CLANG) is None:
        pytest.fail(f"{CLANG} is missing; `python -m sandbox.machine` brings it")
    about = subprocess.run([CLANG, "--version"], check=True, capture_output=True, text=True).stdout
    stubs = [file.read_text() for folder in (STUBS, nvidia.STUBS) for file in sorted(folder.iterdir())]
    series = [patch.sha256 for patch in patches.load(PROFILE.series, tag=NANO.tag)]
    inputs = [about, nvidia.PACKAGES, NANO.tree, *series, *PROFILE.flags, *STRICT, *stubs]
    final = cache() / "tests" / f"cubins-{sha256(''.join(inputs))[:32]}"
    return made(final, lambda part: build(nano, toolkit, part))


def build(tree: Path, toolkit: Path, into: Path) -> None:
    into.mkdir()
    units = sorted(select(tree, *arguments()).sources)
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(lambda unit: compile_unit(tree, toolkit, unit, into / f"{Path(unit).stem}.cubin"), units)
        wrong = {unit: words for unit, words in zip(units, said, strict=True) if words}
    assert not wrong, "\n\n".join(f"{unit}: {words}" for unit, words in wrong.items())


def test_every_file_compiles_for_the_nano(nano: Path, cubins: Path) -> None:
    """If this fails, the build ends on the board, after up to an hour, in a file that its compilers do not take."""
    found = {cubin.stem: cubin.read_bytes() for cubin in cubins.iterdir()}
    assert found.keys() == {Path(unit).stem for unit in select(nano, *arguments()).sources}
    for unit, code in found.items():
        machine, flags = struct.unpack_from("<H", code, 18)[0], struct.unpack_from("<I", code, 48)[0]
        assert (code[:4], machine, flags & 0xFF) == (b"\x7fELF", EM_CUDA, 53), unit
    assert b"mul_mat_vec_q" in found["mmvq"]
    assert b"mul_mat_q" not in b"".join(found.values())


def test_newer_cpp_is_refused(nano_source: Path, toolkit: Path, tmp_path: Path) -> None:
    """If this fails, the test above passes with code that nvcc 10.2 does not take: the source has it before 0008."""
    (tmp_path / "cuda_bf16.h").write_text("#include <cuda_fp16.h>\ntypedef half nv_bfloat16;\n")
    command = [*front(nano_source, toolkit, "norm.cu"), f"-I{tmp_path}", "--cuda-host-only", "-fsyntax-only"]
    assert "constexpr if is a C++17 extension" in complaints(command)


def test_newer_headers_are_missing(nano_source: Path, toolkit: Path) -> None:
    """If this fails, the test above passes with a header that CUDA 10.2 does not have: the source asks before 0005."""
    command = [*front(nano_source, toolkit, "common.cuh"), "--cuda-host-only", "-fsyntax-only"]
    assert "'cuda_bf16.h' file not found" in complaints(command)
