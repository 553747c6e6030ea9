"""The kernels of 0021-cuda-half2-mat-vec, computed on the host as a GPU computes them, against FP64 and the old path.

tests/patches/host holds what CUDA is to them here: halves with the right rounding, warps, checked loads. The products
are those of `half2.cuh` out of the patch and of `vecdotq.cuh` as upstream has it.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pytest

from bench import tensors
from sandbox import fetch
from sandbox.source import CARRIED, Tree, apply

PATCH = "0021-cuda-half2-mat-vec.patch"
HOST = Path(__file__).parent / "host"
HEADER = "ggml/src/ggml-cuda/half2.cuh"
FILES = (
    "ggml/include",
    "ggml/src/ggml-common.h",
    "ggml/src/ggml-cpu/ggml-cpu-impl.h",
    "ggml/src/ggml-cuda/ggml-cuda.cu",
    "ggml/src/ggml-cuda/vecdotq.cuh",
    "ggml/src/ggml-impl.h",
    "ggml/src/ggml-quants.c",
    "ggml/src/ggml-quants.h",
)
"""What the patch changes and what the program is compiled from."""

ROWS = 401
"""Of weights for each kind of input: 6 million blocks of 32 in all; not a multiple of a block's 16 rows."""

REAL = "a model's"
"""The kind of weights that come out of a real model, the sandbox's."""

MANY = 2_000_000
"""Of its weights, out of every matrix; blocks are made of them one after the other, for all kinds of activations."""

FEW_ROWS = 5
"""What is enough to notice a wrong kernel."""

LIMIT = 2.0**-9
"""No single result may be further off than this part of |weights| * |activations|: a few units in a half's last place
for every sum of 16, which q8_1 exceeds on ordinary inputs."""

EXACT = {"one sign, same size", "one alone"}
"""Activations that q8_1 holds without any error, so that its sum, which is made of integers, has none either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Errors of one type and kind of activations over all kinds of weights, in |weights| * |activations|."""

    rms: float
    worst: float


class Row(TypedDict):
    """A line of the program's output."""

    type: str
    weights: str
    activations: str
    blocks: int
    half2: tuple[float, float]
    """Root mean square and greatest error."""
    q8_1: tuple[float, float]


Table = dict[tuple[str, str], dict[str, Measured]]
"""By type and kind of activations: `half2` and `q8_1`."""


class WrongLoadError(Exception):
    """A kernel reads outside the arrays it was given, or at an address that is not aligned."""


