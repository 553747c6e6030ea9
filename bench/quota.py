"""A share of the processor's time, as container engines give it to what they run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PERIOD: Final = 100_000
"""Microseconds in which a quota is counted, as container engines set it."""
GROUPS: Final = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
"""Where CPU quotas are set: cgroup v1, v2."""


@contextmanager
def quota(cores: float, name: str = "", *, weight: int = 1) -> Iterator[Path]:
    """A control group whose processes together may compute for so many cores' time; it has to be empty at the end.

    Args:
        cores: their time, 0.5 being half of one.
        name: what tells it from others of this process.
        weight: how much more than any other process it counts where not all can have what they want; above 1 it gets
            its time beside others too.
    """
    root = next(root for root in GROUPS if root.exists())
    group = root / f"pollex-bench-{os.getpid()}{name}"
    group.mkdir()
    try:
        limit = int(cores * PERIOD)
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{limit} {PERIOD}")
            (group / "cpu.weight").write_text(str(100 * weight))
        else:
            (group / "cpu.cfs_quota_us").write_text(str(limit))
            (group / "cpu.shares").write_text(str(1024 * weight))
        yield group
    finally:
        group.rmdir()


def enter(group: Path, process: int) -> None:
    """Take a process with all its threads into a control group, and leave it there."""
    (group / "cgroup.procs").write_text(str(process))
