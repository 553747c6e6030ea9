"""What a model takes of a board's memory is known before the build, and what cannot fit is refused with the numbers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from infra import ROOT
from infra.core.memory import MIB, Shape, budget
from infra.kinds.host import memory
from infra.kinds.host.component import needs
from infra.provider.preflight import judge
from tests.infra.test_plan import host

CASES: list[dict[str, Any]] = json.loads((ROOT / "tests/memory.json").read_text())["cases"]
READY = {"architecture": ["aarch64"], "freeMb": ["99999"], "systemd": ["yes"], "sudo": ["yes"], "python": ["3.11"]}


def shape(case: dict[str, Any]) -> Shape:
    """Of a case."""
    names = ("layers", "heads", "kvHeads", "embedding", "vocabulary", "keyLength", "valueLength")
    snake = {name: re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", name) for name in names}
    return Shape(**{snake[name]: case[name] for name in names if name in case})


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_image_computes_the_same(case: dict[str, Any]) -> None:
    """If this fails, the image and a board's stack disagree on what a model needs, and one of them is wrong."""
    of = shape(case)
    found = budget(0, of, context=case["context"], micro_batch=case["microBatch"])
    assert found.cache == case["cache"]
    assert of.scores(min(case["microBatch"], case["context"]), case["context"]) == case["scores"]


@pytest.mark.parametrize(("context", "rows", "measured"), [(2048, 512, 98.25), (4096, 128, 24.56), (8192, 512, 164.51)])
def test_it_is_the_least_of_what_was_measured(context: int, rows: int, measured: float) -> None:
    """If this fails, a model that runs is refused; measured: llama-server b4980's own `compute buffer size`."""
    told = budget(0, shape(CASES[0]), context=context, micro_batch=rows).computing / MIB
    assert 0.8 * measured < told <= measured


def refused(values: dict[str, Any], memory_mb: int) -> dict[str, str]:
    """What the preflight says of memory on a host with so much."""
    wanted = needs(host({**values, "host": {**values["host"], "minMemoryMb": 1}}), None)
    found = judge({**READY, "memoryMb": [str(memory_mb)]}, wanted)
    return {problem.setting: problem.text for problem in found if "of memory" in problem.text}


def changed(values: dict[str, Any], group: str, **more: object) -> dict[str, Any]:
    """The values with some of a group changed."""
    return {**values, group: {**values[group], **more}}


def test_the_original_recipe_fits(values: dict[str, Any]) -> None:
    """If this fails, the board that the recipe was written for is refused, or nothing is asked of it."""
    assert refused(values, 3956) == {}
    assert memory.needs(host(values)) == {
        "pollex:model": 1065, "pollex:server.context": 56, "pollex:server.microBatch": 299,
    }  # fmt: skip


def test_a_context_that_cannot_fit_is_refused(values: dict[str, Any]) -> None:
    """If this fails, a board compiles for an hour and is then ended by the kernel, without a word."""
    assert refused(changed(values, "server", context=131072), 3956) == {
        "pollex:server.context": "the server needs at least 7721 MB of memory (pollex:model 1065, "
        "pollex:server.context 3584, pollex:server.microBatch 3072), and the host has 3956 MB: lower it"
    }


def test_a_model_that_cannot_fit_is_refused(values: dict[str, Any]) -> None:
    """If this fails, somebody declares a model of 7B for a Nano and learns of it after an hour."""
    (told,) = refused(changed(values, "model", size=4_683_073_184), 3956).items()
    assert told[0] == "pollex:model"
    assert told[1].endswith("and the host has 3956 MB: take a smaller file of it")


def test_what_is_read_again_from_the_file_does_not_count(values: dict[str, Any]) -> None:
    """If this fails, a board without a GPU is refused a model that it serves, if slowly, out of its page cache."""
    plain = changed(changed(values, "build", profile="cpu"), "server", gpuLayers=0)
    assert "pollex:model" not in memory.needs(host(plain))
    assert memory.needs(host(changed(plain, "server", mlock=True)))["pollex:model"] == 1065
    half = memory.needs(host(changed(values, "server", gpuLayers=14)))["pollex:model"]
    assert 500 < half < 540


def test_swap_counts_where_cuda_may_be_swapped(values: dict[str, Any]) -> None:
    """If this fails, `unifiedMemory` and a swap file are declared in vain."""
    big = changed({**values, "board": {"swapMb": 4096}}, "model", size=4_683_073_184)
    assert refused(big, 3956)
    assert refused(changed(big, "server", unifiedMemory=True), 3956) == {}


def test_a_model_that_the_board_makes_is_smaller_than_its_source(values: dict[str, Any]) -> None:
    """If this fails, a board is refused a model that it makes small itself."""
    made = changed(values, "model", quantise={"type": "Q4_0"})
    assert memory.needs(host(made))["pollex:model"] < memory.needs(host(values))["pollex:model"]


def test_a_cache_of_fewer_bits_takes_less(values: dict[str, Any]) -> None:
    """If this fails, a quantised cache is refused where it fits."""
    small = changed(values, "server", context=32768, extraArgs=["-ctk", "q8_0", "-ctv", "q8_0"])
    assert memory.needs(host(small))["pollex:server.context"] == 896 * 17 // 32


def test_without_a_shape_only_the_weights_are_known(values: dict[str, Any]) -> None:
    """If this fails, a stack that does not declare the header's numbers is judged by invented ones."""
    values["model"].pop("shape")
    assert list(memory.needs(host(changed(values, "server", context=131072)))) == ["pollex:model"]
