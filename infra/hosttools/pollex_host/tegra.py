"""What a Tegra says of itself in files. Nothing is started and nothing changed; a machine that has none says nothing.

Where things are is from public descriptions of the Jetson Nano under L4T 32 (its device tree, its `jetson_clocks
--store`, NVIDIA's Jetson Linux Developer Guide): /sys/devices/gpu.0 leads to 57000000.gpu, thermal zones and cooling
devices lie below virtual/thermal, nvpmodel keeps the mode in /var/lib/nvpmodel/status.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import files, places

GPU = f"{places.DEVICES}/gpu.0"
FAN = f"{places.DEVICES}/pwm-fan"
_CPUS = f"{places.DEVICES}/system/cpu"
_THERMAL = f"{places.DEVICES}/virtual/thermal"
_MODE = f"{places.MACHINE}/var/lib/nvpmodel/status"
_MODES = f"{places.MACHINE}/etc/nvpmodel.conf"
UNKNOWN = "unknown"


def is_there() -> bool:
    """Whether this machine is one."""
    return os.path.isdir(GPU)


def power_mode() -> str:
    """The number of the power mode: what nvpmodel set last, or its default."""
    found = re.search(r"pmode:0*([0-9]+)", files.read(_MODE) or "") or re.search(
        r"PM_CONFIG\s+DEFAULT=([0-9]+)", files.read(_MODES) or ""
    )
    return found[1] if found else UNKNOWN


def power_modes() -> dict[str, str]:
    """The names of the modes by their numbers."""
    return dict(re.findall(r"POWER_MODEL\s+ID=([0-9]+)\s+NAME=(\S+)", files.read(_MODES) or ""))


def clocks() -> str:
    """`on` where the clocks of all cores and of the GPU are held at the most that the power mode allows, else `off`."""
    pairs = [
        (number(f"{place}/{least}"), number(f"{place}/{most}"))
        for place, least, most in (
            *((place, "scaling_min_freq", "scaling_max_freq") for place in _below(_CPUS, r"cpu[0-9]+", "/cpufreq")),
            *((place, "min_freq", "max_freq") for place in _below(f"{GPU}/devfreq", r".*")),
        )
    ]
    # a core that is off has no clock
    known = [(least, most) for least, most in pairs if least is not None and most is not None]
    if not known:
        return UNKNOWN
    return "on" if all(least == most for least, most in known) else "off"


def heat() -> dict[str, float]:
    """°C of each thermal zone by its name; the PMIC's always says 100 and is left out."""
    found = {}
    for place in _below(_THERMAL, r"thermal_zone[0-9]+"):
        name, value = (files.read(f"{place}/type") or "").strip(), number(f"{place}/temp")
        if name and value is not None and not name.startswith("PMIC"):
            found[name] = value / 1000
    return found


def throttling() -> list[str]:
    """What holds clocks down because of heat, by the names of the cooling devices.

    The device tree's cpu-balanced (from 97 °C), gpu-balanced (from 97.5 °C), emergency-balanced and tegra_heavy do. A
    fan, and what only follows the heat (GPU-cap, tegra-dram, …), does not.
    """
    found = []
    for place in _below(_THERMAL, r"cooling_device[0-9]+"):
        name = (files.read(f"{place}/type") or "").strip()
        if name.endswith(("-balanced", "_heavy")) and number(f"{place}/cur_state"):
            found.append(name)
    return sorted(found)


def now() -> dict[str, object]:
    """All of it, for `status`; empty where this machine is none."""
    if not is_there():
        return {}
    mode, zones, load = power_mode(), heat(), number(f"{GPU}/load")
    memory = dict(re.findall(r"^(\w+):\s+([0-9]+) kB", files.read(f"{places.PROC}/meminfo") or "", re.MULTILINE))
    found: dict[str, object] = {"powerMode": mode, "powerModeName": power_modes().get(mode, ""), "clocks": clocks()}
    found.update({f"{name[:3].lower()}Celsius": zones[name] for name in ("CPU-therm", "GPU-therm") if name in zones})
    found["throttling"] = throttling()
    if load is not None:
        found["gpuLoadPercent"] = load / 10
    if "MemAvailable" in memory:
        found["memoryAvailableMb"] = int(memory["MemAvailable"]) >> 10
    if "SwapTotal" in memory:
        found["swapUsedMb"] = (int(memory["SwapTotal"]) - int(memory["SwapFree"])) >> 10
    return found


def told(found: Mapping[str, Any], since: str = "") -> Iterator[str]:
    """The same for people, a line each.

    Args:
        found: what `now` gave; nothing is told of an empty one.
        since: when throttling began, where somebody knows.
    """
    if not found:
        return
    name = f" ({found['powerModeName']})" if found["powerModeName"] else ""
    held = {"on": "held at the most", "off": "chosen by the kernel"}.get(found["clocks"], found["clocks"])
    parts = [f"power mode {found['powerMode']}{name}", f"clocks {held}"]
    parts += [f"{part.upper()} {found[f'{part}Celsius']:g} °C" for part in ("cpu", "gpu") if f"{part}Celsius" in found]
    if "memoryAvailableMb" in found:
        parts.append(f"{found['memoryAvailableMb']} MB of memory left")
    yield ", ".join(parts)
    if found["throttling"]:
        hottest = max((found[part] for part in ("cpuCelsius", "gpuCelsius") if part in found), default=0)
        yield f"throttled{since and f' since {since}'} at {hottest:g} °C, by {', '.join(found['throttling'])}: cool it"


def number(path: str) -> int | None:
    """The whole number in a file, or None."""
    try:
        return int(files.read(path) or "")
    except ValueError:
        return None


def _below(folder: str, pattern: str, rest: str = "") -> Iterator[str]:
    """Paths in a folder whose names match, in their order."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in sorted(name for name in names if re.fullmatch(pattern, name)):
        yield f"{folder}/{name}{rest}"
