"""The resources of an engine, each made, read and removed by `docker` itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

from pulumi.runtime.proto import provider_pb2

from infra.provider import server
from infra.provider.engine import Engine, Log
from infra.provider.problems import HostError
from infra.provider.server import UNKNOWN, Properties
from infra.provider.values import changed

_READY_S: Final = 300.0
"""How long a container may take where nothing is said of it; seconds."""


class Servicer(server.Servicer):
    """The types of the plugin, on the engine that the provider's configuration names."""

    def __init__(self, engine: Engine) -> None:
        self._docker = Docker()
        kinds = (Volume, Network, RemoteImage, Container)
        super().__init__(engine, {kind.type: kind(self._docker) for kind in kinds})

    async def Configure(  # noqa: N802, D102 - the protocol's name
        self, request: provider_pb2.ConfigureRequest, context: server.Context
    ) -> provider_pb2.ConfigureResponse:
        self._docker.host = str(server.plain(request.args).get("host", ""))
        return await super().Configure(request, context)


class Docker:
    """`docker` on one engine."""

    host = ""

    async def run(self, *words: str) -> str:
        """What a command says.

        Raises:
            HostError: it failed; holds what it said of it.
        """
        asked = await asyncio.create_subprocess_exec(
            *("docker", "--host", self.host, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asked.communicate()
        if asked.returncode:
            raise HostError(f"docker {' '.join(words[:2])}: {err.decode(errors='replace').strip()}")
        return out.decode()

    async def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """What the engine has under a name, or None."""
        try:
            found: list[dict[str, Any]] = json.loads(await self.run(kind, "inspect", name))
        except HostError as error:
            if "no such" in str(error).lower() or "not found" in str(error):
                return None
            raise
        return found[0]


class _Kind:
    """What the types have in common: outputs repeat the inputs, with what is known when it is there."""

    type = ""
    known: tuple[str, ...] = ()
    """Outputs that only the engine knows."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Lifecycle's signature
        """Every input counts."""
        return dict.fromkeys(changed(before, inputs), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:
        """What it has now, if it stays."""
        stays = outputs if outputs and before == inputs else dict.fromkeys(self.known, UNKNOWN)
        return {**inputs, **{name: stays[name] for name in self.known}}

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:
        """Make it."""
        raise NotImplementedError

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """Whether it is there."""
        found = await self.docker.find(self.type.rpartition(":")[2].lower(), inputs["name"])
        if found is None:
            warn(f"{inputs['name']} is gone")
            return None
        return inputs, outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Remove it."""
        raise NotImplementedError


class Volume(_Kind):
    """A volume."""

    type = "docker:index/volume:Volume"

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Make it; the engine takes one that is there."""
        await self.docker.run("volume", "create", inputs["name"])
        return inputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:  # noqa: ARG002 - Lifecycle's signature
        """Remove it."""
        await self.docker.run("volume", "rm", inputs["name"])


class Network(_Kind):
    """A network."""

    type = "docker:index/network:Network"

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Make it."""
        await self.docker.run("network", "create", "--driver", inputs["driver"], inputs["name"])
        return inputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:  # noqa: ARG002 - Lifecycle's signature
        """Remove it."""
        await self.docker.run("network", "rm", inputs["name"])


class RemoteImage(_Kind):
    """An image on the engine, pulled where it is not there."""

    type = "docker:index/remoteImage:RemoteImage"
    known = ("imageId", "repoDigest")

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Pull it."""
        name = inputs["name"]
        if (found := await self.docker.find("image", name)) is None:
            log(f"pulling {name}")
            await self.docker.run("pull", "--quiet", name)
            found = await self.docker.find("image", name)
        if found is None:
            raise HostError(f"the engine has no {name}, which it has pulled")
        return {**inputs, "imageId": found["Id"], "repoDigest": next(iter(found["RepoDigests"]), "")}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """Whether the engine has it."""
        if await self.docker.find("image", inputs["name"]) is None:
            warn(f"{inputs['name']} is gone")
            return None
        return inputs, outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Leave it, which `keepLocally` asks for."""


class Container(_Kind):
    """A container, there when its health check has passed."""

    type = "docker:index/container:Container"

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:
        """Make it, in place of a former one."""
        if outputs:
            await self.delete(outputs, outputs, log)
        await self.docker.run("run", "--detach", *_options(inputs), inputs["image"])
        if inputs.get("wait"):
            async with asyncio.timeout(inputs.get("waitTimeout", _READY_S)):
                await self._healthy(inputs["name"])
        return inputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:  # noqa: ARG002 - Lifecycle's signature
        """Stop it within its time, and remove it."""
        await self.docker.run("stop", "--time", str(int(inputs["destroyGraceSeconds"])), inputs["name"])
        await self.docker.run("rm", "--volumes", inputs["name"])

    async def _healthy(self, name: str) -> None:
        while True:
            found = await self.docker.find("container", name)
            state: dict[str, Any] = found["State"] if found is not None else {"Status": "gone"}
            if state["Status"] != "running":
                raise HostError(f"{name} is {state['Status']}: {await self.docker.run('logs', '--tail', '5', name)}")
            if state["Health"]["Status"] == "healthy":
                return
            await asyncio.sleep(0.2)


def _options(inputs: Properties) -> Iterator[str]:
    """A container's inputs in the words of `docker run`."""
    yield from ("--name", inputs["name"], "--restart", inputs["restart"])
    yield from ("--stop-timeout", str(int(inputs["stopTimeout"])))
    if inputs.get("readOnly"):
        yield "--read-only"
    yield from (f"--cap-drop={one}" for one in inputs["capabilities"]["drops"])
    yield from (f"--security-opt={one}" for one in inputs["securityOpts"])
    yield from (f"--env={one}" for one in inputs["envs"])
    for port in inputs["ports"]:
        yield f"--publish={port['ip']}:{int(port['external'])}:{int(port['internal'])}"
    for mount in inputs.get("mounts", ()):
        only = ",readonly" if mount.get("readOnly") else ""
        yield f"--mount=type={mount['type']},source={mount['source']},target={mount['target']}{only}"
    for network in inputs["networksAdvanced"]:
        yield f"--network={network['name']}"
        yield from (f"--network-alias={alias}" for alias in network["aliases"])
