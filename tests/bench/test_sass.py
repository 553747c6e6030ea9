"""`python -m bench.sass`: what is counted, what is refused, and that the patched kernels keep their budget."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import nvidia, sass, tensors
from bench.source import Checkout, checkout
from sandbox import fetch
from sandbox.machine import SandboxError

BUDGET = {"Q4_0": 3, "Q8_0": 3, "Q4_K": 4, "Q6_K": 6}
"""Instructions for a weight, at most, with one column."""

LISTING = """
//--------------------- .text.one          --------------------------
.text.one:
        /*0008*/                   MOV R1, c[0x0][0x20] ;
        /*0010*/         {         MOV R15, RZ ;
        /*0018*/                   SSY `(.L_x_2)         }
.L_x_1:
        /*0028*/                   LDG.E.CI.128 R4, [R2] ;
        /*0030*/         {         HFMA2 R0, R4, R5, R0 ;
        /*0038*/              @!P2 BRA `(.L_x_1)         }
.L_x_2:
        /*0048*/                   EXIT ;
.L_x_3:
        /*0050*/                   BRA `(.L_x_3) ;
//--------------------- .nv.info          --------------------------
        /*0058*/                   .byte 0x1 ;
"""

TOLD = """
ptxas info    : Compiling entry function 'two' for 'sm_53'
    8 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 99 registers, 384 bytes smem
ptxas info    : Compiling entry function 'one' for 'sm_53'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, 384 bytes smem
"""


@pytest.fixture(scope="module")
def source() -> Iterator[Checkout]:
    with checkout() as found:
        yield found


@pytest.fixture(scope="module")
def upstream(source: Checkout) -> sass.Costs:
    return sass.costs(nvidia.compile_unit(source.ggml, "mmvq.cu"), "mul_mat_vec_q")


@pytest.fixture(scope="module")
def ours(source: Checkout) -> sass.Costs:
    return sass.costs(nvidia.compile_unit(source.patched(sass.PATCH), "mmvq-half2.cu"), "mul_mat_vec_half2")


def test_the_method_gives_the_checked_figures(upstream: sass.Costs) -> None:
    """If this fails, every prediction rests on counts that nobody has compared with anything."""
    assert not sass.differences(upstream)


def test_other_counts_are_refused(upstream: sass.Costs) -> None:
    """If this fails, a changed compiler changes the predictions without a word."""
    dearer = {key: replace(cost, loop=round(cost.loop * 1.1)) for key, cost in upstream.items()}
    found = "\n".join(sass.differences(dearer))
    assert "Q4_K with 1 columns: 167 instructions in the loop, 152 are right" in found
    assert "tokens a second predicted, 6.3 are right" in found


@pytest.mark.parametrize("kind", BUDGET)
def test_the_kernels_keep_their_budget(upstream: sass.Costs, ours: sass.Costs, kind: str) -> None:
    """If this fails, a change to the kernels gives away what they are there for."""
    assert ours[kind, 1].each <= BUDGET[kind]
    for columns in (1, 2, 3, 4):
        before, after = upstream[kind, columns], ours[kind, columns]
        assert after.each < before.each
        assert after.warps >= before.warps
        assert after.spilled <= 4  # clang's Q6_K with four columns; nvcc spills none


def test_the_original_model_decodes_twice_as_fast(upstream: sass.Costs, ours: sass.Costs) -> None:
    """If this fails, the patch is not worth its risk for the model that is installed."""
    seed = tensors.models()[0]
    before, after = sass.predict(seed, upstream), sass.predict(seed, upstream | ours)
    assert after.speed >= 2 * before.speed
    assert after.speed >= 0.9 * after.by_memory
    report = sass.report("b0", [seed], upstream, ours)
    assert float(str(report["ours"])) < float(str(report["peer"]))


def test_a_prompt_in_halves_takes_half_the_time() -> None:
    """If this fails, the documentation promises a wait for the first word that no rate of the chip allows."""
    floats, halves = sass.prompt(300, halves=False), sass.prompt(300, halves=True)
    assert floats.operations == halves.operations == pytest.approx(2 * 300 * 1.310e9, rel=1e-3)
    assert floats.bytes == pytest.approx(0.79e9 + 8 * 1.310e9, rel=0.01)
    assert 0.5 < halves.seconds / floats.seconds < 0.6


def test_the_plot_is_an_image(upstream: sass.Costs, ours: sass.Costs) -> None:
    """If this fails, the documentation shows a broken picture."""
    root = ElementTree.fromstring(sass.plot(upstream, ours))
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == 2 * 4 + 2


def test_a_listing_is_read() -> None:
    """If this fails, instructions that are issued together, or those of other sections, are counted wrong."""
    (kernel,) = nvidia.parse(LISTING, TOLD)
    assert (kernel.name, kernel.registers, kernel.spilled) == ("one", 40, 0)
    assert len(kernel.sass) == 8 + 3
    loop = ("LDG.E.CI.128 R4, [R2]", "HFMA2 R0, R4, R5, R0", "@!P2 BRA `(.L_x_1)")
    assert sass.inner_loop(kernel.sass) == loop


