"""A root file system as an OCI layout: the form in which BuildKit takes a base image that no registry serves.

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image"
EMPTIED = ("dev", "proc", "run", "sys", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log")
"""Folders that are kept without their contents, which belong to the machine that made the tree."""
LEFT_OUT = frozenset({"etc/hostname", "etc/machine-id", "etc/resolv.conf", "var/cache/ldconfig/aux-cache"})
"""Files that differ from one making to the next."""


class _Hashed(io.RawIOBase):
    """Passes on what is written, and hashes it."""

    def __init__(self, target: gzip.GzipFile) -> None:
        self.digest = hashlib.sha256()
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._target.write(data)


def write(root: Path, layout: Path, *, architecture: str, epoch: int) -> str:
    """Write the tree below `root` as a layout with one image; the same tree gives the same bytes.

    Args:
        root: the tree; read as root, because it belongs to root.
        layout: a folder that does not exist yet.
        architecture: in OCI's words, such as `amd64`.
        epoch: seconds since 1970; nothing in the image is younger.

    Returns:
        The digest of the image's manifest, `sha256:…`.
    """
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer, diff = _layer(root, layout / "layer", epoch)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created_by": "debootstrap"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": _put(blobs, config, f"{MEDIA}.config.v1+json"),
        "layers": [_keep(blobs, layer, f"{MEDIA}.layer.v1.tar+gzip")],
    }
    described = _put(blobs, manifest, f"{MEDIA}.manifest.v1+json")
    platform = {"os": "linux", "architecture": architecture}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = {"schemaVersion": 2, "manifests": [{**described, "platform": platform}]}
    (layout / "index.json").write_text(json.dumps(index, sort_keys=True))
    return str(described["digest"])


def _layer(root: Path, file: Path, epoch: int) -> tuple[Path, str]:
    """The compressed layer, and the digest of what is in it."""
    with file.open("wb") as raw, gzip.GzipFile("", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed:
        hashed = _Hashed(packed)
        with tarfile.open(fileobj=hashed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name in _names(root):
                _add(tar, root / name, name, epoch)
    return file, f"sha256:{hashed.digest.hexdigest()}"


def _names(root: Path) -> Iterator[str]:
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    yield from (n for n in names if n not in LEFT_OUT and not any(n.startswith(f"{top}/") for top in EMPTIED))


def _add(tar: tarfile.TarFile, path: Path, name: str, epoch: int) -> None:
    entry = tar.gettarinfo(str(path), name)
    if entry is None or entry.ischr() or entry.isblk() or entry.isfifo():
        return
    entry.mtime = min(int(entry.mtime), epoch)
    entry.uname = entry.gname = ""
    if entry.isreg():
        with path.open("rb") as stream:
            tar.addfile(entry, stream)
    else:
        tar.addfile(entry)


def _put(blobs: Path, value: Mapping[str, Any], media: str) -> dict[str, Any]:
    data = json.dumps(value, sort_keys=True).encode()
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return {"mediaType": media, "digest": f"sha256:{name}", "size": len(data)}


def _keep(blobs: Path, file: Path, media: str) -> dict[str, Any]:
    with file.open("rb") as stream:
        name = hashlib.file_digest(stream, "sha256").hexdigest()
    size = file.stat().st_size
    file.rename(blobs / name)
    return {"mediaType": media, "digest": f"sha256:{name}", "size": size}
