"""Finds the models that Ollama has already downloaded, wherever its stores usually are.

`OLLAMA_MODELS` names the store itself. Without it Ollama uses `~/.ollama/models`, on Linux and on macOS, where `~` is
the home of whoever runs it. Its Linux installer makes a user whose home is `/usr/share/ollama` (scripts/install.sh),
its container image runs as root and keeps `/root/.ollama` in a volume, and distributions have homes of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pollex.ollama import Model, Problem, Store, is_store, unreadable

VARIABLE = "OLLAMA_MODELS"
HOMES = ("/usr/share/ollama", "/var/lib/ollama", "/var/snap/ollama/common")
"""Of Ollama's user: its installer; Arch, Gentoo and NixOS; the snap."""
VOLUMES = (
    "/var/lib/docker/volumes",
    "~/.local/share/docker/volumes",
    "/var/lib/containers/storage/volumes",
    "~/.local/share/containers/storage/volumes",
)
"""Where Docker and Podman keep volumes, run by root or by a user; Docker Desktop keeps them in a virtual machine."""
INSIDE = ("", "models", ".ollama/models")
"""Where in a home, a volume or a named folder a store may be."""


@dataclass(slots=True)
class Found:
    """What a search came to."""

    places: list[Path] = field(default_factory=list)
    """Where it looked."""
    stores: list[Path] = field(default_factory=list)
    """Which of them are, or hold, stores."""
    models: list[Model] = field(default_factory=list)
    """By name, then in the order of the stores."""
    problems: list[Problem] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything, for `--json`."""
        return {
            "stores": [str(store) for store in self.stores],
            "models": [_model_as_json(model) for model in self.models],
            "problems": [{"where": problem.where, "what": problem.what} for problem in self.problems],
        }


def _model_as_json(model: Model) -> dict[str, Any]:
    header = model.header
    return {
        "name": model.name,
        "tag": model.tag,
        "kind": model.kind,
        "path": str(model.path),
        "size": model.size,
        "architecture": header.architecture,
        "quantisation": header.quantisation,
        "title": header.name,
        "size_label": header.size_label,
        "parameters": header.parameters,
        "context_length": header.context_length,
        "embedding_length": header.embedding_length,
        "pooling": header.pooling,
    }


def find(folders: Sequence[Path] = ()) -> Found:
    """The models in the stores that `folders` are or hold; without any, in the usual places.

    A folder without a store is a problem if somebody named it.
    """
    found = Found()
    named = folders or [Path(os.environ.get(VARIABLE, ""))]
    for place in folders or _usual_places(found.problems):
        found.places.append(place)
        try:
            stores = [inner for inside in INSIDE if is_store(inner := place / inside)]
        except OSError as error:
            found.problems.append(unreadable(place, error))
            continue
        if place in named and not stores:
            what = "is no Ollama store, nor holds one: no folder `manifests`" if place.exists() else "does not exist"
            found.problems.append(Problem(str(place), what))
        found.stores += [store for store in map(Path.resolve, stores) if store not in found.stores]
    for store in map(Store, found.stores):
        found.models += store.models()
        found.problems += store.problems
    found.models.sort(key=lambda model: (model.name.casefold(), model.tag))
    return found


def _usual_places(problems: list[Problem]) -> Iterator[Path]:
    if named := os.environ.get(VARIABLE):
        yield Path(named)
    with suppress(RuntimeError):  # a user without a home
        yield Path("~/.ollama").expanduser()
    yield from map(Path, HOMES)
    for root in VOLUMES:
        with suppress(RuntimeError):
            yield from _volumes(Path(root).expanduser(), problems)


def _volumes(root: Path, problems: list[Problem]) -> Iterator[Path]:
    """The contents of the volumes below `root` that are called after Ollama."""
    try:
        names = sorted(path for path in root.iterdir() if "ollama" in path.name.casefold())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        problems.append(unreadable(root, error))
        return
    for name in names:
        yield name / "_data"