@dataclass(frozen=True, slots=True)
class Program:
    """The tree to compile from, with the patch applied, and the objects that no mutation changes."""

    tree: Path

    def compile(self, into: Path, *files: str, options: Sequence[str] = ()) -> Path:
        """Compile with `into` before the tree, and return what came out."""
        include = [into, HOST, self.tree, self.tree / "ggml/include", self.tree / "ggml/src"]
        command = ["g++", "-std=c++17", "-Wno-unknown-pragmas", *options, *(f"-I{folder}" for folder in include)]
        output = into / "output"
        done = subprocess.run([*command, *files, "-o", str(output)], check=False, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr
        return output

    def measure(self, into: Path, rows: int, header: str | None = None) -> list[Row]:
        """Compile with the patch's header, or another text of it, run, and return what was measured.

        Raises:
            WrongLoadError: a kernel reads where it must not.
        """
        (into / "half2.cuh").write_text(header if header is not None else self.header)
        objects = [str(self.tree / name) for name in ("warp.o", "quants.o")]
        options = ["-O1" if header is not None else "-O2", "-Wl,--gc-sections"]
        error = self.compile(into, str(HOST / "error.cpp"), *objects, options=options)
        done = subprocess.run(
            [error, str(rows), "1", self.tree / "weights"], check=False, capture_output=True, text=True
        )
        if "a kernel loads" in done.stderr:
            raise WrongLoadError(done.stderr)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @property
    def header(self) -> str:
        """half2.cuh as the patch adds it."""
        return (self.tree / HEADER).read_text()


@pytest.fixture(scope="module")
def program(source: Callable[[str], Tree], tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The patch on the sandbox's source, whose quantization and dot products are b5050's, byte for byte."""
    tree = tmp_path_factory.mktemp("ggml")
    source(CARRIED.tag).unpack(tree, *FILES)
    apply(tree, [PATCH])
    # Beside the stand-in for common.cuh, not beside the real one.
    (tree / "vecdotq.cuh").write_bytes((tree / "ggml/src/ggml-cuda/vecdotq.cuh").read_bytes())
    options = ["-O2", "-w", "-ffunction-sections", "-fdata-sections", "-Iggml/include", "-Iggml/src"]
    compile_ = ["gcc", *options, "-c", "ggml/src/ggml-quants.c", "-o", "quants.o"]
    subprocess.run(compile_, cwd=tree, check=True)
    (tree / "weights").write_bytes(tensors.floats(fetch.fetch(fetch.MODEL), MANY).tobytes())
    program = Program(tree)
    program.compile(tree, str(HOST / "warp.cpp"), options=["-O2", "-c"]).rename(tree / "warp.o")
    return program


def table(measured: list[Row]) -> Table:
    """The measurements of every kind of weights together."""
    gathered: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in measured:
        gathered[row["type"], row["activations"]].append(row)
    return {
        key: {"half2": together([row["half2"] for row in rows]), "q8_1": together([row["q8_1"] for row in rows])}
        for key, rows in gathered.items()
    }


def together(errors: list[tuple[float, float]]) -> Measured:
    """The errors of equally many results each."""
    return Measured(
        rms=math.sqrt(sum(rms**2 for rms, _ in errors) / len(errors)), worst=max(worst for _, worst in errors)
    )


def problems(errors: Table) -> list[str]:
    """What is wrong with these errors, one line each."""
    found = []
    for (kind, activations), paths in errors.items():
        ours, peer = paths["half2"], paths["q8_1"]
        if not ours.worst <= LIMIT:
            found.append(f"{kind}, {activations}: an error of {ours.worst:.1e}, at most {LIMIT:.1e} is right")
        if activations not in EXACT and not (ours.rms <= peer.rms and ours.worst <= peer.worst):
            found.append(f"{kind}, {activations}: less exact than q8_1: {ours} and {peer}")
    return found


def test_no_less_exact_than_before(program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails, switching the kernels on makes the model's answers worse, or garbage."""
    measured = program.measure(tmp_path, ROWS)
    errors = table(measured)
    with capsys.disabled():
        print(f"\n{sum(row['blocks'] for row in measured):,} blocks of 32; errors in |weights| * |activations|")
        print(f"{'':26}{'half2 rms':>10}{'worst':>10}{'q8_1 rms':>12}{'worst':>10}")
        for (kind, activations), paths in errors.items():
            ours, peer = paths["half2"], paths["q8_1"]
            print(f"{kind:6}{activations:20}{ours.rms:10.1e}{ours.worst:10.1e}{peer.rms:12.1e}{peer.worst:10.1e}")
    assert len(errors) == 4 * 10
    assert not problems(errors)
    real = [row for row in measured if row["weights"] == REAL]
    assert len(real) == len(errors)
    assert not problems(table(real))


MUTATIONS = {
    "zero point of a low nibble": ("0x000F000F, 0x00080008", "0x000F000F, 0x00070007"),
    "zero point of a high nibble": ("0x00F000F0, 0x00800080), half2", "0x00F000F0, 0x00080008), half2"),
    "sign of 1024": ("HALF2_MINUS_1024 0xE400E400", "HALF2_MINUS_1024 0x64006400"),
    "shift to the other bytes": ("const uint32_t r = q >> 8;", "const uint32_t r = q >> 4;"),
    "sign bit of a byte": ("more = HALF2_1024 + 0x00800080", "more = HALF2_1024"),
    "which half of a split word": (
        "last = (begin & 0xFFFF0000) | (middle & 0x0000FFFF)",
        "last = (begin & 0x0000FFFF) | (middle & 0xFFFF0000)",
    ),
    "where the first block's words begin": ("(byte + 4*nwords - 2)", "(byte + 4*nwords - 1)"),
    "which scale of a pair": ("half2_low (d) *", "half2_high(d) *"),
    "order of a word's pairs": ("(pair + byte % 2)*2 + byte / 2", "(pair + byte / 2)*2 + byte % 2"),
    "sign of the minimum": ("8*scale0 - dmin*", "8*scale0 + dmin*"),
    "what the minimum makes up for": ("= 8*scale1 -", "= 7*scale1 -"),
    "shift of a scale's upper bits": ("shift(lane % 4 < 2 ? 0 : 2)", "shift(lane % 4 < 2 ? 0 : 1)"),
    "mask of a scale's upper bits": ("0x003F003F : 0x00300030", "0x003F003F : 0x00100010"),
    "nibble of a minimum": ("((both >> 4) & lower)", "((both >> 0) & lower)"),
    "shift of two upper bits": ("low (m, h << 2)", "low (m, h << 4)"),
    "shift of two upper bits, sixteenfold": ("high(m >> 8, h >> 6)", "high(m >> 8, h >> 4)"),
    "words at odd halves": ("off == 0 ? 0x3210 : 0x5432", "0x3210"),
    "distance of scales": ("half2_load_s8(scales + 2)", "half2_load_s8(scales + 1)"),
    "which activations a scale is for": ("return lane(i)*4 + i / 32 % 4;", "return lane(i)*4 + i / 32 % 2;"),
    "sign of the activations' exponent": ("factor[0] = half2_power(e -", "factor[0] = half2_power(-e -"),
    "activations of a high nibble": ("(row::prescaled ? 1 - bits : 1) - e", "1 - e"),
    "sum that the minimum takes": ("factor[1] = sum;", "factor[1] = -sum;"),
    "rows past the end": ("min(row, nrows - 1)*row_bytes", "row*row_bytes"),
    "weights past the end of a row": ("i < nchunks", "i <= nchunks"),
    "step to the next group": ("y += HALF2_GROUP_BYTES;", "y += HALF2_FACTORS;"),
}
"""What could be wrong: each text of the header with one that is."""


@pytest.mark.parametrize("what", MUTATIONS)
def test_a_wrong_kernel_is_noticed(program: Program, tmp_path: Path, what: str) -> None:
    """If this fails, a wrong sign or shift in a kernel would pass the test above."""
    right, wrong = MUTATIONS[what]
    assert right in program.header
    try:
        measured = program.measure(tmp_path, FEW_ROWS, program.header.replace(right, wrong))
    except WrongLoadError:
        return
    assert problems(table(measured))


def test_a_right_kernel_passes_with_few_rows(program: Program, tmp_path: Path) -> None:
    """If this fails, the test of wrong kernels passes because of its few rows, not because they are wrong."""
    assert not problems(table(program.measure(tmp_path, FEW_ROWS)))
