"""The root file systems that stand-in boards start from, each made once by a script and kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from sandbox import debian

Machine = Literal["aarch64"]
"""As `uname -m` says it, where that is not this machine's own."""

Release = Literal["bullseye"]
"""Of Debian, where that is not the one that boards have."""

_ROOTFS: Final = Path(__file__).with_name("rootfs.sh")


def rootfs(emulated: Machine | None = None, release: Release | None = None) -> Path:
    """The finished root file system; the first caller makes it, others wait for that one.

    Args:
        emulated: another kind of machine, whose programs must run here.
        release: another one than usual; of this machine's kind.

    Raises:
        SandboxError: it could not be made; the whole log lies beside it.
    """
    if release is not None:
        saying = f"making the root file system of a board with Debian {release}, once (about a minute)"
        return debian.made(_ROOTFS.with_name(f"{release}.sh"), _ROOTFS, debian.BARE, saying=saying)
    if emulated is None:
        saying = "making the stand-in board's root file system, once (about a minute)"
        return debian.made(_ROOTFS, debian.BARE, saying=saying)
    saying = f"making the root file system of a board with {emulated}, once (under QEMU: about ten minutes)"
    return debian.made(_ROOTFS.with_name(f"{emulated}.sh"), _ROOTFS, debian.BARE, saying=saying)
