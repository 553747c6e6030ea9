"""What a stack of kind `image` declares: one image for several platforms, and the registry it is pushed to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from infra.core.settings import Line, Refusal, Value, refuse
from infra.core.source import Source

RegistryAddress = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?$")]
Repository = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$")]
Base = Annotated[
    str, StringConstraints(pattern=r"^(docker-image://|oci-layout:///)[^@ ]+@sha256:[0-9a-f]{64}$", max_length=400)
]
Platform = Literal["linux/amd64", "linux/arm64"]


class Image(Value):
    """The image, and where it goes."""

    registry: Annotated[RegistryAddress, Field(description="the registry's address, such as docker.io or ghcr.io")]
    namespace: Annotated[Repository, Field(description="your account or organisation there")]
    name: Annotated[Repository, Field(description="the image's name there")] = "llama-server"
    version: Annotated[
        Version,
        Field(description="semantic version, a tag beside `latest`; one that was pushed is never given other bytes"),
    ]
    user: Annotated[Line | None, Field(description="who logs in there; null takes the namespace")] = None
    platforms: Annotated[tuple[Platform, ...], Field(description="what it is built for, out of one declaration")] = (
        "linux/amd64",
        "linux/arm64",
    )
    base: Annotated[
        Base,
        Field(
            description="the Debian 12 that compiles it, by digest: docker-image://NAME@sha256:… or oci-layout:///FOLDER@…"
        ),
    ]
    epoch: Annotated[
        int,
        Field(ge=1, description="the time of every file: `git show -s --format=%ct COMMIT`, seconds since 1970"),
    ]
    builder: Annotated[
        Line | None, Field(description="the buildx builder, as `docker buildx ls` names it; null takes the current one")
    ] = None
    cache: Annotated[
        Line | None,
        Field(description="a repository for the build cache, such as docker.io/NAMESPACE/cache; null keeps none"),
    ] = None

    @model_validator(mode="after")
    def _platforms_are_different(self) -> Self:
        if not self.platforms:
            refuse([Refusal(("platforms",), [], "names no platform: linux/amd64, linux/arm64 or both")])
        if len(set(self.platforms)) < len(self.platforms):
            refuse([Refusal(("platforms",), list(self.platforms), "names a platform twice")])
        return self

    @property
    def repository(self) -> str:
        """Registry, namespace and name, as they stand before a tag."""
        return f"{self.registry}/{self.namespace}/{self.name}"

    @property
    def login(self) -> str:
        """The account that pushes."""
        return self.user if self.user is not None else self.namespace


class ImageStack(Value):
    """Everything that a stack of kind `image` declares."""

    kind: Annotated[Literal["image"], Field(description="what this stack declares: image")]
    source: Annotated[Source, Field(description="the llama.cpp source by identity, and its mirrors")]
    image: Annotated[Image, Field(description="the image, and where it goes")]
    registry_token: Annotated[
        SecretStr | None,
        Field(description="an access token that may push there: `pulumi config set --secret registryToken`"),
    ] = None
