"""Build the polish service's image as an image stack's file says; push it, or give it to this machine's engine.

    python -m infra.buildpolish FILE [--load] [--certificates FILE]

Its exit status is buildx's.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from infra import ROOT
from infra.core import stackfile
from infra.core.report import ConfigError
from infra.kinds import table
from infra.kinds.image import buildx, polishimage
from infra.kinds.image.spec import ImageStack


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `docker buildx` with the request; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.buildpolish", description="Build the polish service's image")
    parser.add_argument("file", type=Path, help="the image stack's file, such as stacks/Pulumi.image.yaml")
    parser.add_argument("--load", action="store_true", help="give it to this machine's engine instead of pushing it")
    parser.add_argument("--certificates", metavar="FILE", help="certificates that a proxy here is trusted by")
    given = parser.parse_args(arguments)
    try:
        stack = table.parse(stackfile.values(given.file), file=str(given.file))
    except ConfigError as error:
        sys.exit(str(error))
    if not isinstance(stack, ImageStack):
        sys.exit(f"{given.file} declares {stack.kind}, not image")
    asked = polishimage.request(stack, polishimage.derivation(stack, polishimage.texts()))
    if given.load:
        asked = polishimage.local(asked, platform.machine())
    words = buildx.argv(asked, builder=stack.image.builder)
    command = ["docker", "buildx", words[0], *polishimage.secrets(given.certificates), *words[1:]]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
