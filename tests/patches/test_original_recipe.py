"""What `make bench-compile` compares with: the edits of the original, hand-written recipe."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from bench import compile as bench
from tests.patches.nano import CUDA


def test_the_original_recipe_is_the_one_that_was_written(nano_source: Path, tmp_path: Path) -> None:
    """If this fails, ours is compared with something that nobody ever built."""
    tree = Path(shutil.copytree(nano_source, tmp_path / "source"))
    subprocess.run(["sh", bench.ORIGINAL / "recipe.sh", tree], check=True)
    files = [file.relative_to(tree) for file in tree.rglob("*") if file.is_file()]
    changed = {file for file in files if (tree / file).read_bytes() != (nano_source / file).read_bytes()}
    attention = {Path(CUDA, f"fattn-{name}.cuh") for name in ("common", "vec-f16", "vec-f32")}
    assert changed == {Path("ggml/CMakeLists.txt"), Path(CUDA, "common.cuh"), *attention}
    assert "static const __device__ int8_t kvalues_iq4nl[16]" in (tree / CUDA / "common.cuh").read_text()
    assert not [
        file for file in attention if re.search(r"^ *__builtin_assume", (tree / file).read_text(), re.MULTILINE)
    ]
