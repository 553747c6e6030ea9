"""`docker-build:index:Image`: built by buildx from the request that the inputs spell."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.kinds.image.buildx import BuildRequest
from infra.provider.engine import Log
from infra.provider.problems import HostError
from infra.provider.registry import RegistryError, Repository
from infra.provider.server import UNKNOWN, Properties
from infra.provider.values import changed
from sandbox.images import tools
from sandbox.images.build import BuildError, Built, build
from sandbox.plugins.docker_build.context import context_hash

_HUB = "https://index.docker.io/v1/"
"""What docker's own configuration calls docker.io."""


class Image:
    """An image; inputs and outputs are those of the official plugin (see the package's docstring)."""

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:
        """Changed inputs, a changed token apart, and a changed file in a context."""
        found = dict.fromkeys(changed(_without_tokens(before), _without_tokens(inputs)), True)
        if not found and _hash(inputs) != outputs.get("contextHash"):
            found["contextHash"] = False
        return found

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - Kind's signature
        """Nothing is built in a preview."""
        return {**_kept(inputs), "contextHash": _hash(inputs), "digest": UNKNOWN, "ref": UNKNOWN}

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Build and push."""
        loop = asyncio.get_running_loop()

        def show(line: str) -> None:
            loop.call_soon_threadsafe(log, line)

        built = await asyncio.to_thread(_build, inputs, show)
        reference = f"{inputs['tags'][0]}@{built.digest}" if inputs.get("tags") else built.digest
        return {**_kept(inputs), "contextHash": _hash(inputs), "digest": built.digest, "ref": reference}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """Whether the registry still has it."""
        if not await asyncio.to_thread(_is_there, inputs, outputs["digest"]):
            warn(f"{outputs['ref']} is gone; the next `pulumi up` builds it again")
            return None
        return inputs, outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Leave what was pushed."""


def request(inputs: Properties) -> BuildRequest:
    """The inputs as a request for buildx."""
    context = inputs["context"]
    return BuildRequest(
        context=context["location"],
        dockerfile=inputs["dockerfile"]["location"],
        contexts={name: one["location"] for name, one in context.get("named", {}).items()},
        args=inputs.get("buildArgs", {}),
        platforms=tuple(inputs.get("platforms", ())),
        tags=tuple(inputs.get("tags", ())),
        labels=inputs.get("labels", {}),
        exports=tuple(one["raw"] for one in inputs.get("exports", ())),
        cache_from=tuple(one["raw"] for one in inputs.get("cacheFrom", ())),
        cache_to=tuple(one["raw"] for one in inputs.get("cacheTo", ())),
    )


def _kept(inputs: Properties) -> Properties:
    return {name: value for name, value in inputs.items() if name != "registries"}


def _without_tokens(inputs: Properties) -> Properties:
    logins = [{k: v for k, v in one.items() if k != "password"} for one in inputs.get("registries", ())]
    return {**inputs, "registries": logins}


def _hash(inputs: Properties) -> str:
    asked = request(inputs)
    return context_hash(asked.dockerfile, {"": asked.context, **asked.contexts})


def _build(inputs: Properties, log: Log) -> Built:
    builder = inputs.get("builder", {}).get("name")
    try:
        with _environment(inputs.get("registries", ())) as environment:
            return build(
                request(inputs), program=_program(), builder=builder, folder=Path(), environment=environment, say=log
            )
    except BuildError as error:
        raise HostError(str(error)) from error


def _program() -> list[str]:
    """buildx: docker's plugin of this user, docker's own, or the one that the sandbox builds."""
    plugin = _docker_folder() / "cli-plugins" / "docker-buildx"
    if plugin.exists():
        return [str(plugin)]
    return ["docker", "buildx"] if shutil.which("docker-buildx") else [str(tools.ensure().buildx)]


def _docker_folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


@contextmanager
def _environment(registries: list[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """The environment of buildx: the logins in a folder that is gone afterwards, the builders where they are."""
    logins = {_HUB if one["address"] == "docker.io" else one["address"]: one for one in registries}
    with tempfile.TemporaryDirectory(prefix="pollex-docker-") as temporary:
        auths = {
            address: {"auth": base64.b64encode(f"{one['username']}:{one['password']}".encode()).decode()}
            for address, one in logins.items()
        }
        if auths:
            file = Path(temporary, "config.json")
            file.touch(0o600)
            file.write_text(json.dumps({"auths": auths}))
        own = {"DOCKER_CONFIG": temporary} if auths else {}
        yield {"BUILDX_CONFIG": str(_docker_folder() / "buildx"), **os.environ, **own}


def _is_there(inputs: Properties, digest: str) -> bool:
    name = inputs["tags"][0].rpartition(":")[0]
    login = next((one for one in inputs.get("registries", ()) if name.startswith(f"{one['address']}/")), None)
    user, token = (login["username"], login["password"]) if login else (None, None)
    try:
        with Repository(name, user=user, token=token) as repository:
            return repository.manifest(digest) is not None
    except RegistryError as error:
        raise HostError(str(error)) from error
