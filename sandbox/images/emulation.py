"""Programs of another architecture, run by QEMU as if they were this machine's."""

from __future__ import annotations

import platform
from pathlib import Path

from sandbox.images.tools import command
from sandbox.machine import SandboxError, run

_FOLDER = Path("/proc/sys/fs/binfmt_misc")


class NoEmulationError(SandboxError):
    """This machine cannot run programs of another architecture. The text ends with what mends it."""


def require(architecture: str) -> None:
    """See that this machine runs programs of an architecture, in containers too; stays until the next boot.

    Debian's packages tell the kernel of QEMU when they are installed, but not in a container (the script of
    qemu-user-static ends there), and not where the folder of the kernel is not mounted yet. Then it is done here.

    Args:
        architecture: in Docker's words, `amd64` or `arm64`.

    Raises:
        NoEmulationError: it cannot.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
    if platform.machine() == machine:
        return
    name = f"qemu-{machine}"
    try:
        if not (_FOLDER / "register").exists():
            run(["mount", "-t", "binfmt_misc", "binfmt_misc", _FOLDER])
        if not (_FOLDER / name).exists():
            _register(name)
    except SandboxError as error:
        raise NoEmulationError(_cannot(architecture, f"as root: update-binfmts --import {name}\n{error}")) from error
    entry = _FOLDER / name
    if not entry.exists():
        raise NoEmulationError(_cannot(architecture, "apt-get install qemu-user-static"))
    # F: the kernel holds QEMU open, so that a container need not have it
    if "F" not in entry.read_text().partition("flags:")[2].partition("\n")[0]:
        mend = f"apt-get install qemu-user-static, then update-binfmts --unimport {name} and --import {name}"
        raise NoEmulationError(
            _cannot(architecture, f"{mend}: {entry} has not the flag F, so containers would need QEMU")
        )


def _register(name: str) -> None:
    """Tell the kernel: of what is in the database of formats, else of what the package would put there."""
    update = command("update-binfmts", "binfmt-support")
    if run([update, "--enable", name], check=False).returncode:
        run([update, "--import", name])


def _cannot(architecture: str, how: str) -> str:
    return f"programs for {architecture} cannot be run here: {how}"
