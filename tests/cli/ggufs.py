"""Writes GGUF files, and Ollama stores that hold them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MODEL = "application/vnd.ollama.image.model"
LIBRARY = "registry.ollama.ai/library"

Scalar = str | int | float | bool
Value = Scalar | Sequence[str] | Sequence[int]


def gguf(values: Mapping[str, Value], shapes: Sequence[Sequence[int]] = (), *, version: int = 3) -> bytes:
    """A GGUF header: key-value pairs, then F32 tensors of these shapes; no tensor data."""
    pairs = b"".join(_text(key) + _value(value) for key, value in values.items())
    tensors = b"".join(
        _text(f"t{index}") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, 0)
        for index, shape in enumerate(shapes)
    )
    return b"GGUF" + struct.pack("<IQQ", version, len(shapes), len(values)) + pairs + tensors


def small(values: Mapping[str, Value] | None = None) -> bytes:
    """A model of 1.5 million parameters that says this of itself, too."""
    usual: Mapping[str, Value] = {"general.architecture": "bert", "general.file_type": 1, "bert.context_length": 512}
    return gguf({**usual, **(values or {})}, [(1000, 1500)])


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    kind, data = _typed(value)
    return struct.pack("<I", kind) + data


def _typed(value: Value) -> tuple[int, bytes]:
    match value:
        case bool():
            return 7, struct.pack("<?", value)
        case int():
            return (4, struct.pack("<I", value)) if 0 <= value < 1 << 32 else (11, struct.pack("<q", value))
        case float():
            return 12, struct.pack("<d", value)
        case str():
            return 8, _text(value)
    items = [_typed(item) for item in value]
    kind = items[0][0] if items else 4
    return 9, struct.pack("<IQ", kind, len(items)) + b"".join(data for _, data in items)


@dataclass(frozen=True, slots=True)
class Ollama:
    """A store, written as Ollama 0.6.5 writes it."""

    folder: Path

    def add(self, name: str, data: bytes, media_type: str = MODEL, *, size: int | None = None) -> Path:
        """A model of one layer at `<host>/<namespace>/<model>/<tag>`; yields its blob. `size` is what it claims."""
        layer = self.layer(data, media_type)
        self.manifest(name, [layer | ({"size": size} if size is not None else {})])
        return self.blob(data)

    def layer(self, data: bytes, media_type: str = MODEL) -> dict[str, object]:
        """Keeps `data` as a blob; a manifest's entry for it."""
        self.blob(data).parent.mkdir(parents=True, exist_ok=True)
        self.blob(data).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}

    def blob(self, data: bytes) -> Path:
        """Where `data` is kept."""
        return self.folder / "blobs" / f"sha256-{hashlib.sha256(data).hexdigest()}"

    def manifest(self, name: str, layers: object, *, root: str = "manifests") -> Path:
        """A manifest with these layers."""
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "", "size": 0}
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": config,
            "layers": layers,
        }
        return self.write(name, json.dumps(document), root=root)

    def write(self, name: str, text: str, *, root: str = "manifests") -> Path:
        """A manifest, whatever is in it."""
        path = self.folder / root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path
