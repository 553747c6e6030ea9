"""An older Debian with nvcc, made once by `nvcc.sh` and kept in the cache: what compiles CUDA where no board is.

    python -m sandbox.debian.nvcc

prints where it is. It takes about five minutes, 1.5 GB of download and 6 GB of disk.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sandbox import debian
from sandbox.machine import SandboxError, require

_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8")
_ENTER = """
mkdir -p "$1/work" && mount --bind "$2" "$1/work" && mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" &&
root=$1 && shift 2 && exec chroot "$root" "$@"
"""


def chroot() -> Path:
    """The finished root file system; the first caller makes it, others wait for that one.

    Raises:
        SandboxError: this machine cannot make it, or its packages could not be had; the whole log lies beside it.
    """
    require()
    saying = "making a Debian with nvcc 11.2, once (about five minutes, 1.5 GB of download)"
    return debian.made(Path(__file__).with_name("nvcc.sh"), saying=saying)


def start(root: Path, folder: Path, command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command in the chroot; killing the process ends everything that it started, mounts included.

    Args:
        root: as `chroot` returned it.
        folder: of this machine, where the command runs; it is /work there, and nothing else of this machine is seen.
        command: found on the chroot's own PATH.
        log: takes what it says.
    """
    inside = ["env", "-i", "-C", "/work", *_ENVIRONMENT, *command]
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh", str(root), str(folder)]
    return subprocess.Popen([*alone, *inside], stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def main() -> None:
    """Make it if need be; print where it is."""
    try:
        print(chroot())
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
