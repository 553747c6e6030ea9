"""Derivations: what must exist, named by everything that decides its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]

ROOT = "/opt/pollex"
"""The folder on the host that holds everything of ours (docs/design.md, host layout)."""

KEY_LABEL = "org.pollex.key"
"""The image's label by which a tag can be compared with a declaration, without building anything."""


def canonical(value: Json) -> bytes:
    """JSON with sorted keys and no white space, so that equal values have equal bytes on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(text: str | bytes) -> str:
    """SHA-256 of a text (as UTF-8) or of bytes, 64 hex digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def significant(script: str) -> str:
    """A script, Dockerfile or list without its comments and blank lines, which decide nothing that is made by it."""
    lines = (line for line in script.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A frozen record of everything that decides an artefact's bytes."""

    name: str
    """The last part of the store path, such as `llama-server`."""
    inputs: Mapping[str, Json]
    """Whatever changes the bytes when it changes, and nothing else: no mirrors, no job counts."""

    @property
    def key(self) -> str:
        """32 hex digits of the SHA-256 over canonical JSON: same inputs, same key, on every machine."""
        return sha256(canonical({"name": self.name, "inputs": dict(self.inputs)}))[:32]

    @property
    def item(self) -> str:
        """`<key>-<name>`, as the store, the archives and the live map name it."""
        return f"{self.key}-{self.name}"

    @property
    def path(self) -> str:
        """Where it lies on the host."""
        return f"{ROOT}/store/{self.item}"
