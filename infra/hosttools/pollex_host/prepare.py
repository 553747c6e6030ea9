"""`prepare`: installs these tools from the folder they stand in, and the packages that they need."""

from __future__ import annotations

import os
import sys

from . import files, kept, locks, places, run, say, tools
from .errors import Exit, HostToolError
from .packages import install

TEMPLATE = "pollex-build@.service"
LAYOUT = 1
"""How new what these tools keep on a host is. Whoever has them keep what the former ones cannot read counts it up."""


def prepare(arguments: list[str]) -> None:
    """The verb."""
    kept.need_root()
    digest = tools.tools_hash(places.HERE)
    with locks.alone(places.TOOLS):
        there = _layout()
        if there > LAYOUT:
            raise HostToolError(
                Exit.FAILED,
                f"a newer revision of the project set this host up, and keeps there what this one cannot read (layout "
                f"{there}, and this one knows {LAYOUT}); nothing was changed",
                "go on with that revision (git pull); or `pulumi destroy` with it first, which keeps what was built, "
                "and then `pulumi up` with this one",
            )
        _install_tools(digest)
        if there < LAYOUT:
            files.write(places.LAYOUT, f"{LAYOUT}\n")
    say.answer(tools=digest, installed=install(arguments))


def _layout() -> int:
    """How new the tools were that were here before; 0 where there were none, or older ones than this number is."""
    text = (files.read(places.LAYOUT) or "").strip()
    return int(text) if text.isdigit() else 0


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
