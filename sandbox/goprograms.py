"""Programs built once from a Go module of ours, whose go.sum pins every byte, and kept by what decides them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.toolchain import ToolchainError, golang
from infra.toolchain.once import cache, made
from infra.toolchain.progress import Progress
from sandbox.machine import SandboxError

_POLL_SECONDS = 0.2


def kept(
    folder: str,
    module: golang.Module,
    packages: Mapping[str, str],
    *,
    what: str,
    stamps: str = "",
    cgo: bool = False,
    more: Callable[[golang.Go, Path], None] = lambda _go, _part: None,
) -> Path:
    """The folder of the programs; the first caller builds them, others wait for that one.

    Args:
        folder: where below the cache, such as `peers/ollama`; a hyphen and the key follow.
        module: where go.mod and go.sum are.
        packages: path in the folder → the package that becomes it.
        what: the name for people, such as `BuildKit`.
        stamps: what the linker is told, besides to leave out symbols.
        cgo: whether C is compiled too.
        more: adds to the folder what is not Go.

    Raises:
        SandboxError: there is no Go, or the build failed; holds the end of its log.
    """
    try:
        go = golang.find_go(module, what=what)
    except ToolchainError as error:
        raise SandboxError(str(error)) from error
    flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags=-s -w {stamps}".rstrip()]
    inputs = [*module.texts, *flags, go.version, go.os, go.architecture]
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]

    def make(part: Path) -> None:
        for path, package in packages.items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            _build(go, module, [*flags, "-o", str(part / path), package], part.with_name("log"), cgo=cgo)
        more(go, part)

    return made(cache() / f"{folder}-{key}", make, what=what)


def environment(*, cgo: bool = False) -> dict[str, str]:
    """That of a `go` command."""
    return {**golang.environment(), "CGO_ENABLED": str(int(cgo))}


def _build(go: golang.Go, module: golang.Module, arguments: list[str], log: Path, *, cgo: bool) -> None:
    command = [go.command, "build", "-v", *arguments]
    with log.open("w") as stream, Progress(f"building {arguments[-1]} from Go modules", sys.stderr) as progress:
        build = subprocess.Popen(command, cwd=module.folder, env=environment(cgo=cgo), stdout=stream, stderr=stream)
        try:
            while build.poll() is None:
                progress.say(f"{len(log.read_text().splitlines())} modules and packages")
                time.sleep(_POLL_SECONDS)
        finally:
            build.terminate()
            build.wait()
    if build.returncode:
        tail = "\n  ".join(log.read_text().splitlines()[-15:])
        raise SandboxError(f"`go build` of {arguments[-1]} failed\n  {tail}")
