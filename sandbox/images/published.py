"""The image of this checkout in a registry on loopback, built once per key and kept in the cache.

>>> with published(folder) as image:
...     docker.run("pull", image.reference)
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infra.kinds import table
from infra.kinds.image import attest, buildx
from infra.kinds.image.spec import ImageStack
from infra.provider.registry import Repository
from infra.toolchain.once import cache, made
from infra.toolchain.progress import Progress
from sandbox.images import stack
from sandbox.images.build import BuildError
from sandbox.images.buildkit import BuildKit
from sandbox.images.registry import Registry
from sandbox.machine import SandboxError, say
from sandbox.mirror import Mirror, directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An image that was pushed."""

    registry: str
    """`127.0.0.1:PORT`."""
    digest: str
    """Of the index."""
    stack: ImageStack
    plan: buildx.ImagePlan

    @property
    def repository(self) -> str:
        """Registry, namespace and name."""
        return self.stack.image.repository

    @property
    def reference(self) -> str:
        """The whole image by digest."""
        return f"{self.repository}@{self.digest}"

    def platform(self, name: str) -> str:
        """The image of one platform by digest; an older engine cannot hold two platforms of one index."""
        with Repository(self.repository) as repository:
            found = repository.manifest(self.digest)
        if found is None:
            raise SandboxError(f"{self.reference} is not there")
        for entry in found[1]["manifests"]:
            if "/".join([entry["platform"]["os"], entry["platform"]["architecture"]]) == name:
                return f"{self.repository}@{entry['digest']}"
        raise SandboxError(f"{self.reference} is not for {name}")


@contextmanager
def published(folder: Path, *, port: int = 0, real: bool = False) -> Iterator[Published]:
    """This checkout's image, served by a registry process of one's own.

    Args:
        folder: for the registry's configuration and log; the image itself is kept in the cache.
        port: of the registry; 0 takes a free one.
        real: whether the declared base and source are asked for, and stand-ins taken only where they do not answer.

    Raises:
        SandboxError: it could not be built; holds the reason.
    """
    with Mirror(directory()) as mirror:
        choose = stack.best if real else stack.reachable
        values = choose("127.0.0.1:1", mirror.url)
        key = parse(values)[1].derivation.key
        kept = made(cache() / "images" / "published" / key, partial(_make, values), what="the image")
        digest = (kept / "digest").read_text()
        # What a test pushes beside it must not end up in the cache.
        shutil.copytree(kept / "data", folder / "data", dirs_exist_ok=True)
        with Registry(folder, port=port) as registry:
            declared, plan = parse(stack.at(registry.address, values))
            # The documents name the registry, so they cannot be kept.
            with Repository(declared.image.repository) as repository:
                attach(repository, declared, plan, digest)
            yield Published(registry=registry.address, digest=digest, stack=declared, plan=plan)


def parse(values: dict[str, Any]) -> tuple[ImageStack, buildx.ImagePlan]:
    """The stack of such values, and its plan."""
    declared = table.parse(values, file="the sandbox's image stack")
    if not isinstance(declared, ImageStack):
        raise SandboxError(f"{stack.COMMITTED} is not of kind image")
    return declared, buildx.load(declared)


def _make(values: dict[str, Any], kept: Path) -> None:
    """Build and push into a registry whose data stays; BuildKit's cache stays too, so that little is built twice."""
    say("building the image, once for these inputs (about six minutes on two cores)")
    with Registry(kept) as registry, BuildKit(cache() / "images" / "buildkit") as kit:
        _, plan = parse(stack.at(registry.address, values))
        with Progress("building the image", sys.stderr) as progress:
            try:
                built = kit.build(plan.request, progress.say)
            except BuildError as error:
                raise SandboxError(f"the image was not built: {error}") from error
    (kept / "digest").write_text(built.digest)


def attach(repository: Repository, declared: ImageStack, plan: buildx.ImagePlan, digest: str) -> dict[str, str]:
    """Attach the documents to a pushed index; media type → digest.

    Raises:
        SandboxError: the registry has no such index.
    """
    found = repository.manifest(digest)
    if found is None:
        raise SandboxError(f"{repository.name} has no {digest}")
    texts = attest.documents(declared, plan, digest)
    return {kind: repository.attach(found[0], kind, text.encode()) for kind, text in texts.items()}
