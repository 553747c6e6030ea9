"""What 0022-cuda-half-prompts costs in exactness: sums in halves, sliced as the patch slices them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TypedDict

import pytest

from infra.core import patches

PATCH = patches.FOLDER / "0022-cuda-half-prompts.patch"
HOST = Path(__file__).parent / "host"

LIMIT = 0.0053
"""Of the results' root mean square: what q8_1 costs mul_mat_vec_q with such inputs, whatever their length, so that a
prompt is read as exactly as an answer is written. Measured by test_half2's program: 1.35e-4 of |weights| *
|activations| at a length of 1536."""

LONG = 8960
"""Columns of the longest matrix, Qwen2.5-1.5B's down projection."""


class Row(TypedDict):
    """A line of the program's output; errors in the results' root mean square."""

    length: int
    activations: str
    slice: int
    rms: float
    worst: float


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    program = tmp_path_factory.mktemp("gemm") / "gemm"
    subprocess.run(["g++", "-std=c++17", "-O2", "-Wall", "-Werror", HOST / "gemm.cpp", "-o", program], check=True)
    output = subprocess.run([program, "400", "1"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def test_slices_keep_prompts_exact(measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails, a model understands its prompt worse with the patch, or an activation of 10,000 overflows."""
    match = re.search(r"^\+#define HGEMM_SLICE (\d+)$", PATCH.read_text(), re.MULTILINE)
    assert match is not None
    with capsys.disabled():
        print(f"\n{'error in the results rms':28}" + "".join(f"{row['slice']:>9}" for row in measured[5:10]))
        for begin in range(0, len(measured), 5):
            kind = f"{measured[begin]['length']:6}  {measured[begin]['activations']:20}"
            print(kind + "".join(f"{row['rms']:9.2%}" for row in measured[begin : begin + 5]))
    sliced = [row for row in measured if row["slice"] == int(match[1])]
    assert len(sliced) == 2 * 4
    assert [row for row in sliced if not row["rms"] <= LIMIT] == []


def test_slices_are_needed(measured: list[Row]) -> None:
    """If this fails, the patch adds slices up for nothing."""
    whole = next(row for row in measured if row["slice"] == row["length"] == LONG)
    assert whole["rms"] > 2 * LIMIT
