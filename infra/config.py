"""The one reader of Pulumi's configuration."""

from __future__ import annotations

import json

import pulumi

from infra.core.report import ConfigError
from infra.core.settings import NAMESPACE
from infra.kinds import table


def load() -> table.Stack:
    """The spec of the current stack.

    Raises:
        pulumi.RunError: everything that is wrong in the stack file, as one report.
    """
    values = _values()
    secret = [name for name in values if pulumi.runtime.is_config_secret(f"{NAMESPACE}:{name}")]
    try:
        return table.parse(values, file=f"stacks/Pulumi.{pulumi.get_stack()}.yaml", secret=secret)
    except ConfigError as error:
        raise pulumi.RunError(str(error)) from None


def _values() -> dict[str, object]:
    """The stack's own values without their namespace; groups and lists are decoded, plain words stay as they are.

    An empty value is Pulumi.yaml's default, and means that the setting is missing.
    """
    prefix = f"{NAMESPACE}:"
    return {
        key.removeprefix(prefix): _decoded(text)
        for key, text in pulumi.runtime.get_config_env().items()
        if key.startswith(prefix) and text not in _EMPTY
    }


_EMPTY = {"", "{}", "[]"}


def _decoded(text: str) -> object:
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a word that only looks like a group, such as a key's first brace: the spec will say so
