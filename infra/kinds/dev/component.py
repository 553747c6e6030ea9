"""The containers of a developer's own machine, as resources of its Docker engine; compose.yaml is their twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_docker as docker

from infra.kinds.children import child
from infra.kinds.dev import files, native
from infra.kinds.dev.containers import Container, containers, url
from infra.kinds.dev.spec import DevStack

READY_SECONDS = 300
"""How long a container may take until its health check has passed; a model on a cold disk is slow."""


class Containers(pulumi.ComponentResource):
    """Volume, network and containers on one engine; `up` ends when every container has answered by its mode."""

    def __init__(self, name: str, stack: DevStack, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pollex:dev:Containers", name, None, opts)
        # Explicit, so that DOCKER_HOST in somebody's shell does not replace every resource. The daemon is asked when
        # something is made, not before.
        engine = docker.Provider(
            f"{name}-engine",
            host=stack.engine,
            disable_docker_daemon_check=True,
            opts=child(self, "engine"),
        )
        self._name, self._engine = name, engine
        volume, network = self._volume(stack), self._network(stack)
        images = {image: self._image(label, image) for label, image in _images(stack).items()}
        made: dict[str, docker.Container] = {}
        for one in containers(stack):
            after = [made[one.after]] if one.after is not None else []
            made[one.name] = self._container(one, images[one.image], volume, network, after)
        self.images = {label: images[image].repo_digest for label, image in _images(stack).items()}
        self.register_outputs({"images": self.images})

    def _child(self, former: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.ResourceOptions:
        own = child(self, former, pulumi.ResourceOptions(provider=self._engine))
        return own if opts is None else pulumi.ResourceOptions.merge(own, opts)

    def _volume(self, stack: DevStack) -> pulumi.Input[str]:
        if "volume" in stack.foreign:
            return stack.volume
        # models are not a thing to lose with a stack
        kept = self._child("models", pulumi.ResourceOptions(retain_on_delete=True))
        return docker.Volume(f"{self._name}-models", name=stack.volume, opts=kept).name

    def _network(self, stack: DevStack) -> pulumi.Input[str]:
        if "network" in stack.foreign:
            return stack.network
        return docker.Network(
            f"{self._name}-network", name=stack.network, driver="bridge", opts=self._child("network")
        ).name

    def _image(self, label: str, image: str) -> docker.RemoteImage:
        """The image on the engine; it stays there, because other containers may run it."""
        return docker.RemoteImage(
            f"{self._name}-{label}-image", name=image, keep_locally=True, opts=self._child(f"{label}-image")
        )

    def _container(
        self,
        one: Container,
        image: docker.RemoteImage,
        volume: pulumi.Input[str],
        network: pulumi.Input[str],
        after: Sequence[docker.Container],
    ) -> docker.Container:
        # two of them cannot have the same name, or the same port
        opts = pulumi.ResourceOptions(depends_on=after, delete_before_replace=True)
        mount = docker.ContainerMountArgs(
            type="volume", source=volume, target=native.MODELS, read_only=one.models == "ro"
        )
        return docker.Container(
            f"{self._name}-{one.name}",
            name=pulumi.Output.concat(network, "-", one.name),
            image=image.image_id,
            envs=[f"{name}={value}" for name, value in one.environment.items()],
            ports=[docker.ContainerPortArgs(ip=one.address, external=one.published, internal=one.port)],
            mounts=[mount] if one.models is not None else [],
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network, aliases=[one.name])],
            restart="unless-stopped",
            read_only=True,
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            stop_timeout=one.stop_seconds,
            destroy_grace_seconds=one.stop_seconds,
            wait=True,
            wait_timeout=READY_SECONDS,
            opts=self._child(one.name, opts),
        )


def _images(stack: DevStack) -> dict[str, str]:
    """The images that are run, by what they are."""
    run = {one.image for one in containers(stack)}
    known = {"server": stack.images.server, "polish": stack.images.polish}
    return {label: image for label, image in known.items() if image in run}


def declare(stack: DevStack) -> Mapping[str, object]:
    """Declare the containers and return the stack's outputs; none of them is secret."""
    made = Containers("containers", stack)
    return {
        "embeddings": f"{url(stack.embeddings)}/v1/embeddings",
        **({"chat": f"{url(stack.chat)}/v1/chat/completions"} if stack.chat is not None else {}),
        **({"polish": url(stack.service)} if stack.service is not None else {}),
        # what the engine has of each image, by digest; known when it is there
        "images": made.images,
        "appConfig": files.app_config(stack),
    }
