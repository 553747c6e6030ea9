"""Values on their way from a declaration to the plugin, each written once: a dataclass that both sides use. Pure.

Names on the way are the fields' names in camelCase. What is None is left out, and so are fields of `LOCAL`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

LOCAL: Final = {"local": True}
"""The metadata of a field that does not travel."""

SECRET: Final = {"secret": True}
"""The metadata of a field that the engine encrypts in the state and hides in what it shows."""


def plain(value: Any, secret: Callable[[Any], Any] = lambda value: value) -> Any:
    """The value as the engine takes it.

    Args:
        value: a dataclass, or what its fields hold.
        secret: marks what is secret.
    """
    if is_dataclass(value):
        given = {field: getattr(value, field.name) for field in fields(value) if field.metadata != LOCAL}
        return {
            _camel(field.name): (secret if field.metadata == SECRET else lambda it: it)(plain(content, secret))
            for field, content in given.items()
            if content is not None
        }
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, secret) for item in value]
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
