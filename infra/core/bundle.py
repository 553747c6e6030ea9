"""The polish service as a derivation: what decides the bytes that run on the host, and the manifest that names them.

Everything that runs is chosen by files of this project (the service's sources and its lock) and by the interpreter, so
the key is known without packing anything; `infra.provider.packing` packs, and only when no host or substituter has it
yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from infra import ROOT
from infra.core.derivation import Derivation, sha256
from infra.hosttools.pollex_host import manifest

NAME = "polish"
"""Names the store path, `<key>-polish`."""

COMMAND = "pollex"
"""The one program of the bundle, `bin/pollex`."""

LOCK = "requirements/service.txt"
"""What the service depends on: versions and hashes."""

SOURCES = "service/pollex"
_DOCUMENTATION = ("clidoc.py", "reference.py")
"""Modules that write docs/reference and never run on a host."""
LAUNCHER = "service/pollex.sh"
"""Becomes `bin/pollex`."""

FORM = 1
"""How the parts become an archive; another number whenever `infra.provider.packing` makes other bytes of the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is packed for which host."""

    architecture: str
    """As `uname -m` says it."""
    python: str
    """Major and minor version, such as `3.12`: compiled packages fit one of them only."""
    interpreter: str | None
    """The SHA-256 of a standalone CPython (`install_only`) that is brought along, or None for the host's own."""
    urls: tuple[str, ...]
    """Where that one may be had, in order."""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """The recipe from its plain values, the inverse of `plain`."""
        return cls(**{field.name: values.get(field.name) for field in fields(cls)} | {"urls": tuple(values["urls"])})

    def plain(self) -> dict[str, Any]:
        """The recipe as JSON data."""
        return {**asdict(self), "urls": list(self.urls)}

    @property
    def platform(self) -> str:
        """The platform that wheels are chosen for: glibc 2.17 is the oldest that packages are still built for."""
        return f"{self.architecture}-manylinux_2_17"


def derivation(recipe: Recipe, root: Path = ROOT) -> Derivation:
    """The bundle as a derivation; reads the service's files below `root`.

    Raises:
        OSError: a file of the project is missing.
    """
    return Derivation(
        NAME,
        {
            "lock": sha256((root / LOCK).read_text()),
            "launcher": sha256((root / LAUNCHER).read_text()),
            "sources": {name: sha256((root / SOURCES / name).read_bytes()) for name in sources(root)},
            "form": FORM,
            "python": recipe.python,
            "interpreter": recipe.interpreter or "the host's own",
            "platform": recipe.platform,
        },
    )


def package(root: Path = ROOT) -> list[str]:
    """Every file of the service's package, sorted, below `SOURCES`; not what Python leaves behind."""
    folder = root / SOURCES
    names = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return sorted(str(name) for name in names if "__pycache__" not in name.parts)


def sources(root: Path = ROOT) -> list[str]:
    """The files of the package that run; neither what writes documentation nor what editors leave behind."""
    return [n for n in package(root) if n not in _DOCUMENTATION and not Path(n).name.startswith(".")]


def said(made: Derivation, substituters: Sequence[manifest.Substituter]) -> manifest.Bundle:
    """What `pollex-host ensure-bundle` reads."""
    return manifest.Bundle(key=made.key, name=made.name, target=COMMAND, substituters=tuple(substituters))
