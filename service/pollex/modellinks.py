"""Gives the GGUF files of Ollama stores readable names: symbolic links that replace nothing but their like."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pollex.ollama import Model

_BLOB = re.compile(r"sha256-[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Link:
    """A link and what became of it."""

    path: Path
    target: str
    """As it stands in the link."""
    done: str
    """`made`, `changed` from another blob, `kept` as it was, or `refused`."""
    reason: str = ""
    """Why it was refused."""

    def as_json(self) -> dict[str, str]:
        """It, for `--json`."""
        return {"path": str(self.path), "target": self.target, "done": self.done, "reason": self.reason}


def link(models: Iterable[Model], folder: Path) -> list[Link]:
    """Link each file into `folder` as `name-tag-QUANTISATION.gguf`, in the order of the names.

    Raises:
        OSError: the folder is not there and cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_link(folder.absolute() / name, model.path) for name, model in sorted(_names(models).items())]


def _names(models: Iterable[Model]) -> dict[str, Model]:
    """A file name for every blob; blobs that would have the same one are told apart by their digests."""
    by_name: defaultdict[str, dict[str, Model]] = defaultdict(dict)
    for model in models:
        by_name[_stem(model)].setdefault(model.digest, model)
    return {
        f"{stem}.gguf" if len(blobs) == 1 else f"{stem}-{digest[:12]}.gguf": model
        for stem, blobs in by_name.items()
        for digest, model in blobs.items()
    }


def _stem(model: Model) -> str:
    kind = model.kind if model.kind != "model" else None
    parts = (model.name, model.tag, kind, model.header.quantisation)
    return "-".join(part for part in parts if part).replace("/", "-").replace(":", "-")


def _link(path: Path, blob: Path) -> Link:
    target = _target(path, blob)
    try:
        if path.is_symlink():
            present = str(path.readlink())
            if present == target:
                return Link(path, target, "kept")
            if not _BLOB.fullmatch(Path(present).name):
                return Link(path, target, "refused", f"there is a link to {present} already")
            path.unlink()
            path.symlink_to(target)
            return Link(path, target, "changed")
        path.symlink_to(target)
    except FileExistsError:
        return Link(path, target, "refused", "there is a file already")
    except OSError as error:
        return Link(path, target, "refused", error.strerror or str(error))
    return Link(path, target, "made")


def _target(path: Path, blob: Path) -> str:
    """Relative within a store, which a container may see elsewhere; absolute from anywhere else."""
    store = blob.parent.parent
    folder = path.parent.resolve()
    return os.path.relpath(blob, folder) if folder.is_relative_to(store) else str(blob)
