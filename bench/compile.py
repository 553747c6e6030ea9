"""How much there is to compile: the original recipe's build beside ours, with one nvcc, in one run.

    python -m bench.compile [--rows N]

The work of a build is the sum of its steps' times, as ninja notes them. Both builds run side by side, one job each, and
ours begins anew until the other is done, so that a slow phase of the machine meets both. Prints a table and writes
build/bench/compile.json. It needs root on Debian (nvcc comes in a chroot, see sandbox/debian/nvcc.py), the source of
b5050 and, with two free cores, a quarter of an hour; where one is missing it says which and ends with status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import record
from infra.toolchain.once import cache
from sandbox import cuda, source
from sandbox.cuda import Build
from sandbox.debian import nvcc
from sandbox.machine import SandboxError, run, say

ORIGINAL = Path(__file__).parent / "original"
GOAL = 0.33
PAUSE = 5
"""Seconds between two looks at the builds and at the machine's load."""
BOARD_MINUTES = 85
"""What the original recipe takes on a Nano, as its author says."""
ORIGINAL_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_CUDA=ON",
    "-DCMAKE_CUDA_ARCHITECTURES=53",
    "-DCMAKE_CUDA_STANDARD=14",
    "-DCMAKE_CUDA_STANDARD_REQUIRED=ON",
    "-DCMAKE_CUDA_FLAGS=-I/work/stub",
    "-DGGML_NATIVE=OFF",
    "-DLLAMA_CURL=OFF",  # deviation, in the recipe's favour: it saves it a library and a few includes
)
GROUPS = (
    ("linking", r"^bin/|\.(so|a)$"),
    ("mmq kernels", r"mmq"),
    ("flash attention", r"fattn"),
    ("mat-vec kernels", r"/mmvq?[^/]*\.cu\.o$"),
    ("other CUDA", r"ggml-cuda/"),
    ("CPU backend and ggml", r"^ggml/"),
    ("llama", r"^src/"),
    ("common", r"^common/"),
    ("server", r"^examples/server/"),
    ("tests and other programs", r""),
)
"""Name → which outputs belong to it; the first that matches."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two builds, and what every finished run of it took."""

    build: Build
    target: str
    runs: list[dict[str, float]] = field(default_factory=list)
    """Output → seconds of the step that made it."""
    cpu: list[float] = field(default_factory=list)
    """Seconds of processor time, which waiting for other programs does not add to."""

    def start(self) -> subprocess.Popen[bytes]:
        """Begin from nothing but the configuration."""
        self.build.run("ninja", "-C", "b", "-t", "clean")
        (self.build.folder / "b" / ".ninja_log").unlink(missing_ok=True)
        return self.build.start(["sh", "-c", f"nice -n 10 ninja -C b -j 1 {self.target} && times >times"])

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Take what a run that has ended took."""
        if process.returncode != 0:
            tail = "\n".join(self.build.log.read_text(errors="replace").splitlines()[-30:])
            raise SandboxError(f"the build failed, whole log: {self.build.log}\n{tail}")
        self.runs.append(steps(self.build.folder / "b" / ".ninja_log"))
        self.cpu.append(processor((self.build.folder / "times").read_text()))

    def seconds(self) -> dict[str, float]:
        """Output → median seconds of its step."""
        return {name: statistics.median(run[name] for run in self.runs) for name in self.runs[0]}

    def spread(self) -> list[float]:
        """The total of each run, in seconds."""
        return [round(sum(run.values()), 1) for run in self.runs]


def steps(log: Path) -> dict[str, float]:
    """Output → seconds, of a .ninja_log; a step with several outputs counts once."""
    taken: dict[tuple[str, str, str], tuple[str, float]] = {}
    for line in log.read_text().splitlines()[1:]:
        begun, ended, _, output, command = line.split("\t")
        taken[begun, ended, command] = (output, (int(ended) - int(begun)) / 1000)
    return dict(taken.values())


def processor(times: str) -> float:
    """Seconds that the children of a shell computed, from what its `times` printed: `0m1.5s 0m0.2s` in two lines."""
    spent = re.findall(r"(\d+)m([\d.]+)s", times.splitlines()[1])
    return sum(60 * int(minutes) + float(seconds) for minutes, seconds in spent)


def prepare(root: Path, folder: Path) -> tuple[Side, Side]:
    """Both sources, patched and configured: the original's and ours."""
    original, ours = Build(root, folder / "original"), Build(root, folder / "ours")
    for build in (original, ours):
        build.folder.mkdir()
        cuda.unpack(build.folder / "src")
    run(["sh", ORIGINAL / "recipe.sh", original.folder / "src"])
    (original.folder / "stub").mkdir()
    shutil.copy(ORIGINAL / "cuda_bf16.h", original.folder / "stub")
    original.configure(ORIGINAL_FLAGS)
    cuda.apply_series(ours.folder / "src")
    ours.configure(cuda.flags())
    return Side(original, "all"), Side(ours, "llama-server")


@contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the block."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def race(original: Side, ours: Side) -> list[float]:
    """Run both until the original is through once and ours at least once; the machine's load all along."""
    load = []
    with running(original.start()) as long:
        while long.poll() is None or not ours.runs:
            with running(ours.start()) as short:
                while short.poll() is None and (long.poll() is None or not ours.runs):
                    load.append(os.getloadavg()[0])
                    time.sleep(PAUSE)
                if short.poll() is not None:
                    ours.finish(short)
                    say(f"ours: {ours.spread()[-1]:.0f} s of steps")
        original.finish(long)
        say(f"the original recipe: {original.spread()[-1]:.0f} s of steps")
    return load


def grouped(seconds: Mapping[str, float]) -> dict[str, tuple[int, float]]:
    """Group → number of steps and their seconds."""
    found: dict[str, list[float]] = defaultdict(list)
    for output, taken in seconds.items():
        found[next(name for name, pattern in GROUPS if re.search(pattern, output))].append(taken)
    return {name: (len(found[name]), sum(found[name])) for name, _ in GROUPS}


def short(output: str) -> str:
    """A step's output without what CMake puts between the folder and the file."""
    return re.sub(r"CMakeFiles/[^/]+\.dir/", "", output).removesuffix(".o")


def table(theirs: Mapping[str, float], mine: Mapping[str, float], rows: int) -> Iterator[str]:
    """The groups, then the longest files, both with the seconds of either build."""
    yield f"{'':58}{'original':>16}{'ours':>16}"
    groups = grouped(theirs), grouped(mine)
    for name, _ in GROUPS:
        (many, long), (few, brief) = groups[0][name], groups[1][name]
        yield f"{name:58}{many:>5} {long:>8.1f} s{few:>5} {brief:>8.1f} s"
    yield f"{'all steps':58}{len(theirs):>5} {sum(theirs.values()):>8.1f} s{len(mine):>5} {sum(mine.values()):>8.1f} s"
    yield ""
    for output in sorted(
        theirs.keys() | mine.keys(), key=lambda output: -max(theirs.get(output, 0), mine.get(output, 0))
    )[:rows]:
        cells = (f"{side[output]:>14.1f} s" if output in side else f"{'-':>16}" for side in (theirs, mine))
        yield f"{short(output)[-57:]:58}{''.join(cells)}"


def versions(root: Path) -> str:
    """The compilers of the chroot, in words."""
    names = ("nvcc", "gcc", "ninja")
    commands: Sequence[Sequence[str]] = (["nvcc", "--version"], ["gcc", "-dumpfullversion"], ["ninja", "--version"])
    told = [run(["chroot", root, *command]).stdout.strip() for command in commands]
    release = re.search(r"release ([\d.]+)", told[0])
    told[0] = release[1] if release else "of an unknown version"
    return ", ".join(f"{name} {version}" for name, version in zip(names, told, strict=True))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure how much there is to compile.")
    parser.add_argument("--rows", type=int, default=60, help="files in the table; the report has all")
    rows = parser.parse_args().rows
    try:
        root = nvcc.chroot()
        with tempfile.TemporaryDirectory(dir=cache(), prefix="bench-compile-") as folder:
            original, ours = prepare(root, Path(folder))
            load = race(original, ours)
    except SandboxError as error:
        sys.exit(f"error: {error}")
    theirs, mine = original.seconds(), ours.seconds()
    ratio = sum(mine.values()) / sum(theirs.values())
    report = {
        "name": "compile",
        "unit": "s, sum of the steps of a whole build with one nvcc for compute capability 5.3",
        "ours": round(sum(mine.values()), 1),
        "peer": round(sum(theirs.values()), 1),
        "goal": GOAL,
        "cpu_seconds": {"ours": ours.cpu, "peer": original.cpu},
        "cpu_ratio": round(statistics.median(ours.cpu) / statistics.median(original.cpu), 3),
        "runs": {"ours": ours.spread(), "peer": original.spread()},
        "extrapolated_board_minutes": round(BOARD_MINUTES * ratio),
        "extrapolation": f"{BOARD_MINUTES} minutes, as the original recipe states, times the ratio; not measured",
        "mean_load": round(statistics.mean(load), 1),
        "versions": f"{versions(root)}, llama.cpp {source.NANO.tag}",
        "steps": {
            short(output): {"peer": theirs.get(output), "ours": mine.get(output)} for output in sorted(theirs | mine)
        },
    }
    print("\n".join(table(theirs, mine, rows)))
    print(f"\nratio {ratio:.3f} (goal: at most {GOAL}), by processor time {report['cpu_ratio']}")
    print(f"{report['versions']}; {record.machine()}, mean load {report['mean_load']}")
    print(f"extrapolated, not measured: {BOARD_MINUTES} min on the board become {BOARD_MINUTES * ratio:.0f} min")
    record.write(report)


if __name__ == "__main__":
    main()
