"""What the series leaves out of the Nano's build, and that no dispatch path of its GPU would have reached it.

The dispatch functions are cut out of the patched source and compiled as plain C++ for a known compute capability. The
compiler drops a branch only when it has proved, for every tensor, that it is not taken: a kernel whose launcher is
still named in the object file can be reached. b5050 only, because that is what the series is for.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.patches.nano import CUDA, arguments, select

NANO = 530
"""Its GPU's compute capability, as ggml counts."""
HELPERS = Path(__file__).parent / "dead_code"
MMQ = "ggml_cuda_op_mul_mat_q"
FLASH_ATTENTION = "reached_flash_attn_ext"
PREDICATES = (
    *("fp16_available", "fast_fp16_available", "fast_fp16_hardware_available"),
    *("fp16_mma_available", "fp16_mma_hardware_available", "new_mma_available"),
)


def cut(text: str, pattern: str) -> str:
    """The first part of a source that matches."""
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"upstream changed: nothing matches {pattern}"
    return found[0]


def function(text: str, beginning: str) -> str:
    """A function from the line that begins so to the brace that ends it."""
    return cut(text, rf"^{re.escape(beginning)}.*?^}}\n")


def dispatch(tree: Path) -> str:
    """Everything that decides where a multiplication or an attention goes, verbatim."""
    common, mmq, backend = ((tree / CUDA / name).read_text() for name in ("common.cuh", "mmq.cu", "ggml-cuda.cu"))
    limits = "".join((tree / CUDA / name).read_text() for name in ("mmq.cuh", "mmv.cuh", "mmvq.cuh"))
    return "".join(
        [
            *re.findall(r"^#define (?:GGML_CUDA_CC_|WARP_SIZE).*\n", common, re.MULTILINE),
            *re.findall(r"^#define MM\w+_MAX_\w+ .*\n", limits, re.MULTILINE),
            cut(common, r"^#ifdef __CUDA_ARCH_LIST__\nconstexpr.*?^#endif // __CUDA_ARCH_LIST__\n"),
            cut(common, r"^#if !defined\(GGML_CUDA_NO_FA\)[^\n]*\n#define FLASH_ATTN_AVAILABLE\n#endif[^\n]*\n"),
            *(function(common, f"static bool {name}(") for name in PREDICATES),
            "static " + function(mmq, "bool ggml_cuda_should_use_mmq("),
            function(backend, "static void ggml_cuda_mul_mat("),
            function(backend, "static bool ggml_backend_cuda_device_supports_op("),
        ]
    )


def reachable(tree: Path, text: str, defines: tuple[str, ...], capability: int, scratch: Path) -> set[str]:
    """Which of the two launchers the compiler could not prove to be out of reach."""
    (scratch / "dispatch.inc").write_text(text)
    command = [
        *("c++", "-std=c++17", "-O1", "-w", "-c", str(HELPERS / "dispatch.cpp"), "-o", str(scratch / "dispatch.o")),
        *(f"-I{folder}" for folder in (scratch, tree / "ggml/include", tree / "ggml/src")),
        *(f"-D{name}" for name in (*defines, f"CC={capability}")),
    ]
    subprocess.run(command, check=True)
    listing = ["nm", "--undefined-only", "--demangle", str(scratch / "dispatch.o")]
    symbols = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    assert "ggml_cuda_op_mul_mat_vec_q(" in symbols, "the dispatch was not compiled"
    return {name for name in (MMQ, FLASH_ATTENTION) if f" {name}(" in symbols}


def test_only_what_is_dead_is_left_out(nano_source: Path, nano: Path) -> None:
    """If this fails, a build leaves out a kernel that nobody has shown to be dead, or compiles dead ones."""
    before, after = select(nano_source, *arguments()), select(nano, *arguments())
    out = before.sources - after.sources
    assert {name for name in out if not re.search(r"(^|/)(mmq-instance|fattn)-[^/]*\.cu$", name)} == set()
    assert not [name for name in after.sources if re.search(r"(^|/)(mmq-instance|fattn)-", name)]
    assert {"GGML_CUDA_NO_MMQ", "GGML_CUDA_NO_FA"} <= set(after.defines)


@pytest.mark.parametrize("architectures", ["53", "53-virtual", "61-real", "53-real;75-real", "native", "all-major"])
def test_nothing_is_left_out_that_another_gpu_could_run(nano_source: Path, nano: Path, architectures: str) -> None:
    """If this fails, a build for another GPU, or one with PTX, ends with an error at its first prompt."""
    changes = (f"-DCMAKE_CUDA_ARCHITECTURES={architectures}", "-DGGML_CUDA_FA=ON")
    kept = select(nano, *arguments(*changes))
    assert select(nano_source, *arguments(*changes)).sources - kept.sources == set()
    assert not [name for name in kept.defines if name.startswith("GGML_CUDA_NO_") and name != "GGML_CUDA_NO_VMM"]