def test_a_kernel_without_a_loop_is_refused() -> None:
    """If this fails, a kernel that the compiler unrolled seems to cost nothing."""
    with pytest.raises(SandboxError, match="has no loop"):
        sass.inner_loop(("MOV R1, R2", "EXIT", ".L_x_1:", "BRA `(.L_x_1)"))


def test_an_unrolled_loop_is_refused() -> None:
    """If this fails, a loop that the compiler doubled seems to cost twice as much for a weight."""
    loop = (".L_x_1:", *["HFMA2 R0, R1, R2, R0"] * 64, "@P0 BRA `(.L_x_1)")
    kernel = nvidia.Kernel(name="_Z17mul_mat_vec_half2IL9ggml_type2ELi1EEv", sass=loop, registers=32, spilled=0)
    with pytest.raises(SandboxError, match="64 HFMA2 in its loop"):
        sass.costs([kernel], "mul_mat_vec_half2")


def gguf(*matrices: tuple[str, int, int, int], version: int = 3) -> bytes:
    """A GGUF header with two pairs of metadata and these tensors: name, columns, rows, type."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    pairs = text("a.list") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("yy")
    pairs += text("a.number") + struct.pack("<If", 6, 1.0)
    listed = b"".join(
        text(name) + struct.pack("<IQQIQ", 2, columns, rows, kind, 0) for name, columns, rows, kind in matrices
    )
    return b"GGUF" + struct.pack("<IQQ", version, len(matrices), 2) + pairs + listed


@pytest.mark.parametrize(
    ("matrices", "weights"),
    [
        ([("token_embd.weight", 256, 10, 12), ("blk.0.ffn_up.weight", 256, 4, 12)], {"Q4_K": 2560 + 1024}),
        ([("token_embd.weight", 256, 10, 12), ("output.weight", 256, 10, 14)], {"Q6_K": 2560}),
        ([("output.weight", 256, 10, 14), ("blk.0.attn_norm.weight", 256, 1, 0)], {"Q6_K": 2560}),
    ],
    ids=["tied", "embedding apart", "norm"],
)
def test_a_file_is_counted(tmp_path: Path, matrices: list[tuple[str, int, int, int]], weights: dict[str, int]) -> None:
    """If this fails, a prediction is for matrices that a token does not read, or misses some that it does."""
    (tmp_path / "model.gguf").write_bytes(gguf(*matrices))
    assert tensors.read(tmp_path / "model.gguf").weights == Counter(weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GGML" + gguf()[4:], "not a GGUF file"),
        (gguf(version=1), "not a GGUF file of version 2 or 3"),
        (gguf(("output.weight", 256, 10, 23)), "output.weight is of ggml type 23, which is not counted"),
        (gguf(("output.weight", 256, 10, 12))[:-9], "its header is cut off or damaged"),
        (b"", "its header is cut off or damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """If this fails, a file that is no model ends in a stack trace, or is predicted for."""
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(tensors.GgufError, match=message):
        tensors.read(tmp_path / "model.gguf")


def test_a_real_file_is_counted() -> None:
    """If this fails, real metadata (a vocabulary, its scores, its merges) stops the count."""
    model = tensors.read(fetch.fetch(fetch.MODEL))
    assert sum(model.weights.values()) == 134_479_872  # SmolLM2-135M's matrices, its output tied
    assert model.bytes < fetch.ARTEFACTS[fetch.MODEL].size
