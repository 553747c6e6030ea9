"""An older Debian with nvcc, made once by `nvcc.sh` and kept in the cache: what compiles CUDA where no board is.

    python -m sandbox.debian.nvcc

prints where it is. It takes about five minutes, 1.5 GB of download and 6 GB of disk.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox import debian
from sandbox.machine import SandboxError, require


def chroot() -> Path:
    """The finished root file system; the first caller makes it, others wait for that one.

    Raises:
        SandboxError: this machine cannot make it, or its packages could not be had; the whole log lies beside it.
    """
    require()
    saying = "making a Debian with nvcc 11.2, once (about five minutes, 1.5 GB of download)"
    return debian.made(Path(__file__).with_name("nvcc.sh"), saying=saying)


def main() -> None:
    """Make it if need be; print where it is."""
    try:
        print(chroot())
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
