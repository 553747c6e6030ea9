"""Writes image/packages anew with the versions that Debian 12 has now: `make image-packages`.

They decide the image's bytes, so what git shows afterwards is a new image and wants a new version.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from infra.kinds.image import buildx
from sandbox.machine import SandboxError, run

FILE = buildx.FOLDER / "packages"
_CANDIDATE = re.compile(r"^  Candidate: (\S+)$", re.MULTILINE)


def renewed(text: str, candidate: Callable[[str], str]) -> str:
    """The file with other versions, and its comments as they are."""
    lines = []
    for line in text.splitlines():
        name, separator, _ = line.partition("=")
        lines.append(f"{name}={candidate(name)}" if separator and not line.startswith("#") else line)
    return "\n".join(lines) + "\n"


def current(name: str) -> str:
    """The version of a package that this machine's apt would install.

    Raises:
        SandboxError: there is no such package.
    """
    found = _CANDIDATE.search(run(["apt-cache", "policy", name]).stdout)
    if found is None or found[1] == "(none)":
        raise SandboxError(f"apt knows no package {name}: correct {FILE}")
    return found[1]


def _require_release() -> None:
    here = run(["sh", "-c", ". /etc/os-release && echo $ID-$VERSION_ID-$(dpkg --print-architecture)"]).stdout.strip()
    if here != "debian-12-amd64":
        raise SandboxError(f"the versions must be those of a debian-12-amd64, and this is a {here}")


def main() -> None:
    """Ask apt on a Debian 12 for amd64, and write the file."""
    try:
        _require_release()
        run(["apt-get", "update", "-q"])
        FILE.write_text(renewed(FILE.read_text(), current))
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
