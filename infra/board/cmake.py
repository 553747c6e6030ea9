"""CMake for a Jetson, whose own is 3.10."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from infra.board.remote import StopError

VERSION: Final = "3.27.9"
SHA256: Final = "d8306b6e4442496dc1d87e3e64394ebbf02c04f1c6324a1a37cad3695f7d835a"
"""Of PyPI's wheel for aarch64 and glibc 2.17."""


def archive() -> bytes:
    """CMake for aarch64 as tar.gz with bin/ and share/: PyPI's wheel by its hash, unpacked and not installed.

    Raises:
        StopError: it could not be had.
    """
    with tempfile.TemporaryDirectory(prefix="pollex-cmake-") as folder:
        wanted = Path(folder, "cmake.txt")
        wanted.write_text(f"cmake=={VERSION} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--python-platform", "aarch64-manylinux_2_17", "--target", f"{folder}/to"]
        done = subprocess.run([*command, "-r", wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StopError(f"CMake {VERSION} could not be had: {done.stderr.strip()}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
            for name in ("bin", "share"):
                packed.add(Path(folder, "to/cmake/data", name), name)
    return buffer.getvalue()
