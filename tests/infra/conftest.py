"""The stacks as committed, and small ones to change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from infra import ROOT, review, spec

STACKS = [review.stack_name(file) for file in review.stack_files(ROOT)]


def values_of(stack: str) -> dict[str, Any]:
    """The values of a committed stack file, keyed without the namespace, as the program reads them."""
    return review.values(ROOT / "stacks" / f"Pulumi.{stack}.yaml")


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
