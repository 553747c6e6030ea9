"""What daemons leave mounted when they end."""

from __future__ import annotations

from pathlib import Path

from sandbox.machine import run


def release(folder: Path) -> None:
    """Unmount everything below a folder, the innermost first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    points = [Path(line.split()[1]) for line in lines]
    for point in sorted((one for one in points if one.is_relative_to(folder)), reverse=True):
        run(["umount", "--lazy", point], check=False)
