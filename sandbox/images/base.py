"""The base image: the pinned one where its registry answers, else a stand-in made from the same Debian release.

python -m sandbox.images.base    make the stand-in if need be, print it as a build context
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.images import layout
from sandbox.machine import SandboxError, cache, locked, run, say

_SCRIPT = Path(__file__).parent / "base.sh"
_EPOCH = 1735689600
"""2025-01-01, before the commits that are built on it; only caps the times of files."""


def key() -> str:
    """16 hex digits of the SHA-256 over the scripts and what they read of this machine."""
    inputs = _SCRIPT.read_text() + Path(layout.__file__).read_text() + run(["sh", _SCRIPT, "--inputs"]).stdout
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def stand_in() -> str:
    """`oci-layout://FOLDER@sha256:…`; the first caller makes it (about 40 s), others wait for that one.

    Raises:
        SandboxError: it could not be made; holds the end of debootstrap's log.
    """
    shelf = cache() / "images"
    final = shelf / f"base-{key()}"
    if not final.is_dir():
        shelf.mkdir(parents=True, exist_ok=True)
        with locked(shelf):
            if not final.is_dir():
                _make(final)
    return f"oci-layout://{final}@{(final / 'digest').read_text()}"


def _make(final: Path) -> None:
    say("making a stand-in for the base image out of Debian's packages, once (about 40 s)")
    with tempfile.TemporaryDirectory(prefix=".base-", dir=final.parent) as temporary:
        root, made = Path(temporary, "root"), Path(temporary, "made")
        # What debootstrap mounts is mounted for it alone, and gone with it however it ends.
        command = ["unshare", "--mount", "sh", str(_SCRIPT), str(root)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise SandboxError(f"base.sh failed with status {done.returncode}\n{tail}")
        architecture = run(["dpkg", "--print-architecture"]).stdout.strip()
        digest = layout.write(root, made, architecture=architecture, epoch=_EPOCH)
        (made / "digest").write_text(digest)
        made.rename(final)
        shutil.rmtree(root)


if __name__ == "__main__":
    try:
        print(stand_in())
    except SandboxError as error:
        sys.exit(f"error: {error}")
