"""What is deployed is written down, in the words that scanners read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from infra import ROOT
from infra.core import bundle
from infra.core.bundle import Recipe
from infra.kinds import table
from infra.kinds.fleet import plan as fleets
from infra.kinds.fleet.spec import FleetStack
from infra.kinds.host import sbom
from infra.kinds.host.sbom import Project
from infra.provider import packing
from tests.infra import test_plan
from tests.infra.conftest import values_of
from tests.infra.test_bundle import quiet, unpack

Golden = Callable[[str, str], None]

SCHEMA = json.loads((Path(__file__).parent / "spdx-schema.json").read_text())
"""schemas/spdx-schema.json of github.com/spdx/spdx-spec, branch support/2.3.1."""

PROJECT = Project(tools="7" * 32, version="1.2.3", wheels={"anyio": "4.16.0", "prometheus_client": "0.26.0"})
"""Fixed here, so that edits of the tools and the lock do not change these files."""


def packages(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts by name."""
    return {part["name"]: part for part in document["packages"]}


def wrong(document: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a document: what the schema says, and what it can not say."""
    yield from (f"{error}" for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(document))
    names = [part["SPDXID"] for part in document["packages"]]
    yield from (f"{name} is there twice" for name in sorted({name for name in names if names.count(name) > 1}))
    for relation in document["relationships"]:
        ends = {relation["spdxElementId"], relation["relatedSpdxElement"]}
        yield from (f"{end} is no part" for end in ends - {*names, "SPDXRef-DOCUMENT"})
    joined = {end for one in document["relationships"] for end in (one["spdxElementId"], one["relatedSpdxElement"])}
    yield from (f"{name} belongs to nothing" for name in names if name not in joined)


def test_the_document_of_a_host(host_name: str, golden: Golden) -> None:
    """If this fails, what a board is said to consist of is not what was reviewed."""
    stack = test_plan.host(values_of(host_name))
    golden(f"{host_name}/{sbom.FILE}", sbom.host(stack, test_plan.made(stack), PROJECT))


def test_a_model_that_the_board_makes_has_its_source(golden: Golden) -> None:
    """If this fails, nobody learns from which file a board's own model was made."""
    values = values_of("jetson")
    values["model"]["quantise"] = {"type": "Q4_0", "requantise": True}
    stack = test_plan.host(values)
    document = json.loads(sbom.host(stack, test_plan.made(stack), PROJECT))
    assert list(wrong(document)) == []
    source = values["model"]["source"]
    (made,) = (one for one in document["relationships"] if one["relationshipType"] == "GENERATED_FROM")
    assert (made["spdxElementId"], made["relatedSpdxElement"]) == ("SPDXRef-model", "SPDXRef-model-source")
    (part,) = (part for part in document["packages"] if part["SPDXID"] == "SPDXRef-model-source")
    assert part["checksums"] == [{"algorithm": "SHA256", "checksumValue": source["sha256"]}]
    assert "checksums" not in next(part for part in document["packages"] if part["SPDXID"] == "SPDXRef-model")


def test_every_document_is_valid_and_says_of_which_generation_it_is(stack_name: str) -> None:
    """If this fails, a scanner refuses the document, or nobody can tell whether it is of what runs."""
    stack = table.parse(values_of(stack_name), file="x")
    texts = table.files(stack)
    keys = json.loads(texts["keys.json"]) if "keys.json" in texts else {}
    found = {name: json.loads(text) for name, text in texts.items() if name.endswith(".spdx.json")}
    assert bool(found) == (stack.kind != "dev")
    for name, document in found.items():
        assert list(wrong(document)) == [], name
        if name.endswith(sbom.FILE):
            of = name.removesuffix(sbom.FILE)
            about = packages(document)[document["name"]]
            key = "generation" if not of else f"{of.removesuffix('.')}/generation"
            assert key not in keys or about["versionInfo"] == keys[key]
            assert document["documentNamespace"].endswith(f"/{about['versionInfo']}")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["packages"][0].pop("downloadLocation"),
        lambda document: document["packages"].pop(),
        lambda document: document["relationships"].pop(),
        lambda document: document.update(packages=[*document["packages"], document["packages"][0]]),
        lambda document: document["creationInfo"].update(creators="pollex"),
    ],
)
def test_a_wrong_document_is_seen(spoil: Callable[[dict[str, Any]], object]) -> None:
    """The tests above would pass whatever the documents say."""
    stack = test_plan.host(values_of("jetson"))
    document = json.loads(sbom.host(stack, test_plan.made(stack), PROJECT))
    spoil(document)
    assert list(wrong(document)) != []


def test_the_gateway_s_document_names_its_proxy() -> None:
    """If this fails, a hole in HAProxy is not found in what is declared."""
    stack = table.parse(values_of("fleet"), file="x")
    assert isinstance(stack, FleetStack)
    found = packages(json.loads(fleets.files(stack)[f"gateway.{sbom.FILE}"]))
    assert {"haproxy", "openssh-client", "pollex", "pollex-host", "pydantic"} <= set(found)
    assert "llama.cpp" not in found


@pytest.mark.slow
def test_wheels_are_those_that_are_packed(tmp_path: Path) -> None:
    """If this fails, the document leaves out a library that runs on the board, or names one that does not."""
    recipe = Recipe(architecture="aarch64", python="3.12", interpreter=None, urls=())
    tree = unpack(packing.pack(recipe, bundle.derivation(recipe).item, quiet), tmp_path)
    told = (folder.name.removesuffix(".dist-info").rpartition("-") for folder in (tree / "lib").glob("*.dist-info"))
    packed = {(name.replace("_", "-").lower(), version) for name, _, version in told}
    assert packed
    named = {(name.replace("_", "-").lower(), version) for name, version in Project.read().wheels.items()}
    assert packed == named


def test_make_sbom(tmp_path: Path) -> None:
    """If this fails, the command of the documentation does not work."""

    def asked(stack: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infra.review", "sbom", stack, str(tmp_path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert asked("jetson").stdout == f"{tmp_path / sbom.FILE}\n"
    assert list(wrong(json.loads((tmp_path / sbom.FILE).read_text()))) == []
    assert "make sbom STACK=image" in asked("dev").stderr
    assert "there is no stacks/Pulumi.none.yaml; the stacks: dev, " in asked("none").stderr
