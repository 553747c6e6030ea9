"""BuildKit's daemon, buildx and compose, built once from the Go modules that `go/` pins byte by byte.

    python -m sandbox.images.tools    build them if need be, print their folder

To move a pin: `cd sandbox/images/go && go get -tool PACKAGE@VERSION && go mod tidy`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.toolchain import ToolchainError, golang
from infra.toolchain.once import cache, made
from infra.toolchain.progress import Progress
from sandbox.machine import SandboxError

MODULE = golang.Module(folder=Path(__file__).parent / "go")

PROGRAMS = {
    "buildkitd": ("github.com/moby/buildkit", "cmd/buildkitd", "version.Version"),
    "buildx": ("github.com/docker/buildx", "cmd/buildx", "version.Version"),
    "docker-compose": ("github.com/docker/compose/v2", "cmd", "internal.Version"),
}
"""Program → its module, its package there, and the variable that holds the version it reports."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the programs are."""

    folder: Path

    @property
    def buildkitd(self) -> Path:
        """The daemon that builds."""
        return self.folder / "buildkitd"

    @property
    def buildx(self) -> Path:
        """The client that tells it what."""
        return self.folder / "buildx"

    @property
    def compose(self) -> Path:
        """`docker-compose`, for compose files."""
        return self.folder / "docker-compose"


def ensure() -> Tools:
    """The programs; the first caller builds them (about five minutes on two cores), others wait for that one.

    Raises:
        SandboxError: there is no Go, or the build failed; holds the end of its log.
    """
    try:
        go = golang.find_go(MODULE, what="BuildKit")
    except ToolchainError as error:
        raise SandboxError(str(error)) from error
    final = cache() / "images" / f"tools-{key(go)}"
    return Tools(made(final, partial(_build, go), what="BuildKit, buildx and compose"))


def flags() -> list[str]:
    """Arguments of `go build`: no paths of this machine in the binaries, and the versions that they report."""
    stamps = " ".join(f"-X {module}/{name}={MODULE.required(module)}" for module, _, name in PROGRAMS.values())
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags=-s -w {stamps}"]


def key(go: golang.Go) -> str:
    """16 hex digits that name a build by all that decides its bytes."""
    inputs = [*MODULE.texts, *flags(), go.version, go.os, go.architecture]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def _build(go: golang.Go, part: Path) -> None:
    for name, (module, package, _) in PROGRAMS.items():
        command = [go.command, "build", "-v", *flags(), "-o", str(part / name), f"{module}/{package}"]
        _go_build(command, part.with_name("log"))


def _go_build(command: list[str], log: Path) -> None:
    with log.open("w") as stream, Progress(f"building {command[-1]} from Go modules", sys.stderr) as progress:
        build = subprocess.Popen(command, cwd=MODULE.folder, env=golang.environment(), stdout=stream, stderr=stream)
        try:
            while build.poll() is None:
                progress.say(f"{len(log.read_text().splitlines())} modules and packages")
                time.sleep(0.2)
        finally:
            build.terminate()
            build.wait()
    if build.returncode:
        tail = "\n  ".join(log.read_text().splitlines()[-15:])
        raise SandboxError(f"`go build` of {command[-1]} failed\n  {tail}")


def plugins(tools: Tools, folder: Path) -> Path:
    """A DOCKER_CONFIG folder in which the docker command finds `docker buildx` and `docker compose`."""
    into = folder / "cli-plugins"
    into.mkdir(parents=True, exist_ok=True)
    for name, program in (("docker-buildx", tools.buildx), ("docker-compose", tools.compose)):
        (into / name).unlink(missing_ok=True)
        (into / name).symlink_to(program)
    return folder


def command(name: str, package: str) -> str:
    """The path of a program that a Debian package brings.

    Raises:
        SandboxError: it is not installed.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise SandboxError(f"{name} is not here: apt-get install {package}, or python -m sandbox.machine")
    return found


if __name__ == "__main__":
    print(ensure().folder)
