"""The root file system that all stand-in boards start from, made once by `rootfs.sh` and kept in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from sandbox.machine import CHECKOUT, SandboxError, cache, locked, run, say

_SCRIPT = CHECKOUT / "sandbox" / "rootfs.sh"


def key() -> str:
    """16 hex digits of the SHA-256 over the script and what it reads of this machine."""
    inputs = _SCRIPT.read_text() + run(["sh", _SCRIPT, "--inputs"]).stdout
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def rootfs() -> Path:
    """The finished root file system; the first caller makes it (about a minute), others wait for that one.

    Raises:
        SandboxError: it could not be made; the whole log lies beside it.
    """
    shelf = cache() / "rootfs"
    final = shelf / key()
    if final.is_dir():
        return final
    shelf.mkdir(parents=True, exist_ok=True)
    with locked(shelf) as lock:
        if final.is_dir():
            return final
        part, log = final.with_suffix(".part"), final.with_suffix(".log")
        shutil.rmtree(part, ignore_errors=True)
        say("making the stand-in board's root file system, once (about a minute)")
        # What debootstrap mounts is mounted for it alone, and gone with it however it ends.
        command = ["unshare", "--mount", "sh", str(_SCRIPT), str(part)]
        with log.open("wb") as stream:
            status = subprocess.run(command, stdout=stream, stderr=stream, pass_fds=[lock], check=False).returncode
        if status != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise SandboxError(f"rootfs.sh failed with status {status}; whole log: {log}\n{tail}")
        part.rename(final)
        log.unlink()
    return final
