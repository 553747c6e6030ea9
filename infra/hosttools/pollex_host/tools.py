"""These tools as what is delivered: which files they are, and the hash that names them. For both sides."""

from __future__ import annotations

import hashlib
import os

HASH_DIGITS = 32
PYTHON = "python"
"""The link beside the tools to the interpreter that runs them; `prepare` makes it, so it is none of them."""
_SUFFIXES = (".py", ".sh", ".cmake", ".service")
_LAUNCHER = "pollex-host"


def names(folder: str) -> list[str]:
    """The tools' files, relative to their folder, sorted; what Python and editors leave behind is none."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        inside = os.path.relpath(place, folder)
        ours = (name for name in files if name == _LAUNCHER or name.endswith(_SUFFIXES))
        found += [os.path.normpath(f"{inside}/{name}") for name in ours]
    return sorted(name for name in found if name != "__init__.py")


def tools_hash(folder: str) -> str:
    """32 hex digits over names and contents; empty where there are none."""
    digest = hashlib.sha256()
    found = names(folder)
    for name in found:
        with open(f"{folder}/{name}", "rb") as file:
            digest.update(f"{hashlib.sha256(file.read()).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()[:HASH_DIGITS] if found else ""
