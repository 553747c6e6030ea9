"""Reads stack files as they lie in a checkout, without Pulumi and without what is encrypted in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from infra.core.settings import NAMESPACE


def stack_files(tree: Path) -> list[Path]:
    """The stack files of a tree, by name."""
    return sorted((tree / "stacks").glob("Pulumi.*.yaml"))


def stack_name(file: Path) -> str:
    """`jetson` for `Pulumi.jetson.yaml`."""
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def values(file: Path) -> dict[str, object]:
    """A stack file's own values without their namespace and without encrypted ones, which only an `up` can read."""
    config = (yaml.safe_load(file.read_text()) or {}).get("config") or {}
    prefix = f"{NAMESPACE}:"
    own = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    return dict(_open(own))


def _open(value: Any) -> Any:
    """The value without what is encrypted in it."""
    if isinstance(value, dict):
        return {k: _open(v) for k, v in value.items() if not (isinstance(v, dict) and set(v) == {"secure"})}
    return [_open(item) for item in value] if isinstance(value, list) else value
