"""What every measurement says of where and when it was made, and where it is written."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from infra import ROOT

FOLDER = ROOT / "build" / "bench"


def machine() -> str:
    """The machine in words: its CPU, cores, memory and system."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"{platform.machine()}, {model or 'CPU unnamed'}, {os.cpu_count()} cores, {memory / 2**20:.0f} GB, {system}"


def load() -> float:
    """Processes that ran or waited in the last minute: what else a measurement had to share the cores with."""
    return round(os.getloadavg()[0], 2)


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Median and quartiles of at least one value."""
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return {"median": round(median(values), digits), "q1": round(low, digits), "q3": round(high, digits)}


def write(report: Mapping[str, Any]) -> Path:
    """Write `build/bench/<name>.json`, with the date and the machine; `docs/benchmarks.md` is made from such files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = FOLDER / f"{report['name']}.json"
    made = {"date": datetime.now(tz=UTC).date().isoformat(), "machine": machine(), "load_after": load()}
    target.write_text(json.dumps({**report, **made}, indent=2, ensure_ascii=False) + "\n")
    return target


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()
