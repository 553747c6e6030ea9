"""The image stack as it can be built without Docker Hub and GitHub: other places, otherwise what is committed."""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from infra.core import stackfile
from infra.provider.registry import RegistryError, Repository
from sandbox import fetch
from sandbox.images import base
from sandbox.machine import CHECKOUT, say
from sandbox.source import CURRENT

COMMITTED = CHECKOUT / "stacks" / "Pulumi.image.yaml"


def committed() -> dict[str, Any]:
    """The values of the committed stack, keyed without the namespace."""
    return stackfile.values(COMMITTED)


def reachable(registry: str, mirror: str, **changes: Any) -> dict[str, Any]:
    """The committed stack with its source out of a package, a stand-in for the base image and a registry of one's own.

    Args:
        registry: `127.0.0.1:PORT`.
        mirror: URL of a `sandbox.mirror` of the cache's mirror folder, which holds the source after this call.
        changes: settings of `image` to replace.
    """
    values = committed()
    return at(registry, {**values, **_source(mirror)}, **{"base": base.stand_in(), **changes})


def best(registry: str, mirror: str) -> dict[str, Any]:
    """The committed stack in a registry of one's own, with stand-ins only for what cannot be reached; says which."""
    values = committed()
    changes = {}
    if not _answers(values["image"]["base"]):
        say("the registry of the base image cannot be reached: a stand-in made of the same Debian release is taken")
        changes["base"] = base.stand_in()
    if not any(_has(one) for one in values["source"]["mirrors"]):
        say("no mirror of the declared source can be reached: the same tree is taken out of a package")
        values |= _source(mirror)
    return at(registry, values, **changes)


def at(registry: str, values: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The values with another registry, and other settings of `image`."""
    image = {**values["image"], "registry": registry, "namespace": "sandbox", **changes}
    return {**copy.deepcopy(dict(values)), "image": image}


def _source(mirror: str) -> dict[str, Any]:
    """The declared source, fetched."""
    fetch.fetch(fetch.CURRENT)
    return {"source": {**CURRENT.model_dump(), "mirrors": [f"bundle {mirror}/{fetch.CURRENT}"]}}


def _answers(image: str) -> bool:
    """Whether a `docker-image://NAME:TAG@DIGEST` of Docker Hub can be had."""
    name, _, digest = image.removeprefix("docker-image://").partition("@")
    with Repository(f"docker.io/library/{name.partition(':')[0]}") as repository:
        try:
            return repository.manifest(digest) is not None
        except RegistryError:
            return False


def _has(mirror: str) -> bool:
    """Whether a `git URL` or `bundle URL` answers."""
    form, _, url = mirror.partition(" ")
    query = ["git", "ls-remote", "--quiet", url, "HEAD"] if form == "git" else ["curl", "-fsSI", url]
    try:
        done = subprocess.run(query, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"}, capture_output=True, timeout=20)  # noqa: PLW1510 - looked at below
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
