"""The polish service's image: one request for its build, as for llama-server's. Pure.

It is pushed beside llama-server's under the same version, and dev stacks run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra import ROOT, store
from infra.buildx import FORM, KEY_LABEL, BuildRequest
from infra.spec import ImageStack
from infra.store import Derivation

NAME = "polish"
"""The image's name, beside llama-server's."""


def texts(root: Path = ROOT) -> dict[str, str]:
    """Every file that decides the image's bytes, by its path."""
    found = [*(root / "image" / "polish").iterdir(), root / "requirements" / "service.txt"]
    found += [file for file in (root / "service" / "pollex").rglob("*") if "__pycache__" not in file.parts]
    return {file.relative_to(root).as_posix(): file.read_text() for file in sorted(found) if file.is_file()}


def derivation(stack: ImageStack, files: Mapping[str, str]) -> Derivation:
    """The image as a derivation.

    Debian's Python is not pinned to a package version: a fixed one of it comes with the next build.
    """
    return Derivation(
        "polish-image",
        {
            "files": {name: store.sha256(text) for name, text in files.items()},
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
        context="image/polish",
        dockerfile="image/polish/Dockerfile",
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
