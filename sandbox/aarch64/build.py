"""A finished llama-server for an aarch64 board, made once on this machine and kept where the mirror serves it.

The host's own tools make it, as they would there: source, patches, recipe, proof. They run in a Debian of the boards'
release whose CMake is given a cross compiler, and what that makes is tried out by QEMU.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from infra import HOST_FOLDER
from infra.hosttools.pollex_host import manifest, store, tools
from infra.kinds.host import plan
from infra.kinds.host.spec import HostStack
from infra.toolchain.once import cache
from sandbox import debian, fetch, mirror
from sandbox.images import emulation
from sandbox.machine import SandboxError, require, say

_FOLDER: Final = Path(debian.__file__).parent
_COMPILER: Final = "aarch64-linux-gnu"
_VARIABLES: Final = {
    "PATH": "/work/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "CMAKE_TOOLCHAIN_FILE": "/work/aarch64.cmake",
    "QEMU_LD_PREFIX": f"/usr/{_COMPILER}",  # libraries for what was made
    "POLLEX_ROOT": "/work/root",
    "POLLEX_PROOF_WAIT": "1800",
}


def root() -> Path:
    """The finished root file system with the cross compiler; the first caller makes it, others wait for that one.

    Raises:
        SandboxError: it could not be made; the whole log lies beside it.
    """
    saying = "making a Debian with a cross compiler for aarch64, once (about two minutes)"
    return debian.made(_FOLDER / "cross.sh", debian.BARE, saying=saying)


def keep(stack: HostStack) -> Path:
    """See that the mirror has the stack's llama-server, as a substituter serves it; its archive.

    Raises:
        SandboxError: this machine cannot make it, or it does not compile, or computes wrongly; holds the log's end.
    """
    given = plan.load(stack).build_manifest
    return mirror.keep(given.item, lambda to: _make(given, to))


def _make(given: manifest.Build, to: IO[bytes]) -> None:
    require()
    emulation.require("arm64")
    inside = root()
    bundle = fetch.fetch(fetch.BUNDLE)
    say("compiling llama-server for aarch64, once (about three minutes on two cores)")
    with tempfile.TemporaryDirectory(dir=cache(), prefix="cross-") as scratch:
        folder = Path(scratch)
        shutil.copyfile(bundle, folder / bundle.name)
        _furnish(folder, _from_here(given, bundle.name))
        log = folder / "log"
        with log.open("wb") as stream:
            command = ["sh", "tools/pollex-host", "build", given.key]
            status = debian.start(inside, folder, command, stream, _VARIABLES).wait()
        built = folder / "root" / "store"
        if status or not (built / given.item).is_dir():
            logs = [log, *(folder / "root" / "log").glob("*.log")]
            told = "\n".join("\n".join(each.read_text(errors="replace").splitlines()[-30:]) for each in logs)
            raise SandboxError(f"llama-server could not be made for aarch64\n{told}")
        store.pack(str(built), given.item, to)


def _from_here(given: manifest.Build, bundle: str) -> manifest.Build:
    """The manifest of the same bytes, with a source that lies beside it and compilers that are there."""
    source = replace(given.source, mirrors=(f"bundle file:///work/{bundle}",))
    return replace(given, source=source, packages=(), substituters=(), jobs=None)


def _furnish(folder: Path, given: manifest.Build) -> None:
    """What the build finds in its folder: the host's tools, its manifest, and how to cross over."""
    for name in tools.names(str(HOST_FOLDER)):
        (folder / "tools" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HOST_FOLDER / name, folder / "tools" / name)
    kept = folder / "root" / "drv" / given.item
    kept.mkdir(parents=True)
    (kept / "manifest.json").write_text(manifest.text(given))
    shutil.copyfile(_FOLDER / "aarch64.cmake", folder / "aarch64.cmake")
    (folder / "bin").mkdir()
    (folder / "bin" / "strip").symlink_to(f"/usr/bin/{_COMPILER}-strip")
