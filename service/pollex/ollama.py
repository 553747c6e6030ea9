"""An Ollama store as it lies on disk: names, manifests and the GGUF files that they name.

    manifests/<host>/<namespace>/<model>/<tag>      a JSON manifest, as an OCI registry has it
    blobs/sha256-<digest>                           its layers, named by their content

Newer versions of Ollama (manifest/paths.go) keep manifests in `manifests-v2`, as links to blobs, and such a manifest
may be a list of manifests, one for each program that can run the model.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pollex import gguf
from pollex.gguf import GgufError, Header, printable

MANIFESTS = ("manifests-v2", "manifests")
"""Where manifests lie in a store; a name that is in both means the first, as for Ollama."""
MAX_MANIFEST = 4 << 20
"""Bytes of a manifest; one of a model in a thousand layers has some hundred KiB."""

_HOSTS = ("registry.ollama.ai", "ollama.com")
_NAMESPACE = "library"
_LIST = "application/vnd.ollama.manifest.list.v2+json"
_LAYER = "application/vnd.ollama.image."
_GGUF_LAYERS = ("model", "projector", "adapter")
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_PART = r"\w[\w.-]*"
_NAME = re.compile(rf"(?P<host>\w[\w.:-]*)/(?P<namespace>{_PART})/(?P<model>{_PART})/(?P<tag>{_PART})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a store that could not be used, in words for a person."""

    where: str
    """A model's name or a path."""
    what: str
    """Goes on after "where: "."""

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A GGUF file under one of the names that it has in a store."""

    name: str
    """As Ollama spells it, without the tag: `qwen2.5`, `someone/model`, `hf.co/someone/model`."""
    tag: str
    kind: str
    """`model`, or what goes with one: a `projector` for pictures, an `adapter` (LoRA)."""
    path: Path
    """The blob."""
    size: int
    """In bytes."""
    header: Header

    @property
    def digest(self) -> str:
        """The blob's SHA-256 as the store claims it, 64 hex digits."""
        return self.path.name.removeprefix("sha256-")

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


def is_store(folder: Path) -> bool:
    """Whether manifests lie in `folder`.

    Raises:
        OSError: it cannot be looked into.
    """
    return any(_is_folder(folder / name) for name in MANIFESTS)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


class _DamagedError(Exception):
    """What is wrong with a model; the sentence goes on after its name."""


