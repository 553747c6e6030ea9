"""BuildKit's daemon, buildx and compose, built once from the Go modules that `go/` pins byte by byte.

    python -m sandbox.images.tools    build them if need be, print their folder

To move a pin: `cd sandbox/images/go && go get -tool PACKAGE@VERSION && go mod tidy`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from infra.toolchain import golang
from sandbox import goprograms
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
    stamps = " ".join(f"-X {module}/{name}={MODULE.required(module)}" for module, _, name in PROGRAMS.values())
    packages = {name: f"{module}/{package}" for name, (module, package, _) in PROGRAMS.items()}
    return Tools(goprograms.kept("images/tools", MODULE, packages, what="BuildKit, buildx and compose", stamps=stamps))


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
