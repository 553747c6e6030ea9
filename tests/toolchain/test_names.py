"""Children are called after their component; a stack from before that keeps every resource."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import ROOT
from infra.core import stackfile
from sandbox.engine import Pulumi

PLUGIN = ROOT / "infra" / "provider"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes where a preview cannot know (sdk/go/common/resource/plugin/rpc.go)."""
IDENTITY = "11111111-1111-4111-8111-111111111111"
FORMER = {
    "jetson": {
        "llama-host": "host",
        "llama-server": "llama-server",
        "llama-model": "model",
        "llama-polish": "polish",
        "llama-generation": "generation",
    },
    "image": {
        "llama-pushable": "pushable",
        "llama-docker-build": "docker-build",
        "llama-image": "image",
        "llama-documents": "documents",
    },
}
"""What children were called while they were not named after their component."""

pytestmark = pytest.mark.engine


@pytest.fixture(params=FORMER)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Pulumi:
    """A committed stack, in a project folder and with a state of its own."""
    name = str(request.param)
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project |= {"main": str(ROOT / "infra"), "plugins": {"providers": [{"name": "pollex", "path": str(PLUGIN)}]}}
    project["runtime"]["options"]["virtualenv"] = str(ROOT / ".venv")
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    file = tmp_path / "stacks" / f"Pulumi.{name}.yaml"
    file.parent.mkdir()
    values = stackfile.values(ROOT / "stacks" / file.name)
    file.write_text(yaml.safe_dump({"config": {f"pollex:{key}": value for key, value in values.items()}}))
    environment = {"PULUMI_CONFIG_PASSPHRASE": "test", "PULUMI_SKIP_UPDATE_CHECK": "true"}
    return Pulumi(project=tmp_path, stack=name, state=tmp_path / "state", environment=environment)


def planned(stack: Pulumi) -> dict[str, Any]:
    """The engine's plan."""
    done = stack.run("preview", "--json", "--show-sames")
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def state(plan: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The state that an `up` of that plan leaves behind, under those names."""
    text = json.dumps([step["newState"] for step in plan["steps"]])
    for new, former in names.items():
        text = re.sub(rf"::{new}(?=[:\"])", f"::{former}", text)
    resources: dict[str, dict[str, Any]] = {}
    for new in json.loads(text.replace(UNKNOWN, IDENTITY)):
        kept = {key: new[key] for key in ("urn", "type", "custom", "inputs", "parent", "dependencies") if key in new}
        kept["outputs"] = {**new.get("inputs", {}), **new.get("outputs", {})}
        if new["type"] == "pollex:index:Host":
            kept["outputs"] |= {"identity": IDENTITY, "facts": {}}
        if new["custom"]:
            kept["id"] = IDENTITY
        if provider := new.get("provider"):
            urn = provider.rpartition("::")[0]
            kept["provider"] = f"{urn}::{IDENTITY}"
            kind = urn.split("::")[2].rpartition("$")[2]
            resources.setdefault(urn, {"urn": urn, "type": kind, "custom": True, "id": IDENTITY})
        resources[new["urn"]] = kept
    manifest = {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""}
    return {"version": 3, "deployment": {"manifest": manifest, "resources": [*resources.values()]}}


def test_a_stack_of_former_names_keeps_every_resource(stack: Pulumi, tmp_path: Path) -> None:
    """If this fails, the next `up` of an existing stack takes a serving board apart and sets it up again."""
    stack.run("stack", "init")
    plan = planned(stack)
    file = tmp_path / "state.json"
    file.write_text(json.dumps(state(plan, FORMER[stack.stack])))
    stack.run("stack", "import", "--file", str(file))
    present = {resource["urn"].rpartition("::")[2] for resource in stack.resources()}
    assert set(FORMER[stack.stack].values()) <= present
    again = [(step.get("newState") or step["oldState"], step["op"]) for step in planned(stack)["steps"]]
    steps = {resource["urn"].rpartition("::")[2]: op for resource, op in again}
    assert set(FORMER[stack.stack]) <= set(steps), steps
    assert set(steps.values()) <= {"same", "update"}, steps
