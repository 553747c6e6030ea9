"""The image as resources: asked first whether it may be pushed, then built, pushed, and documented beside its index."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pulumi
import pulumi_docker_build as docker_build

from infra import ROOT
from infra.kinds.children import child
from infra.kinds.image import attest, buildx
from infra.kinds.image.spec import ImageStack
from infra.provider.image import Attached, Pushable

_PROGRAM_FOLDER = ROOT / "infra"
"""Where the engine starts plugins (`main` of Pulumi.yaml): folders are relative to it, the same in every checkout."""


class LlamaImage(pulumi.ComponentResource):
    """One image for all platforms, in its registry."""

    def __init__(
        self, name: str, stack: ImageStack, made: buildx.ImagePlan, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pollex:image:LlamaImage", name, None, opts)
        image = stack.image
        token = None if stack.registry_token is None else pulumi.Output.secret(stack.registry_token.get_secret_value())
        login = {"repository": image.repository, "user": image.login, **({} if token is None else {"token": token})}
        pushable = Pushable(
            f"{name}-pushable",
            **login,
            version=image.version,
            key=made.derivation.key,
            opts=child(self, "pushable"),
        )
        # Of its own, because the default one takes DOCKER_HOST for a setting and builds anew where that differs.
        own = child(self, "docker-build", pulumi.ResourceOptions(ignore_changes=["host"]))
        plugin = docker_build.Provider(f"{name}-docker-build", opts=own)
        built = docker_build.Image(
            f"{name}-image",
            arguments(made.request, builder=image.builder, registry=image.registry, user=image.login, token=token),
            # Those who run a version keep it: destroying the stack forgets what was pushed.
            child(
                self,
                "image",
                pulumi.ResourceOptions(provider=plugin, depends_on=[pushable], retain_on_delete=True),
            ),
        )
        documents = built.digest.apply(lambda digest: attest.documents(stack, made, str(digest)))
        attached = Attached(
            f"{name}-documents", **login, digest=built.digest, documents=documents, opts=child(self, "documents")
        )
        self.reference = pulumi.Output.concat(image.repository, "@", built.digest)
        self.sizes = attached.sizes
        self.register_outputs({"reference": self.reference, "sizes": self.sizes})


def arguments(
    request: buildx.BuildRequest,
    *,
    builder: str | None,
    registry: str,
    user: str,
    token: pulumi.Output[str] | None,
) -> docker_build.ImageArgs:
    """The request in the words of the docker-build provider."""
    login = docker_build.RegistryArgs(address=registry, username=user, password=token)
    return docker_build.ImageArgs(
        push=False,  # the exports push, with layers that depend on nothing but files
        build_on_preview=False,
        builder=None if builder is None else docker_build.BuilderConfigArgs(name=builder),
        build_args=dict(request.args),
        cache_from=[docker_build.CacheFromArgs(raw=one) for one in request.cache_from],
        cache_to=[docker_build.CacheToArgs(raw=one) for one in request.cache_to],
        context=docker_build.BuildContextArgs(
            location=_place(request.context),
            named={
                name: docker_build.ContextArgs(location=place if "://" in place else _place(place))
                for name, place in request.contexts.items()
            },
        ),
        dockerfile=docker_build.DockerfileArgs(location=_place(request.dockerfile)),
        exports=[docker_build.ExportArgs(raw=one) for one in request.exports],
        labels=dict(request.labels),
        platforms=[docker_build.Platform(one) for one in request.platforms],
        registries=[] if token is None else [login],
        tags=list(request.tags),
    )


def _place(path: str) -> str:
    """A folder of the project as the plugin finds it."""
    return os.path.relpath(ROOT / path, _PROGRAM_FOLDER)


def declare(stack: ImageStack) -> Mapping[str, object]:
    """Declare the image and return the stack's outputs; none of them is secret."""
    made = buildx.load(stack)
    image = LlamaImage("llama", stack, made)
    return {
        "key": made.derivation.key,
        "reference": image.reference,
        "tags": list(made.request.tags),
        "sizes": image.sizes,
    }
