"""The dev stack as committed, one with everything in it, and the real compose."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra import ROOT
from infra.core import stackfile
from infra.kinds import table
from infra.kinds.dev.spec import DevStack
from sandbox.images import tools

STACK = ROOT / "stacks" / "Pulumi.dev.yaml"
OPTIONS: Mapping[str, Any] = {
    "multiplexer": {"models": ["nomic-embed-text", "mxbai-embed-large", "qwen2.5:1.5b"]},
    "metal": {
        "model": "/Users/you/models/nomic-embed-text.gguf",
        "log": "/Users/you/Library/Logs/llama-server.log",
    },
    "mimir": {"models": "~/.ollama"},
}
"""What the committed stack leaves out."""

MIMIRS = sorted(Path(__file__).parent.glob("mimir.*.yml"))
"""What Mimir's compose files have of its embeddings server, by their names behind `mimir.`."""

Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def values() -> dict[str, Any]:
    """The committed stack's values, to change at will."""
    return copy.deepcopy(stackfile.values(STACK))


@pytest.fixture
def whole(values: dict[str, Any]) -> dict[str, Any]:
    """The same with every option."""
    return {**values, **copy.deepcopy(dict(OPTIONS))}


def parsed(values: Mapping[str, Any]) -> DevStack:
    """The stack that the values declare."""
    stack = table.parse(values, file="stacks/Pulumi.test.yaml")
    assert isinstance(stack, DevStack)
    return stack


@pytest.fixture(scope="session")
def compose_program() -> Path:
    """Docker compose, built once from Go modules."""
    return tools.ensure().compose


@pytest.fixture
def compose(compose_program: Path, tmp_path: Path) -> Compose:
    """Runs compose in a folder of its own and fails the test if compose fails."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run(
            [compose_program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def loaded(compose: Compose, *files: Path) -> dict[str, Any]:
    """The project as compose understands it."""
    named = [word for file in files for word in ("--file", str(file))]
    return dict(json.loads(compose(*named, "config", "--format", "json").stdout))
