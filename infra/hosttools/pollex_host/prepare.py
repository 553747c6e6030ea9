"""`prepare`: installs these tools from the folder they stand in, and the packages that they need."""

from __future__ import annotations

import os
import sys

from . import files, kept, places, run, say, tools
from .packages import install

TEMPLATE = "pollex-build@.service"


def prepare(arguments: list[str]) -> None:
    """The verb."""
    kept.need_root()
    digest = tools.tools_hash(places.HERE)
    _install_tools(digest)
    say.answer(tools=digest, installed=install(arguments))


def _install_tools(digest: str) -> None:
    """A folder by content, a link that is flipped, and the template of the build units."""
    lib = f"{places.TOOLS}/{digest}"
    if tools.tools_hash(lib) != digest:
        new = f"{places.TOOLS}/.new.{os.getpid()}"
        files.remove(new)
        for name in tools.names(places.HERE):
            _copy(f"{places.HERE}/{name}", f"{new}/{name}")
        files.remove(lib)
        files.sync(new)
        os.rename(new, lib)
    files.link(_interpreter(), f"{lib}/{tools.PYTHON}")
    _compile(lib)
    files.link(f"lib/{digest}", f"{places.ROOT}/bin")
    for folder in (places.BIN, places.UNITS):
        os.makedirs(folder, exist_ok=True)
    files.link(f"{places.ROOT}/bin/pollex-host", f"{places.BIN}/pollex-host")
    template = files.read(f"{lib}/{TEMPLATE}") or ""
    if files.read(f"{places.UNITS}/{TEMPLATE}") != template:
        files.write(f"{places.UNITS}/{TEMPLATE}", template)
        if os.path.isdir("/run/systemd/system"):
            run.quiet("systemctl", "daemon-reload")


def _copy(source: str, target: str) -> None:
    """With the mode that it needs, whatever the way here left of it."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(source, "rb") as old, open(target, "wb") as new:
        files.copy(old, new)
    os.chmod(target, 0o755 if target.endswith("/pollex-host") else 0o644)


def _interpreter() -> str:
    """The one that the launcher found, by the name under which an update of the host would replace it."""
    return os.path.abspath(os.environ.get("POLLEX_PYTHON", sys.executable))


def _compile(lib: str) -> None:
    """So that no start on a slow board has to, and one by a user who may not write there neither."""
    import compileall  # noqa: PLC0415 - only needed here

    compileall.compile_dir(f"{lib}/pollex_host", quiet=2)
