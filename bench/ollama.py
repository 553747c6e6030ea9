"""Ollama, built once from the Go module that `peers/ollama` pins, and kept by key; and a server of it.

Its CPU backend is built by its own CMake project, in all variants that it ships, so that it is what a user of its
release gets on this machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bench.servers import running
from infra.toolchain import ToolchainError, golang
from infra.toolchain.once import cache, made
from sandbox.machine import SandboxError, run, say
from sandbox.serving import free_port

MODULE = golang.Module(folder=Path(__file__).parent / "peers" / "ollama")
PACKAGE = "github.com/ollama/ollama"


def version() -> str:
    """As go.mod pins it, such as `v0.6.5`."""
    return MODULE.required(PACKAGE)


def program() -> Path:
    """The command; the first caller builds it (some minutes), others wait for that one.

    Raises:
        SandboxError: no Go, no compiler, or the build failed; holds the end of its log.
    """
    try:
        go = golang.find_go(MODULE, what="Ollama")
    except ToolchainError as error:
        raise SandboxError(str(error)) from error
    inputs = [*MODULE.texts, go.version, go.os, go.architecture]
    final = cache() / "peers" / f"ollama-{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]}"
    return made(final, partial(_build, go)) / "bin" / "ollama"


def _build(go: golang.Go, part: Path) -> None:
    """A folder with bin/ollama and the libraries where that looks for them."""
    say(f"building Ollama {version()} and its CPU backend: some minutes, once")
    environment = [f"{name}={value}" for name, value in golang.environment().items()]
    stamp = f"-ldflags=-s -w -X {PACKAGE}/version.Version={version().removeprefix('v')}"
    build = ["build", "-mod=readonly", "-trimpath", "-buildvcs=false", stamp, "-o", f"{part}/bin/", PACKAGE]
    within: list[str | Path] = ["env", "-C", MODULE.folder, *environment, "CGO_ENABLED=1", go.command]
    run([*within, *build])
    source = run([*within, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", PACKAGE]).stdout.strip()
    tree = part.with_name("tree")
    # its install paths are those of the first configuration
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_CCACHE=OFF", f"-DCMAKE_INSTALL_PREFIX={part}"]
    run(["cmake", "-G", "Ninja", "-S", source, "-B", tree, *options])
    run(["ninja", "-C", tree])
    run(["cmake", "--install", tree, "--component", "CPU"])
    if not list((part / "lib" / "ollama").glob("libggml-cpu-*.so")):
        raise SandboxError(f"the CPU backend of Ollama {version()} is not where the program looks for it")


@dataclass(frozen=True, slots=True)
class Ollama:
    """A running server."""

    url: str

    def add(self, name: str, model: Path, parameters: Mapping[str, object]) -> None:
        """Offer a GGUF file under a name, with settings of Ollama's own."""
        with httpx.Client(base_url=self.url, timeout=300, trust_env=False) as client:
            with model.open("rb") as content:
                digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
                content.seek(0)
                client.post(f"/api/blobs/{digest}", content=content).raise_for_status()
            body = {"model": name, "files": {model.name: digest}, "parameters": parameters, "stream": False}
            client.post("/api/create", json=body).raise_for_status()


@contextmanager
def serving(folder: Path) -> Iterator[Ollama]:
    """A server with an empty folder of its own, which keeps what it has loaded and does one request at a time.

    Raises:
        SandboxError: it could not be built.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    settings = {
        "HOME": str(folder),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_KEEP_ALIVE": "-1",
    }
    with running([str(program()), "serve"], f"http://127.0.0.1:{port}/", settings):
        yield Ollama(f"http://127.0.0.1:{port}")
