"""What `pulumi up --stack dev` declares, under Pulumi's mocks, is what compose.yaml says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra import ROOT
from infra.kinds.dev import containers
from tests.dev.conftest import parsed

Graph = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """The program's resources by name; a process of its own, because Pulumi's settings are global."""

    def declared(values: dict[str, Any]) -> dict[str, Any]:
        file = tmp_path / "Pulumi.own.yaml"
        file.write_text(json.dumps({"config": {f"pollex:{key}": value for key, value in values.items()}}))
        command = [sys.executable, "-m", "infra.graph", "own", str(file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return {seen["name"].removeprefix("containers-"): seen for seen in json.loads(done.stdout)["resources"]}

    return declared


def test_the_twins_agree(graph: Graph, values: dict[str, Any]) -> None:
    """If this fails, what was tried with compose does not hold for what Pulumi declares."""
    seen, stack = graph(values), parsed(values)
    for made in containers.containers(stack):
        inputs = seen[made.name]["inputs"]
        assert inputs["envs"] == [f"{name}={value}" for name, value in made.environment.items()]
        assert inputs["ports"] == [{"ip": made.address, "external": made.published, "internal": made.port}]
        assert [mount["readOnly"] for mount in inputs["mounts"]] == ([made.models == "ro"] if made.models else [])
        assert inputs["networksAdvanced"] == [{"name": stack.network, "aliases": [made.name]}]
        assert (inputs["restart"], inputs["readOnly"], inputs["wait"]) == ("unless-stopped", True, True)
        assert inputs["stopTimeout"] == made.stop_seconds
        assert (f"containers-{made.after}" in seen[made.name]["dependsOn"]) == (made.after is not None)
    assert seen["server-image"]["inputs"]["name"] == stack.images.server


def test_what_belongs_to_somebody_else_is_not_declared(graph: Graph, values: dict[str, Any]) -> None:
    """If this fails, `pulumi destroy` takes Mimir's network or the person's models away."""
    seen = graph({**values, "network": "mimir_mcp_network", "foreign": ["volume", "network"]})
    assert not {"models", "network"} & set(seen)
    assert seen["llama-server"]["inputs"]["networksAdvanced"][0]["name"] == "mimir_mcp_network"


def test_embeddings_alone(graph: Graph, values: dict[str, Any]) -> None:
    """If this fails, a Mimir user has to run a chat server and the polish service too."""
    del values["chat"], values["service"], values["images"]["polish"]
    kinds = [seen["type"].rpartition(":")[2] for seen in graph(values).values()]
    assert kinds.count("Container") == 1
    assert kinds.count("RemoteImage") == 1


def test_a_download_may_write(graph: Graph, values: dict[str, Any]) -> None:
    """If this fails, a container that fetches its model finds the volume read-only."""
    values["chat"] |= {"model": "https://example.org/model.gguf", "sha256": "a" * 64}
    seen = graph(values)
    assert seen["llama-chat"]["inputs"]["mounts"][0]["readOnly"] is False
    assert seen["llama-server"]["inputs"]["mounts"][0]["readOnly"] is True


def test_models_outlive_the_stack(graph: Graph, values: dict[str, Any]) -> None:
    """If this fails, `pulumi destroy` deletes gigabytes that somebody pulled with Ollama."""
    seen = graph(values)
    assert [name for name, resource in seen.items() if resource.get("retainOnDelete")] == ["models"]
