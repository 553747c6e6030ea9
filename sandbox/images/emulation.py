"""Programs of another architecture, run by QEMU as if they were this machine's."""

from __future__ import annotations

import platform
from pathlib import Path

from sandbox.images.tools import command
from sandbox.machine import SandboxError, run

_FOLDER = Path("/proc/sys/fs/binfmt_misc")


def require(architecture: str) -> None:
    """See that this machine runs programs of an architecture, in containers too; stays until the next boot.

    Args:
        architecture: in Docker's words, `amd64` or `arm64`.

    Raises:
        SandboxError: it cannot.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
    if platform.machine() == machine:
        return
    if not (_FOLDER / "register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", _FOLDER])
    entry = _FOLDER / f"qemu-{machine}"
    if not entry.exists():
        run([command("update-binfmts", "binfmt-support"), "--enable", f"qemu-{machine}"])
    # F: the kernel holds QEMU open, so that a container need not have it
    if not entry.exists() or "F" not in entry.read_text().partition("flags:")[2].partition("\n")[0]:
        raise SandboxError(f"programs for {architecture} cannot be run here: apt-get install qemu-user-static")
