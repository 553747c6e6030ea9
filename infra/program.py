"""What a stack declares is chosen by its kind.

Only that kind's module is imported: the providers' SDKs that the others need are a third of a program's start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from infra.kinds.table import Stack

MODULES: Final[Mapping[str, str]] = {
    "host": "infra.kinds.host.component",
    "image": "infra.kinds.image.component",
    "dev": "infra.kinds.dev.component",
}
"""`pollex:kind`, and the module whose `declare` takes such a stack."""


def declare(stack: Stack) -> Mapping[str, object]:
    """Declare the stack's resources and return its outputs."""
    chosen: Callable[[Any], Mapping[str, object]] = import_module(MODULES[stack.kind]).declare
    return chosen(stack)
