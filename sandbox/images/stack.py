"""The image stack as it can be built without Docker Hub and GitHub: other places, otherwise what is committed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from sandbox import fetch
from sandbox.images import base
from sandbox.machine import CHECKOUT

COMMITTED = CHECKOUT / "stacks" / "Pulumi.image.yaml"
SANDBOX = CHECKOUT / "stacks" / "Pulumi.sandbox.yaml"


def committed() -> dict[str, Any]:
    """The values of the committed stack, keyed without the namespace."""
    return _values(COMMITTED)


def reachable(registry: str, mirror: str, **changes: Any) -> dict[str, Any]:
    """The committed stack with the sandbox's commit, the stand-in for the base image and a registry of one's own.

    Args:
        registry: `127.0.0.1:PORT`.
        mirror: URL of a `sandbox.mirror` of the cache's mirror folder, which holds the source after this call.
        changes: settings of `image` to replace.
    """
    fetch.fetch(fetch.BUNDLE)
    values = copy.deepcopy(committed())
    source = {**_values(SANDBOX)["source"], "mirrors": [f"bundle {mirror}/{fetch.BUNDLE}"]}
    image = {**values["image"], "registry": registry, "namespace": "sandbox", "base": base.stand_in(), **changes}
    return {**values, "source": source, "image": image}


def _values(file: Path) -> dict[str, Any]:
    config = yaml.safe_load(file.read_text())["config"]
    return {key.removeprefix("pollex:"): value for key, value in config.items()}
