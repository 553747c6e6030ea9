"""What a stack declares is chosen by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra import dev, image, jetson
from infra.spec import Stack

DECLARE: Mapping[str, Callable[[Any], Mapping[str, object]]] = {
    "host": jetson.declare,
    "image": image.declare,
    "dev": dev.declare,
}


def declare(stack: Stack) -> Mapping[str, object]:
    """Declare the stack's resources and return its outputs."""
    return DECLARE[stack.kind](stack)
