"""The base image: the pinned one where its registry answers, else a stand-in made from the same Debian release.

python -m sandbox.images.base    make the stand-in if need be, print it as a build context
"""

from __future__ import annotations

import sys
from pathlib import Path

from infra.toolchain.once import cache, made
from sandbox import debian
from sandbox.images import layout
from sandbox.machine import SandboxError, run

_EPOCH = 1735689600
"""2025-01-01, before the commits that are built on it; only caps the times of files."""


def stand_in() -> str:
    """`oci-layout://FOLDER@sha256:…`; the first caller makes it (about 40 s), others wait for that one.

    Raises:
        SandboxError: it could not be made; the whole log lies in the cache.
    """
    saying = "making a stand-in for the base image out of Debian's packages, once (about 40 s)"

    def make(part: Path) -> None:
        root = debian.made(debian.BARE, saying=saying)
        architecture = run(["dpkg", "--print-architecture"]).stdout.strip()
        (part / "digest").write_text(layout.write(root, part, architecture=architecture, epoch=_EPOCH))

    final = made(cache() / "images" / f"base-{debian.key(debian.BARE, Path(layout.__file__))}", make)
    return f"oci-layout://{final}@{(final / 'digest').read_text()}"


if __name__ == "__main__":
    try:
        print(stand_in())
    except SandboxError as error:
        sys.exit(f"error: {error}")
