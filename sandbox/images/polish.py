"""The polish service's image for the engine of this machine, built once per key and kept in the cache."""

from __future__ import annotations

import ssl
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from infra.core.derivation import Derivation
from infra.kinds import table
from infra.kinds.image import polishimage
from infra.kinds.image.spec import ImageStack
from infra.toolchain.once import cache, made
from infra.toolchain.progress import Progress
from sandbox.images import stack
from sandbox.images.build import BuildError
from sandbox.images.buildkit import BuildKit
from sandbox.machine import SandboxError

TAG = "localhost/polish:sandbox"
"""The name that the archive gives the image."""


def archive() -> Path:
    """A file for `docker load`, of linux/amd64; the first caller builds it (about two minutes), others wait.

    Raises:
        SandboxError: it could not be built; holds the reason.
    """
    declared = table.parse(stack.reachable("127.0.0.1:1", "http://127.0.0.1:1"), file="the sandbox's image stack")
    if not isinstance(declared, ImageStack):
        raise SandboxError(f"{stack.COMMITTED} is not of kind image")
    declared = declared.model_copy(update={"image": declared.image.model_copy(update={"platforms": ("linux/amd64",)})})
    derivation = polishimage.derivation(declared, polishimage.texts())
    final = cache() / "images" / f"polish-{derivation.key}.tar"
    return made(final, partial(_build, declared, derivation), what="the polish service's image")


def _build(declared: ImageStack, derivation: Derivation, target: Path) -> None:
    request = polishimage.request(declared, derivation)
    here = replace(request, tags=(TAG,), exports=(f"type=docker,dest={target},rewrite-timestamp=true",))
    # a proxy between this machine and the registries may have a certificate of its own
    trusted = ssl.get_default_verify_paths().cafile
    with (
        BuildKit(cache() / "images" / "buildkit") as kit,
        Progress("building the polish service's image", sys.stderr) as progress,
    ):
        try:
            kit.build(here, progress.say, polishimage.secrets(trusted))
        except BuildError as error:
            raise SandboxError(f"the polish service's image was not built: {error}") from error
