"""Prepare `.toolchain/`: `python -m infra.toolchain`, or `make toolchain`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.toolchain import ToolchainError, golang
from infra.toolchain.once import cache

CHECKOUT = Path(__file__).parents[2]
OLDEST = (3, 150)
"""A pulumi on PATH older than this is passed over: the Python SDK that is locked needs a newer engine."""
DOWNLOAD_SECONDS = 20
STAND_INS = {
    "command": Path("sandbox/plugins/command/pulumi-resource-command"),
    "docker": Path("sandbox/plugins/docker/pulumi-resource-docker"),
    "docker-build": Path("sandbox/plugins/docker_build/pulumi-resource-docker-build"),
}
"""Provider → what stands in for it where its official plugin cannot be downloaded."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was taken, and whether it was already in place."""

    text: str
    new: bool


def main() -> int:
    """Prepare the toolchain, and say which parts were taken: a line each, or one line when nothing had to be done."""
    try:
        chosen = [choose_pulumi(CHECKOUT), *(choose_provider(CHECKOUT, name) for name in STAND_INS)]
    except ToolchainError as error:
        sys.stderr.write(f"toolchain: {error}\n")
        return 1
    separator = "\n" if any(choice.new for choice in chosen) else "; "
    sys.stdout.write(separator.join(choice.text for choice in chosen) + "\n")
    return 0


def choose_pulumi(checkout: Path) -> Choice:
    """Link a pulumi of PATH that is new enough, else one that is built (or was built before) from Go modules."""
    toolchain = checkout / ".toolchain"
    _link(toolchain / "bin/pulumi", Path("../../infra/toolchain/shim"))
    link = toolchain / "libexec/pulumi"
    if (found := pulumi_on_path(os.environ.get("PATH", os.defpath))) is not None:
        path, version = found
        return Choice(f"pulumi {version}: {path}", _link(link, path))
    folder, built = golang.ensure(cache(), golang.find_go())
    new = _link(link, folder / "pulumi")
    return Choice(f"pulumi {golang.version()}: built from Go modules{'' if built else ' (cached)'}", new)


def pulumi_on_path(search: str) -> tuple[Path, str] | None:
    """The first pulumi outside a toolchain folder, with its version, if it is new enough and can run Python."""
    folders = [folder for folder in search.split(os.pathsep) if not folder.rstrip("/").endswith(".toolchain/bin")]
    command = shutil.which("pulumi", path=os.pathsep.join(folders))
    if command is None:
        return None
    answer = subprocess.run(
        [command, "version"],
        env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.fullmatch(r"v(\d+)\.(\d+)\.(\S+)", answer.stdout.strip())
    path = Path(command).absolute()
    hosts = [folder / "pulumi-language-python" for folder in (path.parent, path.resolve().parent)]
    if match is None or (int(match[1]), int(match[2])) < OLDEST or not any(host.exists() for host in hosts):
        return None
    return path, match[0].removeprefix("v")


def choose_provider(checkout: Path, name: str) -> Choice:
    """Take the official plugin of a provider if it can be downloaded, else link its stand-in.

    The download is tried once; `rm -r .toolchain` makes the next run try again.
    """
    toolchain = checkout / ".toolchain"
    version = locked_version(checkout / "requirements/dev.txt", f"pulumi-{name}")
    stand_in = toolchain / "bin" / STAND_INS[name].name
    said = f"{name} provider {version}: official plugin"
    if (toolchain / f"home/plugins/resource-{name}-v{version}").is_dir():
        return Choice(said, new=False)
    known = stand_in.is_symlink()
    if not known and _download(toolchain, name, version):
        return Choice(said, new=True)
    _link(stand_in, Path("../..") / STAND_INS[name])
    return Choice(f"{name} provider {version}: stand-in (the official plugin's download is not reachable)", not known)


def locked_version(lock: Path, package: str) -> str:
    """The version of a package in a lock file, because provider and SDK are released as a pair."""
    match = re.search(rf"^{re.escape(package)}==(\S+)", lock.read_text(), re.MULTILINE)
    if match is None:
        raise ToolchainError(f"{lock} does not lock {package}: make lock")
    return match[1]


def _download(toolchain: Path, name: str, version: str) -> bool:
    arguments = [str(toolchain / "libexec/pulumi"), "plugin", "install", "resource", name, version]
    environment = {**os.environ, "PULUMI_HOME": str(toolchain / "home"), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(arguments, env=environment, capture_output=True, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _link(link: Path, target: Path) -> bool:
    """Make `link` point to `target`, in one step; whether that changed anything."""
    if link.is_symlink() and link.readlink() == target:
        return False
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}-{os.getpid()}")
    temporary.symlink_to(target)
    temporary.replace(link)
    return True


if __name__ == "__main__":
    sys.exit(main())
