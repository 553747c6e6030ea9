"""What the former tools, which were shell, left on a host: sheets, unpacked into a folder of files.

`env` holds `name='value'` lines that a shell could read, lists with an item a line; the rest are files of lines. Only
hosts that were set up before the tools were Python have any; the next deployment replaces them one by one.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from . import files, manifest
from .manifest import Generation, Manifest, ManifestError


def stored(folder: str) -> Manifest:
    """The sheet of a build, a model, a quantised model or a bundle.

    Raises:
        ManifestError: it cannot be read.
    """
    kind = manifest.KINDS.get(_env(folder).get("kind", ""))
    if kind is None or kind is Generation:
        raise ManifestError(f"{folder} holds no sheet of a store path")
    return kind.read(manifest.At(_fields(folder), ""))


def generation(folder: str) -> Generation:
    """The sheet of a generation; its secrets stay where they are, in content/.

    Raises:
        ManifestError: it cannot be read.
    """
    values = _env(folder)
    if values.get("kind") != "generation":
        raise ManifestError(f"{folder} is no generation")
    try:
        names = sorted(os.listdir(f"{folder}/units"))
    except OSError:
        names = []
    needs, gates, links, placed = (_rows(f"{folder}/{table}") for table in ("needs", "gates", "links", "files"))
    if not names and needs:
        # a generation without units keeps its store paths all the same
        names = [_suffixed(needs[0][0])]
    units = []
    for name in names:
        own = [row[1].rstrip("/").rpartition("/")[2] for row in needs if _suffixed(row[0]) == name or len(names) == 1]
        gate = next((row for row in gates if _suffixed(row[0]) == name), None)
        units.append(
            {
                "name": name,
                "text": files.read(f"{folder}/units/{name}") or "",
                "needs": own,
                "links": [
                    {"path": path, "target": target}
                    for path, target in (row[:2] for row in links)
                    if _owner(target, needs, names) == name
                ],
                "files": [
                    {"path": path, "mode": mode, "sha256": sha, "text": _public(folder, mode, content)}
                    for unit, path, mode, content, sha in placed
                    if _suffixed(unit) == name
                ],
                "gate": None
                if gate is None
                else {
                    "health": gate[1],
                    "completion": None if gate[2] == "-" else gate[2],
                    "seconds": int(gate[3]),
                },
            }
        )
    return Generation.read(manifest.At({"id": values.get("id", ""), "units": units}, ""))


def _public(folder: str, mode: str, name: str) -> str | None:
    """The text of a file that everybody may read; that of another stays in content/ and out of every manifest."""
    return files.read(f"{folder}/content/{name}") if int(mode[-1], 8) & 4 else None


def _owner(target: str, needs: list[list[str]], names: list[str]) -> str:
    """The unit that a link belongs to: the one that needs the store path it leads into, or the first."""
    for row in needs:
        if target == row[1] or target.startswith(row[1].rstrip("/") + "/"):
            return _suffixed(row[0])
    return names[0] if names else ""


def _suffixed(name: str) -> str:
    return name if name.endswith(".service") else f"{name}.service"


def _rows(path: str) -> list[list[str]]:
    return [line.split("\t") for line in (files.read(path) or "").splitlines() if line]


def _env(folder: str) -> dict[str, str]:
    """The variables; the last assignment counts, as in a shell."""
    values = {}
    for word in shlex.split(files.read(f"{folder}/env") or ""):
        name, equals, value = word.partition("=")
        if equals:
            values[name] = value
    return values


def _fields(folder: str) -> dict[str, Any]:
    """A sheet's values under the names and in the forms of a manifest."""
    env = _env(folder)

    def lines(name: str) -> list[str]:
        return [line for line in env.get(name, "").split("\n") if line]

    common: dict[str, Any] = {"key": env.get("key", ""), "name": env.get("name", "")}
    kind = env.get("kind")
    if kind == "bundle":
        return {**common, "target": env.get("target", "")}
    if kind == "model":
        known = {name: env.get(name, "") for name in ("file", "sha256")}
        return {
            **common,
            **known,
            "size": _number(env, "size"),
            "mirrors": lines("mirrors"),
            "adopt": env.get("adopt") or None,
        }
    if kind == "quantised":
        return {
            **common,
            "file": env.get("file", ""),
            "arguments": lines("arguments"),
            "type": env.get("type", ""),
            "source": {"kind": "model", **_fields(f"{folder}/source")},
            "tool": {"kind": "build", **_fields(f"{folder}/tool")},
        }
    names = [line for line in (files.read(f"{folder}/series") or "").splitlines() if line and line[0] != "#"]
    proof = {name: files.read(f"{folder}/proof/{name}") for name in ("model", "logprobs", "request")}
    return {
        **common,
        "target": env.get("target", ""),
        "source": {
            "commit": env.get("commit", ""),
            "tree": env.get("tree", ""),
            "number": _number(env, "number"),
            "mirrors": lines("mirrors"),
            "folders": lines("sparse"),
        },
        "patches": [{"name": name, "text": files.read(f"{folder}/patches/{name}") or ""} for name in names],
        "flags": lines("flags"),
        "packages": lines("packages"),
        "jobs": None if env.get("jobs", "auto") == "auto" else _number(env, "jobs"),
        "proof": proof if all(proof.values()) else None,
    }


def _number(env: dict[str, str], name: str) -> int:
    text = env.get(name, "") or "0"
    if not text.isdigit():
        raise ManifestError(f"{name}: {text!r} is not a number")
    return int(text)
