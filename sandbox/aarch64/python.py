"""The Python that an aarch64 board is brought, because its own is too old: `pollex:polish.python`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

from infra.core import stackfile
from infra.kinds.host.spec import Interpreter
from infra.provider import packing
from infra.toolchain.once import made
from sandbox import mirror
from sandbox.debian.rootfs import rootfs
from sandbox.machine import CHECKOUT, say

_VERSION: Final = "3.11"
"""Of Debian 12."""
_OURS: Final = (PurePosixPath(f"/usr/lib/python{_VERSION}"), PurePosixPath(f"/usr/bin/python{_VERSION}"))


def interpreter(mirrored: str) -> dict[str, str]:
    """What the stack declares: the Jetson's own, or an imitation where that is out of reach; the mirror has it.

    Args:
        mirrored: the URL of the cache's mirror folder.
    """
    python = _jetson()
    try:
        content = packing.download([str(python.url)], str(python.sha256), say)
    except packing.PackError as error:
        say(f"{error}\n  an imitation stands in for it: Debian's Python {_VERSION} for arm64, laid out as that is")
        file, version = stand_in(), _VERSION
    else:
        file, version = mirror.directory() / "python-aarch64.tar.gz", python.version
        file.write_bytes(content)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"version": version, "url": f"{mirrored}/{file.name}", "sha256": digest}


def stand_in() -> Path:
    """An `install_only` archive of the packages that the board's root file system has fetched and not installed."""
    packages = rootfs("aarch64") / "var/cache/apt/archives"

    def make(part: Path) -> None:
        with (
            part.open("wb") as file,
            gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as squeezed,
            tarfile.open(fileobj=squeezed, mode="w") as archive,
        ):
            for package in sorted(packages.glob(f"*python{_VERSION}*.deb")):
                _add(package, archive)
            link = tarfile.TarInfo("python/bin/python3")
            link.type, link.linkname = tarfile.SYMTYPE, f"python{_VERSION}"
            archive.addfile(link)

    return made(mirror.directory() / f"python{_VERSION}-{rootfs('aarch64').name}.tar.gz", make)


def _jetson() -> Interpreter:
    """As stacks/Pulumi.jetson.yaml names it."""
    polish = stackfile.values(CHECKOUT / "stacks" / "Pulumi.jetson.yaml")["polish"]
    assert isinstance(polish, dict)  # noqa: S101 - a group of settings
    return Interpreter.model_validate_json(json.dumps(polish["python"]))


def _add(package: Path, archive: tarfile.TarFile) -> None:
    """Take over a package's plain files, in the standalone one's places."""
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as members:
        for member in filter(tarfile.TarInfo.isfile, members):
            place = PurePosixPath("/", member.name)
            if any(place.is_relative_to(ours) for ours in _OURS):
                content = members.extractfile(member)
                member.name = f"python/{place.relative_to('/usr')}"
                archive.addfile(member, content)
