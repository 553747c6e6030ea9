"""The image of this checkout in a registry of the test's own, and an engine to run it on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import fetch
from sandbox.images import emulation
from sandbox.images.engine import Docker
from sandbox.images.published import Published, published
from sandbox.images.unpacked import Unpacked
from sandbox.minilm import model

PLATFORMS = ("linux/amd64", "linux/arm64")
CHAT = fetch.MODEL
EMBEDDINGS = "all-minilm"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """The image as pushed, from the cache if nothing that decides its bytes has changed."""
    with published(tmp_path_factory.mktemp("registry") / "here") as found:
        yield found


@pytest.fixture(scope="session")
def shipped(image: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's own llama-server for this machine, with the image's entrypoint beside it."""
    folder = tmp_path_factory.mktemp("shipped")
    unpacked = Unpacked(image, PLATFORMS[0])
    unpacked.write("entrypoint", folder)
    return unpacked.write("llama-server", folder)


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """An engine of the test's own, which runs arm64 too."""
    emulation.require("arm64")
    with Docker(tmp_path_factory.mktemp("docker")) as engine:
        yield engine


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What /models holds: a plain file for chat, and an Ollama store with a model for embeddings."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copyfile(fetch.fetch(CHAT), folder / CHAT)
    add_to_store(folder, EMBEDDINGS, model("F16"))
    folder.chmod(0o755)
    return folder


def add_to_store(folder: Path, name: str, file: Path) -> Path:
    """Put a GGUF file into a folder as `ollama pull NAME` leaves it there, and return the blob."""
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    blob = folder / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(data)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": len(data)}
    manifest = folder / "manifests" / "registry.ollama.ai" / "library" / name / "latest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
    return blob
