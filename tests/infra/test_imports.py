"""Data flows one way: the core knows nothing of the engine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

INFRA = Path(__file__).parents[2] / "infra"
EDGES = {"config", "children", "login", "commands", "component", "provider", "program", "graph", "__main__"}
"""What may import pulumi (docs/design.md)."""
ENGINE = {"pulumi", "pulumi_command", "pulumi_docker", "pulumi_docker_build", "asyncssh"}

CORE = sorted(
    file.relative_to(INFRA).as_posix()
    for file in INFRA.rglob("*.py")
    if not {*file.relative_to(INFRA).with_suffix("").parts} & EDGES
    # names the component only for whoever asks for it
    and file != INFRA / "kinds/host/__init__.py"
)


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("file", CORE)
def test_the_core_knows_no_engine(file: str) -> None:
    """If this fails, a unit's text can no longer be made or reviewed without a running engine."""
    engine = {name for name in imported(INFRA / file) if name.split(".")[0] in ENGINE}
    edges = {name for name in imported(INFRA / file) if name.startswith("infra.") and {*name.split(".")} & EDGES}
    assert not engine
    assert not edges
