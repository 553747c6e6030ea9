"""The root file system that all stand-in boards start from, made once by `rootfs.sh` and kept in the cache."""

from __future__ import annotations

from pathlib import Path

from sandbox import debian


def rootfs() -> Path:
    """The finished root file system; the first caller makes it (about a minute), others wait for that one.

    Raises:
        SandboxError: it could not be made; the whole log lies beside it.
    """
    saying = "making the stand-in board's root file system, once (about a minute)"
    return debian.made(Path(__file__).with_name("rootfs.sh"), debian.BARE, saying=saying)
