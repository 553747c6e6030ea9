"""What a stack declares is chosen by its kind."""

from __future__ import annotations

from collections.abc import Mapping

from infra import jetson
from infra.spec import HostStack

DECLARE = {"host": jetson.declare}


def declare(stack: HostStack) -> Mapping[str, object]:
    """Declare the stack's resources and return its outputs."""
    return DECLARE[stack.kind](stack)
