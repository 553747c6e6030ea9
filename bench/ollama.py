"""Ollama, built once from the Go module that `peers/ollama` pins, and kept by key; and a server of it.

Its CPU backend is built by its own CMake project, in all variants that it ships, so that it is what a user of its
release gets on this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.servers import running
from infra.toolchain import golang
from sandbox import goprograms
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
    stamps = f"-X {PACKAGE}/version.Version={version().removeprefix('v')}"
    packages, what = {"bin/ollama": PACKAGE}, f"Ollama {version()}"
    folder = goprograms.kept("peers/ollama", MODULE, packages, what=what, stamps=stamps, cgo=True, more=_backend)
    return folder / "bin" / "ollama"


def _backend(go: golang.Go, part: Path) -> None:
    """The CPU backend, in the folder where the command looks for it."""
    variables = [f"{name}={value}" for name, value in goprograms.environment(cgo=True).items()]
    within: list[str | Path] = ["env", "-C", MODULE.folder, *variables]
    source = run([*within, go.command, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", PACKAGE]).stdout.strip()
    tree = part.with_name("tree")
    # its install paths are those of the first configuration
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_CCACHE=OFF", f"-DCMAKE_INSTALL_PREFIX={part}"]
    say("building Ollama's CPU backend: some minutes, once")
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
