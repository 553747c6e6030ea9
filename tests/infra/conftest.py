"""The stacks as committed, and small ones to change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import spec

ROOT = Path(__file__).parents[2]
STACKS = sorted(file.name.split(".")[1] for file in (ROOT / "stacks").glob("Pulumi.*.yaml"))


def values_of(stack: str) -> dict[str, Any]:
    """The values of a committed stack file, keyed without the namespace, as the program reads them."""
    config = yaml.safe_load((ROOT / "stacks" / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {key.partition(":")[2]: value for key, value in config.items()}


@pytest.fixture
def values() -> dict[str, Any]:
    """The jetson stack's values, to change at will."""
    return copy.deepcopy(values_of("jetson"))


@pytest.fixture(params=STACKS)
def stack_name(request: pytest.FixtureRequest) -> str:
    """Every committed stack in turn."""
    return str(request.param)


@pytest.fixture
def stack(stack_name: str) -> spec.HostStack:
    """Every committed stack's spec in turn."""
    return spec.parse(values_of(stack_name), file=f"stacks/Pulumi.{stack_name}.yaml")