@pytest.mark.parametrize("listed", [(), (f"__CUDA_ARCH_LIST__={NANO}",)], ids=["nvcc 10.2", "newer nvcc"])
def test_the_nano_reaches_nothing_of_it(nano: Path, listed: tuple[str, ...], tmp_path: Path) -> None:
    """If this fails, a prompt on the board ends the server, because it needs a kernel that was left out."""
    defines = (*select(nano, *arguments()).defines, *listed)
    assert reachable(nano, dispatch(nano), defines, NANO, tmp_path) == set()


def test_others_reach_it(nano: Path, tmp_path: Path) -> None:
    """If this fails, the proof above proves nothing: it would not see a kernel that is used."""
    defines = select(nano, *arguments("-DGGML_CUDA_FA=ON")).defines
    assert reachable(nano, dispatch(nano), defines, 610, tmp_path) == {MMQ, FLASH_ATTENTION}


@pytest.mark.parametrize(
    ("old", "new", "reached"),
    [
        ("#define GGML_CUDA_CC_DP4A            610", "#define GGML_CUDA_CC_DP4A            500", MMQ),
        ("ggml_cuda_highest_compiled_arch(cc) < GGML_CUDA_CC_DP4A", "cc > GGML_CUDA_CC_DP4A", MMQ),
        ("if (new_mma_available(cc)) {", "if (fp16_mma_available(cc) || ne11 > 64) {", MMQ),
        ("use_mul_mat_q             && ggml_cuda_should_use_mmq(src0->type, cc, src1->ne[1]);", "use_mul_mat_q;", MMQ),
        ("#ifndef FLASH_ATTN_AVAILABLE", "#ifdef FLASH_ATTN_AVAILABLE", FLASH_ATTENTION),
        ("#if !defined(GGML_CUDA_NO_FA)", "#if 1 || !defined(GGML_CUDA_NO_FA)", FLASH_ATTENTION),
    ],
)
def test_a_changed_condition_is_noticed(nano: Path, old: str, new: str, reached: str, tmp_path: Path) -> None:
    """If this fails, upstream can change a condition at the next pin and the patch would take a kernel in use away."""
    text = dispatch(nano)
    assert old in text
    defines = select(nano, *arguments()).defines
    assert reachable(nano, text.replace(old, new), defines, NANO, tmp_path) == {reached}


def test_nothing_else_calls_it(nano: Path) -> None:
    """If this fails, upstream has found a second use for the kernels, which the dispatch above does not show."""
    backend = (nano / CUDA / "ggml-cuda.cu").read_text()
    assert len(re.findall(rf"\b{MMQ}\b", function(backend, "static void ggml_cuda_mul_mat("))) == 1
    assert users(nano, MMQ) == {"ggml-cuda.cu": 1, "mmq.cu": 2, "mmq.cuh": 1}
    assert re.search(r"case GGML_OP_FLASH_ATTN_EXT:\s+ggml_cuda_flash_attn_ext\(ctx, dst\);", backend)
    assert users(nano, "ggml_cuda_flash_attn_ext") == {"fattn.cu": 2, "fattn.cuh": 1, "ggml-cuda.cu": 1}


def users(tree: Path, name: str) -> dict[str, int]:
    """How often each of ggml-cuda's files names something."""
    files = (path for path in (tree / CUDA).rglob("*") if path.suffix in {".cu", ".cuh"})
    counted = {str(path.relative_to(tree / CUDA)): len(re.findall(rf"\b{name}\b", path.read_text())) for path in files}
    return {path: times for path, times in counted.items() if times}


ENDINGS = {
    "mmq.cu": (
        f"void {MMQ}(",
        f"{MMQ}(context, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        "mul_mat_q is not part of this build, which is for compute capability below 6.1, but was called for 6.1",
    ),
    "fattn.cu": (
        "void ggml_cuda_flash_attn_ext(",
        "ggml_cuda_flash_attn_ext(context, 0)",
        "flash attention is not part of this build (GGML_CUDA_FA=OFF), but was called",
    ),
}
"""File → the beginning of what stands in the place of its launcher, a call of it, and what it says then."""


@pytest.mark.parametrize("file", ENDINGS)
def test_a_call_that_should_not_happen_ends_with_words(nano: Path, file: str, tmp_path: Path) -> None:
    """If this fails, a mistake in the proof shows on the board as a wrong text or a bare crash."""
    beginning, call, words = ENDINGS[file]
    left = function((nano / CUDA / file).read_text(), beginning)
    assert "GGML_ABORT" in left
    (tmp_path / "left.inc").write_text(left)
    (tmp_path / "call.inc").write_text(call)
    program = tmp_path / "ended"
    options = ["-std=c++14", "-Wall", "-Werror", f"-I{tmp_path}", f"-I{nano / 'ggml/include'}"]
    subprocess.run(["c++", *options, str(HELPERS / "ended.cpp"), "-o", program], check=True)
    ended = subprocess.run([program], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, words)
