"""The polish service's image: one request for its build, as for llama-server's. Pure.

It is named beside llama-server's, with the same version, and dev stacks run it; `infra.buildpolish` builds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from infra import ROOT
from infra.core import bundle
from infra.core.derivation import KEY_LABEL, Derivation, sha256
from infra.kinds.image.buildx import FORM, BuildRequest
from infra.kinds.image.spec import ImageStack

NAME = "polish"
"""The image's name, beside llama-server's."""

CONTEXT = "image/polish"
"""The folder of its recipe."""


def texts(root: Path = ROOT) -> dict[str, str]:
    """Every file that decides the image's bytes, by its path."""
    names = [file.relative_to(root).as_posix() for file in (root / CONTEXT).iterdir()]
    names += [bundle.LOCK, *(f"{bundle.SOURCES}/{name}" for name in bundle.package(root))]
    return {name: (root / name).read_text() for name in names}


def derivation(stack: ImageStack, files: Mapping[str, str]) -> Derivation:
    """The image as a derivation.

    Debian's Python is not pinned to a package version: a fixed one of it comes with the next build.
    """
    return Derivation(
        "polish-image",
        {
            "files": {name: sha256(text) for name, text in files.items()},
            "base": stack.image.base.rpartition("@")[2],
            "platforms": list(stack.image.platforms),
            "version": stack.image.version,
            "epoch": stack.image.epoch,
        },
    )


def repository(stack: ImageStack) -> str:
    """Registry, namespace and name, as they stand before a tag."""
    return f"{stack.image.registry}/{stack.image.namespace}/{NAME}"


def request(stack: ImageStack, made: Derivation) -> BuildRequest:
    """The build, pushed under the version and as `latest`."""
    image = stack.image
    kept = f"type=registry,ref={image.cache}-{NAME}" if image.cache is not None else None
    return BuildRequest(
        context=CONTEXT,
        dockerfile=f"{CONTEXT}/Dockerfile",
        contexts={"debian": image.base, "requirements": "requirements", "service": "service"},
        args={"SOURCE_DATE_EPOCH": str(image.epoch)},
        platforms=image.platforms,
        tags=tuple(f"{repository(stack)}:{tag}" for tag in (image.version, "latest")),
        labels={
            "org.opencontainers.image.title": NAME,
            "org.opencontainers.image.description": "A private text polisher in front of llama-server",
            "org.opencontainers.image.version": image.version,
            "org.opencontainers.image.licenses": "MIT",
            KEY_LABEL: made.key,
        },
        exports=(f"type=registry,{FORM}",),
        cache_from=(kept,) if kept is not None else (),
        cache_to=(f"{kept},mode=max",) if kept is not None else (),
    )


def local(request: BuildRequest, machine: str) -> BuildRequest:
    """The same for this machine's own engine instead of a registry.

    Args:
        request: what would be pushed.
        machine: as `uname -m` says it; macOS says arm64.
    """
    own = {"x86_64": "linux/amd64", "aarch64": "linux/arm64", "arm64": "linux/arm64"}[machine]
    return replace(request, platforms=(own,), exports=("type=docker,rewrite-timestamp=true",), cache_to=())


def secrets(certificates: str | None) -> list[str]:
    """Arguments of buildx that let the build trust a proxy's certificates."""
    return [] if certificates is None else [f"--secret=id=certificates,src={certificates}"]
