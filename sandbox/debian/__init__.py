"""Root file systems out of Debian's packages, each made once by a script and kept in the cache."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from infra.toolchain import once
from infra.toolchain.once import cache
from sandbox.machine import SandboxError, run, say

BARE = Path(__file__).with_name("debian.sh")
"""Makes a Debian with nothing in it."""


_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
_ENTER = """
mkdir -p "$1/work" && mount --bind "$2" "$1/work" && mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" &&
root=$1 && shift 2 && exec chroot "$root" "$@"
"""


def key(script: Path, *others: Path) -> str:
    """16 hex digits of the SHA-256 over the script, other files that it needs and what it reads of this machine."""
    inputs = "".join(file.read_text() for file in (script, *others)) + run(["sh", script, "--inputs"]).stdout
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def made(script: Path, *others: Path, saying: str) -> Path:
    """The finished root file system; the first caller makes it, others wait for that one.

    Args:
        script: `script DIR` makes it.
        others: files that the script needs.
        saying: what the first caller is told.

    Raises:
        SandboxError: it could not be made; the whole log lies beside it.
    """
    final = cache() / script.stem / key(script, *others)

    def make(part: Path) -> None:
        log = final.with_suffix(".log")
        say(saying)
        # What debootstrap mounts is mounted for it alone, and gone with it however it ends.
        command = ["unshare", "--mount", "sh", str(script), str(part)]
        with log.open("wb") as stream:
            status = subprocess.run(command, stdout=stream, stderr=stream, check=False).returncode
        if status != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise SandboxError(f"{script.name} failed with status {status}; whole log: {log}\n{tail}")
        log.unlink()

    return once.made(final, make, what=f"what {script.name} makes")


def start(
    root: Path, folder: Path, command: Sequence[str], log: IO[bytes], variables: Mapping[str, str] = {}
) -> subprocess.Popen[bytes]:
    """Start a command in a root file system; killing the process ends everything that it started, mounts included.

    Args:
        root: as `made` returned it.
        folder: of this machine, where the command runs; it is /work there, and nothing else of this machine is seen.
        command: found on the root file system's own PATH.
        log: takes what it says.
        variables: of the environment, beside those that every command there has.
    """
    environment = [f"{name}={value}" for name, value in {**_ENVIRONMENT, **variables}.items()]
    inside = ["env", "-i", "-C", "/work", *environment, *command]
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh", str(root), str(folder)]
    return subprocess.Popen([*alone, *inside], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
