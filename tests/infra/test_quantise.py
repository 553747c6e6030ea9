"""A model that the host makes itself: what decides its name, and what the host is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from infra import ROOT
from infra.core import patches
from infra.core.profiles import PROFILES
from infra.core.report import ConfigError
from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.manifest import Quantised
from infra.kinds import table
from infra.kinds.host import plan
from infra.kinds.host.spec import HostStack
from tests.infra.conftest import values_of

Golden = Callable[[str, str], None]
FOLDER = ROOT / "stacks"
ONE_LINE = {"type": "Q4_0", "requantise": True}
"""As it stands, commented, in the stack files."""

SCRIPT = "the text of the build recipe; fixed here, so that its edits do not change these files\n"


def made(values: dict[str, Any], **model: Any) -> plan.Plan:
    """The plan of a stack whose `pollex:model` has these values too."""
    changed = copy.deepcopy(values)
    changed["model"] |= model
    stack = table.parse(changed, file="x")
    assert isinstance(stack, HostStack)
    return plan.make(stack, patches.load(PROFILES[stack.build.profile].series, tag=stack.source.tag), SCRIPT)


@pytest.mark.parametrize("stack", ["jetson", "sandbox"])
def test_what_the_host_is_told(stack: str, golden: Golden) -> None:
    """If this fails, a board quantises something else, or otherwise, than what was reviewed."""
    with_it = made(values_of(stack), quantise=ONE_LINE)
    told = manifest.plain(with_it.model_manifest)
    told["tool"] |= {"patches": "…"}
    golden(f"{stack}/model.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    golden(f"{stack}/llama-server.service", with_it.files["llama-server.service"])


@pytest.mark.parametrize("stack", ["jetson", "sandbox"])
def test_one_line_switches(stack: str) -> None:
    """If this fails, another model costs another build of llama-server, or goes live without its file."""
    before, after = made(values_of(stack)), made(values_of(stack), quantise=ONE_LINE)
    assert (
        f"# quantise: {{ type: {ONE_LINE['type']}, requantise: true }}" in (FOLDER / f"Pulumi.{stack}.yaml").read_text()
    )
    assert before.build == after.build
    assert before.build_manifest == after.build_manifest
    assert before.model.key != after.model.key
    links = {link.path: link.target for unit in after.generation.manifest.units for link in unit.links}
    (visible,) = [path for path, target in links.items() if target.startswith(f"{after.model.path}/")]
    assert f"-m {visible}" in after.files["llama-server.service"]
    assert visible.endswith(".to-Q4_0-Q8_0-Q8_0.gguf")
    assert after.generation.live[f"store {after.model.item}"] == "intact"


CHANGES: dict[str, dict[str, Any]] = {
    "type": {"quantise": {"type": "Q4_1"}},
    "output": {"quantise": {"type": "Q4_0", "output": "Q4_0"}},
    "embedding": {"quantise": {"type": "Q4_0", "embedding": "Q4_0"}},
    "source": {"source": {"sha256": "5" * 64, "size": 9, "url": "https://example.org/f16.gguf"}},
}
KEEPS: dict[str, dict[str, Any]] = {"mirrors": {"mirrors": ["https://example.org/x.gguf"]}, "name": {"name": "other"}}


@pytest.mark.parametrize("change", [*CHANGES, *KEEPS])
def test_what_makes_another_file(change: str) -> None:
    """If this fails, the board serves a file that was made otherwise, or makes the same one again for nothing."""
    values = values_of("sandbox")
    first = made(values, quantise={"type": "Q4_0"})
    second = made(values, **{"quantise": {"type": "Q4_0"}, **(CHANGES | KEEPS)[change]})
    assert (first.model.key != second.model.key) == (change in CHANGES)


def test_another_commit_makes_another_file() -> None:
    """If this fails, a file stays that the quantiser of an older commit made."""
    values = values_of("sandbox")
    first = made(values, quantise={"type": "Q4_0"})
    values["source"]["tree"] = "1" * 40
    assert made(values, quantise={"type": "Q4_0"}).model.key != first.model.key


def test_the_quantiser_needs_no_gpu() -> None:
    """If this fails, an hour of CUDA is compiled for a program that runs on the CPU."""
    made_by = made(values_of("jetson"), quantise={"type": "Q4_0"}).model_manifest
    assert isinstance(made_by, Quantised)
    assert not [flag for flag in made_by.tool.flags if "CUDA" in flag]
    assert "-DCMAKE_CXX_COMPILER=g++-8" in made_by.tool.flags


def test_the_manifest_is_enough_to_make_it_again() -> None:
    """If this fails, a damaged file can only be mended by the machine that runs pulumi."""
    values = values_of("sandbox")
    plain, with_it = made(values), made(values, quantise={"type": "Q4_0"}).model_manifest
    assert isinstance(with_it, Quantised)
    assert with_it.source == plain.model_manifest
    assert with_it.tool.patches == plain.build_manifest.patches
    assert with_it.tool.source == plain.build_manifest.source


@pytest.mark.parametrize(
    ("quantise", "words"),
    [
        ({"type": "Q4_2"}, "pollex:model.quantise.type"),
        ({"type": "Q4_0", "outputs": "Q8_0"}, "did you mean output?"),
        ({}, "pollex:model.quantise.type"),
    ],
)
def test_a_wrong_recipe_is_refused(quantise: dict[str, Any], words: str) -> None:
    """If this fails, a mistyped type is found out on the board, after its compile."""
    values = values_of("sandbox")
    with pytest.raises(ConfigError) as caught:
        made(values, quantise=quantise)
    assert words in str(caught.value)


def test_no_golden_file_is_left_over() -> None:
    """If this fails, a file stands in review that nothing is compared with any more."""
    folder = ROOT / "tests/infra/__snapshots__/test_quantise"
    kept = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    names = ("model.json", "llama-server.service")
    assert kept == {f"{stack}/{name}" for stack in ("jetson", "sandbox") for name in names}
