"""What the board says of itself, where it is a Tegra: power mode, clocks, heat, and since when heat holds it back.

Read from files, as `pollex-host status` reads them (infra/hosttools/pollex_host/tegra.py says from where that is
known); a machine that has none of them has none of these metrics.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger("pollex")

INTERVAL = 5.0
"""Seconds between two looks at whether heat holds the board back: nothing on it remembers since when."""


class Tegra(Collector):
    """A Tegra's files, and what was seen in them."""

    def __init__(self, root: Path = Path("/")) -> None:
        """`root` is what stands before every path, for tests."""
        self._devices = root / "sys/devices"
        self._mode = root / "var/lib/nvpmodel/status"
        self._modes = root / "etc/nvpmodel.conf"
        self._memory = root / "proc/meminfo" if (root / "proc/meminfo").exists() else Path("/proc/meminfo")
        self.since: float | None = None
        """When throttling began, seconds since 1970; None while there is none."""

    @property
    def is_there(self) -> bool:
        """Whether this machine is one."""
        return (self._devices / "gpu.0").is_dir()

    def power_mode(self) -> int | None:
        """The number of the mode that nvpmodel set last, or of its default."""
        found = re.search(r"pmode:0*([0-9]+)", _text(self._mode))
        found = found or re.search(r"PM_CONFIG\s+DEFAULT=([0-9]+)", _text(self._modes))
        return int(found[1]) if found else None

    def clocks_held(self) -> bool | None:
        """Whether all clocks are held at the most that the mode allows."""
        pairs = [
            (_number(place / least), _number(place / most))
            for place, least, most in (
                *((place, "scaling_min_freq", "scaling_max_freq") for place in self._found("system/cpu/cpu*/cpufreq")),
                *((place, "min_freq", "max_freq") for place in self._found("gpu.0/devfreq/*")),
            )
        ]
        known = [(least, most) for least, most in pairs if least is not None and most is not None]
        return all(least == most for least, most in known) if known else None

    def heat(self) -> dict[str, float]:
        """°C of each thermal zone; the PMIC's always says 100 and is left out."""
        zones = ((_text(place / "type").strip(), _number(place / "temp")) for place in self._zones())
        return {name: value / 1000 for name, value in zones if name and value is not None and name[:4] != "PMIC"}

    def throttling(self) -> list[str]:
        """The cooling devices that hold clocks down."""
        found = []
        for place in self._found("virtual/thermal/cooling_device*"):
            name = _text(place / "type").strip()
            if name.endswith(("-balanced", "_heavy")) and _number(place / "cur_state"):
                found.append(name)
        return sorted(found)

    def look(self, now: float) -> None:
        """Note when throttling begins and ends, and say it once."""
        by = self.throttling()
        if by and self.since is None:
            self.since = now
            hottest = max(self.heat().values(), default=0.0)
            log.warning("the board is too hot and slows down", extra={"celsius": hottest, "by": by})
        elif not by and self.since is not None:
            log.info("the board is no longer slowed down by heat", extra={"seconds": round(now - self.since)})
            self.since = None

    async def watch(self) -> None:
        """Look again and again, for as long as it is not cancelled."""
        while self.is_there:
            self.look(time.time())
            await asyncio.sleep(INTERVAL)

    def collect(self) -> Iterator[Metric]:
        """The metrics, as far as the board says them."""
        if not self.is_there:
            return
        self.look(time.time())
        values = {
            "pollex_board_power_mode": ("nvpmodel's number of the power mode.", self.power_mode()),
            "pollex_board_clocks_held": ("Whether all clocks are held at the mode's most (1).", self.clocks_held()),
            "pollex_board_gpu_load_ratio": ("Load of the GPU.", _share(_number(self._devices / "gpu.0/load"))),
            "pollex_board_throttled": ("Whether heat holds clocks down (1).", self.since is not None),
            "pollex_board_throttled_since_timestamp_seconds": ("Since when, where it does.", self.since),
            "pollex_board_memory_available_bytes": ("Memory that is left.", self._available()),
        }
        for name, (about, value) in values.items():
            if value is not None:
                yield GaugeMetricFamily(name, about, value=float(value))
        zones = GaugeMetricFamily("pollex_board_celsius", "Heat of a zone.", labels=["zone"])
        for name, celsius in self.heat().items():
            zones.add_metric([name], celsius)
        yield zones

    def _available(self) -> int | None:
        found = re.search(r"^MemAvailable:\s+([0-9]+) kB", _text(self._memory), re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    def _zones(self) -> list[Path]:
        return self._found("virtual/thermal/thermal_zone*")

    def _found(self, pattern: str) -> list[Path]:
        return sorted(self._devices.glob(pattern))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _share(per_mille: int | None) -> float | None:
    return None if per_mille is None else per_mille / 1000
