"""What `make bench-compile` counts, without compiling."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import compile as bench
from sandbox import cuda
from sandbox.cuda import Build

CUDA = "ggml/src/ggml-cuda/CMakeFiles/ggml-cuda.dir"
OUTPUTS = {
    f"{CUDA}/template-instances/mmq-instance-q4_0.cu.o": "mmq kernels",
    f"{CUDA}/mmq.cu.o": "mmq kernels",
    f"{CUDA}/fattn.cu.o": "flash attention",
    f"{CUDA}/template-instances/fattn-vec-f16-instance-hs64-f16-f16.cu.o": "flash attention",
    f"{CUDA}/mmvq.cu.o": "mat-vec kernels",
    f"{CUDA}/mmvq-half2.cu.o": "mat-vec kernels",
    f"{CUDA}/concat.cu.o": "other CUDA",
    "ggml/src/CMakeFiles/ggml-cpu.dir/ggml-cpu/ggml-cpu.c.o": "CPU backend and ggml",
    "src/CMakeFiles/llama.dir/llama.cpp.o": "llama",
    "common/CMakeFiles/common.dir/chat.cpp.o": "common",
    "examples/server/CMakeFiles/llama-server.dir/server.cpp.o": "server",
    "tests/CMakeFiles/test-chat.dir/test-chat.cpp.o": "tests and other programs",
    "examples/main/CMakeFiles/llama-cli.dir/main.cpp.o": "tests and other programs",
    "bin/llama-server": "linking",
    "src/libllama.a": "linking",
}


def test_a_step_with_two_outputs_counts_once(tmp_path: Path) -> None:
    """If this fails, the work of a build is overstated by what its generators write."""
    log = tmp_path / ".ninja_log"
    log.write_text("# ninja log v5\n0\t1500\t9\ta.o\tc1\n1500\t1750\t9\tb.h\tc2\n1500\t1750\t9\tb.cpp\tc2\n")
    taken = bench.steps(log)
    assert taken["a.o"] == 1.5
    assert sum(taken.values()) == 1.75


def test_processor_time_is_that_of_the_children() -> None:
    """If this fails, the second witness of the comparison counts the shell that starts the build."""
    assert bench.processor("0m0.01s 0m0.02s\n12m3.50s 1m0.25s\n") == 783.75


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_belong_to_their_group(output: str) -> None:
    """If this fails, the table gives the saving to something else than what was left out."""
    groups = bench.grouped({output: 2.0})
    assert {name: value for name, value in groups.items() if value[0]} == {OUTPUTS[output]: (1, 2.0)}


def test_a_build_elsewhere_names_no_compiler_of_the_board() -> None:
    """If this fails, the check of the compile asks for GCC 8 or a path that only the board has."""
    assert "-DCMAKE_CUDA_ARCHITECTURES=53-real" in cuda.flags()
    assert not [flag for flag in cuda.flags() if "COMPILER" in flag or "ARM" in flag]


class Pretended(Build):
    """A build of which each run in turn ends once a file is there; the last of them makes one when it begins."""

    def __init__(self, folder: Path, *ends: Path, makes: Path | None = None) -> None:
        super().__init__(folder, folder)
        self.ends = [*ends]
        self.makes = makes
        (folder / "b").mkdir(parents=True)

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Wait, then leave a log behind."""
        end, log = self.ends.pop(0), self.folder / "b" / ".ninja_log"
        if not self.ends and self.makes is not None:
            self.makes.touch()
        script = 'until [ -e "$1" ]; do sleep 0.02; done'
        script += ' && printf "# ninja log v5\\n0\\t1000\\t9\\ta.o\\tc\\n" >"$2" && times >times'
        return subprocess.Popen(["sh", "-c", script, "sh", str(end), str(log)], cwd=self.folder)


@pytest.mark.parametrize("longer", ["the other", "ours"])
def test_ours_runs_as_long_as_the_other_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, longer: str) -> None:
    """If this fails, a quiet phase of the machine can fall to one side alone, or a run that was cut short counts."""
    monkeypatch.setattr(bench, "PAUSE", 0.02)
    there, later, never = (tmp_path / name for name in ("there", "later", "never"))
    there.touch()
    if longer == "ours":
        builds = Pretended(tmp_path / "one", there), Pretended(tmp_path / "two", tmp_path / "one" / "times", never)
    else:  # it ends within the third of ours
        builds = Pretended(tmp_path / "one", later), Pretended(tmp_path / "two", there, there, never, makes=later)
    original, ours = bench.Side(builds[0], "all"), bench.Side(builds[1], "llama-server")
    monkeypatch.setattr(Build, "run", lambda *_: None)
    assert bench.race(original, ours)
    assert (len(original.runs), len(ours.runs)) == (1, 1 if longer == "ours" else 2)
