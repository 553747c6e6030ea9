"""A hash over the folders that a build reads, so that a changed file is a changed image."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path


def context_hash(dockerfile: str, locations: Mapping[str, str]) -> str:
    """SHA-256 over the Dockerfile and every file of the contexts that their .dockerignore lets through.

    Args:
        dockerfile: its path.
        locations: contexts by name; one that is no folder is hashed by what it says.
    """
    digest = hashlib.sha256(Path(dockerfile).read_bytes())
    for name, place in sorted(locations.items()):
        digest.update(f"\0{name}\0".encode())
        if "://" in place:
            digest.update(place.encode())
            continue
        for file in _files(Path(place)):
            mode = "x" if os.access(file, os.X_OK) else "-"
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(place)}\0{mode}{content}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    ignore = folder / ".dockerignore"
    rules = [_rule(line) for line in ignore.read_text().splitlines() if _says(line)] if ignore.is_file() else []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not _ignored(file.relative_to(folder).as_posix(), rules):
            yield file


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _rule(line: str) -> tuple[bool, re.Pattern[str]]:
    """Whether it lets through, and what it matches: `**` any folders, `*` within one name, and all below a folder."""
    back = line.startswith("!")
    pattern = re.escape(line.strip().removeprefix("!").strip("/"))
    pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return back, re.compile(f"{pattern}(/.*)?")


def _ignored(path: str, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """The last rule that matches decides."""
    decided = [not back for back, pattern in rules if pattern.fullmatch(path)]
    return decided[-1] if decided else False
