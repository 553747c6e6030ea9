"""One platform's image, read out of its registry as a container engine reads it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import httpx

from infra.provider.registry import Repository
from sandbox.images.published import Published
from sandbox.machine import SandboxError


class Unpacked:
    """Its settings, and its files by path.

    Raises:
        SandboxError: the registry does not have it.
    """

    def __init__(self, image: Published, platform: str) -> None:
        with Repository(image.repository) as repository:
            found = repository.manifest(image.platform(platform).partition("@")[2])
        if found is None:
            raise SandboxError(f"{image.registry} does not have {image.platform(platform)}")
        self.base = f"http://{image.registry}/v2/{image.repository.partition('/')[2]}/blobs"
        self.config: dict[str, Any] = json.loads(self._blob(found[1]["config"]["digest"]))
        self.files: dict[str, bytes] = {}
        self.entries: list[tarfile.TarInfo] = []
        for layer in found[1]["layers"]:
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(self._blob(layer["digest"])))) as tar:
                for entry in tar:
                    self.entries.append(entry)
                    if entry.isreg():
                        self.files[entry.name] = tar.extractfile(entry).read()  # type: ignore[union-attr] # a regular file

    def write(self, name: str, into: Path) -> Path:
        """One of its programs, to be run: they are static."""
        program = into / name
        program.write_bytes(self.files[name])
        program.chmod(0o755)
        return program

    def _blob(self, digest: str) -> bytes:
        return httpx.get(f"{self.base}/{digest}").raise_for_status().content
