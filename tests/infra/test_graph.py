"""The resources that a stack declares, reviewed as a whole and without secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Golden = Callable[[str, str], None]
ROOT = Path(__file__).parents[2]
STACKS = ROOT / "stacks"


def shown(stack: str, file: Path) -> str:
    """What `python -m infra.graph` prints; a process of its own, because Pulumi's settings are global."""
    command = [sys.executable, "-m", "infra.graph", stack, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(graph: dict[str, Any]) -> str:
    """A graph as a person reads it: a table of the resources, then the inputs of each, then the stack's outputs."""
    rows = [("RESOURCE", "TYPE", "IN", "AFTER")]
    for seen in graph["resources"]:
        kept = f"{seen['type']} (kept)" if seen.get("retainOnDelete") else seen["type"]
        rows.append((seen["name"], kept, seen["parent"] or "-", " ".join(seen["dependsOn"]) or "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    parts = {seen["name"]: seen["inputs"] for seen in graph["resources"]} | {"outputs": graph["outputs"]}
    for name, values in parts.items():
        if values:
            lines += ["", name, *(f"  {path} = {value}" for path, value in leaves(values))]
    return "".join(f"{line}\n" for line in lines)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value below this one, by its path; lists of plain values stay on one line."""
    if isinstance(value, dict) and value:
        for key, item in sorted(value.items()):
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for position, item in enumerate(value):
            yield from leaves(item, f"{path}[{position}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


@pytest.fixture
def own_stack(tmp_path: Path, values: dict[str, Any]) -> Path:
    """A stack file with a private key in it."""
    values["privateKey"] = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret of the test"
    values["privateKeyPassword"] = "open sesame"
    file = tmp_path / "Pulumi.own.yaml"
    file.write_text(json.dumps({"config": {f"pollex:{key}": value for key, value in values.items()}}))
    return file


def test_graph(stack_name: str, tmp_path: Path, golden: Golden) -> None:
    """If this fails, a stack declares other resources, or in another order, than the ones that were reviewed."""
    file = tmp_path / f"Pulumi.{stack_name}.yaml"
    # whether this machine has the keys that a stack names must not show
    file.write_text(re.sub(r"KeyFile: .*", "KeyFile: /nowhere/key", (STACKS / file.name).read_text()))
    graph = shown(stack_name, file)
    # keys and lengths change with every edit of a patch, a script or the service, and are reviewed elsewhere
    graph = re.sub(r"\d+ characters", "N characters", re.sub(r"[0-9a-f]{32,64}", "KEY", graph))
    golden(f"{stack_name}/resources.txt", read(json.loads(graph)))


def test_no_secret_shows(own_stack: Path) -> None:
    """If this fails, a private key stands in a review comment."""
    graph = shown("own", own_stack)
    assert "privateKey" in graph
    assert "secret of the test" not in graph
    assert "open sesame" not in graph


def test_nothing_touches_the_host_before_the_preflight(host_name: str) -> None:
    """If this fails, a board is changed before anybody knows whether it can take it."""
    resources = json.loads(shown(host_name, ROOT / "stacks" / f"Pulumi.{host_name}.yaml"))["resources"]
    after = {seen["name"]: set(seen["dependsOn"]) for seen in resources}

    def waits_for(name: str) -> set[str]:
        return after[name] | {further for one in after[name] for further in waits_for(one)}

    assert all(
        "llama-host" in waits_for(name) for name in after if name not in {"llama-host", "llama", f"pollex-{host_name}"}
    )
    assert {"llama-server", "llama-model"} <= waits_for("llama-generation")