class _Name(NamedTuple):
    """A model's name in full."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def short(self) -> str:
        """Without the tag and what goes without saying."""
        if self.host != _HOSTS[0]:
            return f"{self.host}/{self.namespace}/{self.model}"
        return self.model if self.namespace == _NAMESPACE else f"{self.namespace}/{self.model}"

    def __str__(self) -> str:
        return f"{self.short}:{self.tag}"


class _Layer(NamedTuple):
    """A layer of a manifest."""

    kind: str
    """The last part of its media type: `model`, `license`, `template`, …"""
    digest: str
    size: int


class Store:
    """A folder with manifests and blobs.

    Reading it never raises for what lies in it: `problems` says what could not be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self._headers: dict[Path, Header] = {}

    def models(self) -> list[Model]:
        """Every GGUF file under every name."""
        models = []
        for name, manifest in self._manifests().items():
            with self._reporting(name):
                for layer in self._gguf_layers(manifest):
                    with self._reporting(name):
                        models.append(self._model(name, layer))
        return models

    @contextmanager
    def _reporting(self, name: _Name) -> Iterator[None]:
        try:
            yield
        except _DamagedError as damage:
            self.problems.append(Problem(str(name), str(damage)))

    def _manifests(self) -> dict[_Name, Path]:
        """Each name's manifest."""
        found: dict[_Name, Path] = {}
        for root in MANIFESTS:
            for path in self._files(self.folder / root, depth=len(_Name._fields)):
                name = _name(path.relative_to(self.folder / root))
                if name is None:
                    self.problems.append(Problem(str(path), "its path is no model's name"))
                elif name not in found or not os.path.exists(found[name]):  # noqa: PTH110 - Path's may raise
                    found[name] = path
        return found

    def _files(self, folder: Path, depth: int) -> Iterator[Path]:
        """What lies `depth` levels below `folder`, other levels' files and hidden ones left out."""
        try:
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.problems.append(unreadable(folder, error))
            return
        for entry in entries:
            if depth > 1:
                yield from self._files(entry, depth - 1)
            else:
                yield entry

    def _gguf_layers(self, manifest: Path) -> list[_Layer]:
        """What should be GGUF files, each once."""
        layers = dict.fromkeys(self._layers(manifest))
        found = [layer for layer in layers if layer.kind in _GGUF_LAYERS]
        if not found:
            kinds = ", ".join(sorted({layer.kind for layer in layers}))
            raise _DamagedError(f"holds no GGUF, only {kinds}" if kinds else "holds nothing: it runs elsewhere")
        return found

    def _layers(self, manifest: Path) -> list[_Layer]:
        """The layers of a manifest, or of all that a list of manifests names."""
        document = _document(_read(manifest))
        if document.get("mediaType") != _LIST:
            return _own_layers(document)
        layers = []
        for child in _objects(document, "manifests"):
            if child.get("format", "gguf") != "gguf":
                continue
            layers += _own_layers(_document(_read(self._blob(_digest(child)))) if "digest" in child else child)
        return layers

    def _model(self, name: _Name, layer: _Layer) -> Model:
        path = self._blob(layer.digest)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise _DamagedError(f"its {layer.kind} is no file: {path}")
            if status.st_size != layer.size:
                raise _DamagedError(
                    f"its {layer.kind} has {status.st_size} bytes instead of {layer.size}; "
                    f"delete {path}, then: ollama pull {name}"
                )
            header = self._headers.get(path) or gguf.read(path)
        except FileNotFoundError:
            partial = path.with_name(f"{path.name}-partial").exists()
            what = "was not downloaded to its end" if partial else f"is missing: {path}"
            raise _DamagedError(f"its {layer.kind} {what}; try: ollama pull {name}") from None
        except OSError as error:
            raise _DamagedError(f"its {layer.kind} cannot be read: {path}: {error.strerror}") from None
        except GgufError as error:
            raise _DamagedError(f"its {layer.kind} {path} {error}") from None
        self._headers[path] = header
        return Model(name=name.short, tag=name.tag, kind=layer.kind, path=path, size=layer.size, header=header)

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / f"sha256-{digest}"


def unreadable(path: Path, error: OSError) -> Problem:
    """What to say of a folder that could not be looked into."""
    remedy = "; with sudo it may" if isinstance(error, PermissionError) and os.geteuid() != 0 else ""
    return Problem(str(path), f"cannot be read: {error.strerror}{remedy}")


def _name(path: Path) -> _Name | None:
    # Ollama writes the colon of a host's port so, because no path of Windows may hold one
    match = _NAME.fullmatch(re.sub("%3a", ":", path.as_posix(), count=1, flags=re.IGNORECASE))
    if match is None:
        return None
    name = _Name(**match.groupdict())
    return name._replace(host=_HOSTS[0]) if name.host.lower() in _HOSTS else name


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _DamagedError(f"its manifest is no file: {path}")
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST + 1)
    except FileNotFoundError:
        raise _DamagedError(f"its manifest is missing: {path}") from None
    except OSError as error:
        raise _DamagedError(f"its manifest cannot be read: {path}: {error.strerror}") from None
    if len(data) > MAX_MANIFEST:
        raise _DamagedError(f"its manifest is longer than {MAX_MANIFEST >> 20} MiB: {path}")
    return data


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _DamagedError(f"its manifest is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise _DamagedError("its manifest is no JSON object")
    return document


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects at `key`; Go writes an empty list as null."""
    objects = document.get(key) or []
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        raise _DamagedError(f"its manifest's {key} are no list of objects")
    return objects


def _own_layers(document: dict[str, Any]) -> list[_Layer]:
    return [_layer(one) for one in _objects(document, "layers")]


def _layer(one: dict[str, Any]) -> _Layer:
    media_type, size = one.get("mediaType"), one.get("size")
    if not isinstance(media_type, str) or not isinstance(size, int):
        raise _DamagedError("its manifest has a layer without media type or size")
    return _Layer(media_type.partition(";")[0].removeprefix(_LAYER), _digest(one), size)


def _digest(one: dict[str, Any]) -> str:
    match = _DIGEST.fullmatch(str(one.get("digest")))
    if match is None:
        raise _DamagedError("its manifest names something by no SHA-256")
    return match[1].lower()
