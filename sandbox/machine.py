"""What the operator's machine must offer before a stand-in board can exist.

`python -m sandbox.machine` brings what the tests need beyond that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.toolchain.once import cache, locked

CHECKOUT = Path(__file__).resolve().parent.parent

_PACKAGES = {
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "mkfs.ext4": "e2fsprogs",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
"""Command → Debian package that carries it."""

_TEST_PACKAGES = {
    "/usr/bin/torchrun": "python3-torch libopenblas0-pthread",  # without OpenBLAS the reference takes minutes
    "/usr/sbin/haproxy": "haproxy",
    "/usr/sbin/sshd": "openssh-server",
    "Xvfb": "xvfb",
    "c++": "g++",
    "chromium|google-chrome": "chromium",
    "clang++-14": "clang-14",
    "cmake": "cmake",
    "curl": "curl",
    "docker-registry": "docker-registry",
    "dockerd": "docker.io",
    "emacs": "emacs-nox",
    "fish": "fish",
    "kak": "kakoune",
    "maim": "maim",
    "mutt": "mutt",
    "ninja": "ninja-build",
    "node": "nodejs",
    "nvim": "neovim",
    "objdump": "binutils",
    "openssl": "openssl",
    "patch": "patch",
    "qemu-aarch64-static": "qemu-user-static",
    "runc": "runc",
    "soffice": "libreoffice-writer python3-uno",
    "systemd-analyze": "systemd",
    "update-binfmts": "binfmt-support",
    "vim": "vim",
    "xdotool": "xdotool",
    "zsh": "zsh",
}
"""The same for what only the tests call; `|` stands between commands of which one is enough."""

_INSTEAD = "or use any host with SSH instead: pulumi config set --path 'pollex:host.address' ADDRESS"


class SandboxError(RuntimeError):
    """Something about the sandbox that the reader of the message can mend."""


def say(line: str) -> None:
    """One line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine and capture what it says.

    Raises:
        SandboxError: it failed; the message holds the command line and the last lines it wrote.
    """
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)  # noqa: PLW1510 - checked below
    if check and done.returncode != 0:
        told = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise SandboxError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{told}")
    return done


def require() -> None:
    """See that boards can be made here; install what Debian packages carry.

    Raises:
        SandboxError: not Linux, not root, or a command is missing that apt-get cannot bring.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"a stand-in board needs Linux, not {sys.platform}, {_INSTEAD}")
    if os.geteuid() != 0:
        raise SandboxError(f"a stand-in board needs root: run this with sudo, {_INSTEAD}")
    bring(*_PACKAGES, otherwise=_INSTEAD)


def require_root() -> None:
    """See that namespaces, mounts and daemons can be made here.

    Raises:
        SandboxError: not Linux, or not root.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise SandboxError("this needs Linux and root, for namespaces, mounts and daemons of its own: use sudo")


def bring(*commands: str, otherwise: str = "or do without what needs it") -> None:
    """See that commands are there; install the Debian packages of those that are missing.

    Raises:
        SandboxError: one is missing and cannot be installed here; names the packages.
    """
    missing = [command for command in commands if not any(map(_find, command.split("|")))]
    if not missing:
        return
    known = {**_PACKAGES, **_TEST_PACKAGES}
    packages = sorted({package for command in missing for package in known[command].split()})
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        how = f"apt-get install {' '.join(packages)}" if shutil.which("apt-get") else f"install {' '.join(packages)}"
        raise SandboxError(f"{', '.join(missing)} not found on PATH: {how}, {otherwise}")
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / ".apt.lock", "room for packages"):
        if all(any(map(_find, command.split("|"))) for command in missing):
            return
        say(f"installing {' '.join(packages)}")
        # Something else may be installing at this moment, which is worth waiting for.
        patience = ["-o", "DPkg::Lock::Timeout=300"]
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *patience, *packages]
        if run(install, check=False).returncode != 0:
            run(["apt-get", "update", "-q"])
            run(install)


def _find(command: str) -> str | None:
    """A command's path; daemons lie where an ordinary user's PATH does not lead."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


def main() -> None:
    """See that the tests can run here."""
    try:
        require()
        bring(*_TEST_PACKAGES)
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
