"""An older Debian with nvcc, made once by `nvcc.sh` and kept in the cache: what compiles CUDA where no board is.

    python -m sandbox.nvcc

prints where it is. It takes about five minutes, 1.5 GB of download and 6 GB of disk.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sandbox.machine import CHECKOUT, SandboxError, cache, locked, require, run, say

_SCRIPT = CHECKOUT / "sandbox" / "nvcc.sh"
_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8")
_ENTER = """
mkdir -p "$1/work" && mount --bind "$2" "$1/work" && mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" &&
root=$1 && shift 2 && exec chroot "$root" "$@"
"""


def key() -> str:
    """16 hex digits of the SHA-256 over the script and what it reads of this machine."""
    inputs = _SCRIPT.read_text() + run(["sh", _SCRIPT, "--inputs"]).stdout
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def chroot() -> Path:
    """The finished root file system; the first caller makes it, others wait for that one.

    Raises:
        SandboxError: this machine cannot make it, or its packages could not be had; the whole log lies beside it.
    """
    require()
    shelf = cache() / "nvcc"
    final = shelf / key()
    if final.is_dir():
        return final
    shelf.mkdir(parents=True, exist_ok=True)
    with locked(shelf) as lock:
        if final.is_dir():
            return final
        part, log = final.with_suffix(".part"), final.with_suffix(".log")
        shutil.rmtree(part, ignore_errors=True)
        say("making a Debian with nvcc 11.2, once (about five minutes, 1.5 GB of download)")
        # What debootstrap mounts is mounted for it alone, and gone with it however it ends.
        command = ["unshare", "--mount", "sh", str(_SCRIPT), str(part)]
        with log.open("wb") as stream:
            status = subprocess.run(command, stdout=stream, stderr=stream, pass_fds=[lock], check=False).returncode
        if status != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise SandboxError(f"nvcc.sh failed with status {status}; whole log: {log}\n{tail}")
        part.rename(final)
        log.unlink()
    return final


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
