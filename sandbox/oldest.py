"""A board with the oldest userland that Debian still serves: where its builds are kept, and the Python it is brought.

Its own Python is too old for the service, as a Jetson's, and no registry carries a standalone one. An imitation stands
in: the Python of the usual boards with its own C library beside it, where a real one needs a glibc of 2.17 at most.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Final

from infra.toolchain.once import made
from sandbox import mirror
from sandbox.debian.rootfs import rootfs

SHELF: Final = "store-bullseye"
"""Where the mirror keeps what such a board has built: what the usual ones build asks for a newer glibc."""

_VERSION: Final = "3.11"
_LOADER: Final = "ld-linux-x86-64.so.2"
_START: Final = f"""\
#!/bin/sh
here=$(readlink -f -- "$0")
here=${{here%/bin/*}}
exec "$here/glibc/{_LOADER}" --argv0 "$here/bin/python{_VERSION}" --library-path "$here/glibc" \\
    "$here/glibc/python{_VERSION}" "$@"
"""


def interpreter(mirrored: str) -> dict[str, str]:
    """What the stack declares as `pollex:polish.python`; the mirror has it.

    Args:
        mirrored: the URL of the cache's mirror folder.
    """
    file = _stand_in(rootfs())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"version": _VERSION, "url": f"{mirrored}/{file.name}", "sha256": digest}


def _stand_in(usual: Path) -> Path:
    """An `install_only` archive out of the root file system of the usual boards."""
    modules, libraries = usual / f"usr/lib/python{_VERSION}", usual / "usr/lib/x86_64-linux-gnu"
    wanted = {usual / f"usr/bin/python{_VERSION}", libraries / _LOADER} | _needed(modules, libraries)

    def make(part: Path) -> None:
        with (
            part.open("wb") as file,
            gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as squeezed,
            tarfile.open(fileobj=squeezed, mode="w") as archive,
        ):
            for source in sorted(modules.rglob("*")):
                if source.is_file() and not source.is_symlink() and "__pycache__" not in source.parts:
                    _add(archive, f"lib/python{_VERSION}/{source.relative_to(modules)}", source.read_bytes(), 0o644)
            for source in sorted(wanted):
                _add(archive, f"glibc/{source.name}", source.read_bytes(), 0o755)
            _add(archive, f"bin/python{_VERSION}", _START.encode(), 0o755)
            link = tarfile.TarInfo("python/bin/python3")
            link.type, link.linkname = tarfile.SYMTYPE, f"python{_VERSION}"
            archive.addfile(link)

    return made(mirror.directory() / f"python{_VERSION}-{usual.name}.tar.gz", make)


def _needed(modules: Path, libraries: Path) -> set[Path]:
    """The libraries that Python, its modules and wheels load, and those that these load."""
    programs = [*modules.glob("lib-dynload/*.so"), modules.parents[1] / f"bin/python{_VERSION}"]
    found = {libraries / name for name in ("libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1")}
    todo = [*programs, *found]
    while todo:
        said = subprocess.run(["objdump", "-p", todo.pop()], check=True, capture_output=True, text=True).stdout
        names = [line.split()[1] for line in said.splitlines() if line.strip().startswith("NEEDED")]
        new = {libraries / name for name in names if (libraries / name).exists()} - found
        found |= new
        todo += new
    return found


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(f"python/{name}")
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))
