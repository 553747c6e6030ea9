"""The live map, what it should be, and the facts of the host.

A map has an item for each thing that can drift, with a value that says what it is like; what drifted is what differs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from . import files, generations, places, store, systemd, tegra
from .errors import Exit, HostToolError
from .say import answer

Map = dict[str, str]
Plain = dict[str, Any]
"""A generation's manifest as JSON data."""

_ENABLED = {"enabled", "static", "indirect", "generated"}
"""What systemd says of a unit that will run after the next boot."""


def status(arguments: list[str]) -> None:
    """Say what is live."""
    if arguments not in ([], ["--json"]):
        raise HostToolError(Exit.USAGE, "'status' takes nothing but --json")
    seen = observed(generations.live())
    if generations.pending() is not None:
        # it looks live before its gate, and may still be taken back: whoever declared it has to activate it again
        seen["generation"] += ", unproved"
    if arguments:
        report(seen)
        return
    if owner := generations.owner():
        print(f"owner: {owner}")
    for item, value in seen.items():
        print(f"{item}: {value}")
    for line in tegra.told(now := tegra.now(), _throttled_since() if now.get("throttling") else ""):
        print(line)


def observed(generation: Plain | None, known: Map | None = None) -> Map:
    """The map of a generation's items as they are now.

    Args:
        generation: the one, or None: then only which is live.
        known: states of store paths that need not be hashed again, by the paths' names; gets those that were.
    """
    seen = {"generation": generations.current()}
    if generation is None:
        return seen
    known = {} if known is None else known
    names = [unit["name"] for unit in generation["units"]]
    for name in names:
        seen[f"unit {name}"] = _unit(f"{places.UNITS}/{name}")
    if names:
        seen.update(_services(names))
    seen.update({f"link {link['path']}": _link(link["path"]) for link in _each(generation, "links")})
    seen.update({f"file {file['path']}": _file(file["path"], file["mode"]) for file in _each(generation, "files")})
    for item in sorted(set(_each(generation, "needs"))):
        if item not in known:
            known[item] = store.state(f"{places.STORE}/{item}")
        seen[f"store {item}"] = known[item]
    if settings := generation.get("settings"):
        from . import board  # noqa: PLC0415 - few boards have any

        seen.update({f"board {each['name']}": board.SETTINGS[each["name"]].seen() for each in settings})
    return seen


def _each(generation: Plain, part: str) -> list[Any]:
    """What all units have of something."""
    return [one for unit in generation["units"] for one in unit.get(part, ())]


def report(seen: Map, changed: Iterable[str] = (), left_alone: str = "") -> None:
    """The line of JSON of `status` and of the verbs that change what is live.

    Args:
        seen: the map.
        changed: items that were mended.
        left_alone: why a verb did nothing.
    """
    values = {
        "id": (files.read(f"{places.ROOT}/id") or "").strip(),
        "owner": generations.owner(),
        "generation": generations.current(),
        "live": seen,
        "facts": _facts(),
        "generations": generations.history(),
        "changed": list(changed),
    }
    if now := tegra.now():
        values["board"] = now
    answer(**values, **({"left_alone": left_alone} if left_alone else {}))


def _unit(path: str) -> str:
    if not os.path.isfile(path):
        return "missing"
    return files.sha256(path) if os.access(path, os.R_OK) else "not readable"


def _services(names: list[str]) -> Map:
    """Their items, with one question to systemd."""
    seen = {}
    for shown in systemd.show(("Id", "ActiveState", "UnitFileState"), *names):
        active = shown.get("ActiveState", "")
        disabled = active == "active" and shown.get("UnitFileState") not in _ENABLED
        seen[f"service {shown.get('Id', '')}"] = f"{active}, disabled" if disabled else active
    return seen


def _link(path: str) -> str:
    target = files.link_target(path)
    if target is not None:
        return target
    return "a file" if files.there(path) else "missing"


def _file(path: str, mode: str) -> str:
    """Its hash, and its mode and owner where they are not `mode` and root."""
    try:
        about = os.lstat(path)
    except OSError:
        return "missing"
    if os.path.islink(path) or not os.path.isfile(path):
        return "not a plain file"
    if not os.access(path, os.R_OK):
        return "not readable"
    seen = files.sha256(path)
    if about.st_mode & 0o7777 != int(mode, 8):
        seen += f", mode {about.st_mode & 0o7777:o}"
    return seen if about.st_uid == 0 else f"{seen}, owner {_account(about.st_uid)}"


def _account(uid: int) -> str:
    import pwd  # noqa: PLC0415 - seldom needed

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "UNKNOWN"


def _facts() -> dict[str, object]:
    about = os.uname()
    facts: dict[str, object] = {
        "architecture": about.machine,
        "kernel": about.release,
        "os": _os_name() or about.sysname,
        "machine": _machine_name() or about.nodename,
        "cores": len(os.sched_getaffinity(0)),
        "memoryMb": _memory_mb(),
        "freeMb": files.free_mb(places.ROOT),
    }
    lines = (files.read(f"{places.FACTS}/tune.env") or "").splitlines()
    if lines:
        facts["tuned"] = " ".join(line.replace("POLLEX_TUNED=", "", 1) for line in lines if line[:1] != "#").rstrip()
        for line in lines:
            if line.startswith("# fastest model: "):
                facts["fastestModel"] = line.partition(": ")[2]
    return facts


def _throttled_since() -> str:
    """Since when, by the service, which looks all the time; an empty text where there is none that says it."""
    import time  # noqa: PLC0415 - only for a board that is too hot
    from urllib.parse import urlsplit  # noqa: PLC0415

    from . import gate  # noqa: PLC0415

    for unit in (generations.live() or {}).get("units", ()):
        if unit["gate"] and unit["serves"] is None:
            place = urlsplit(unit["gate"]["health"])
            for line in gate.words(f"{place.scheme}://{place.netloc}/metrics").splitlines():
                if line.startswith("pollex_board_throttled_since_timestamp_seconds "):
                    return time.strftime("%H:%M", time.localtime(float(line.split()[1])))
    return ""


def _os_name() -> str:
    """What /etc/os-release calls it; the file is written for a shell to read."""
    named = {}
    for line in (files.read("/etc/os-release") or "").splitlines():
        name, _, value = line.partition("=")
        named[name] = value.strip().strip("\"'")
    return named.get("PRETTY_NAME") or named.get("NAME", "")


def _machine_name() -> str:
    """What the firmware calls the board."""
    for place in ("/proc/device-tree/model", "/sys/class/dmi/id/product_name"):
        if name := (files.read(place) or "").strip("\0\n "):
            return name
    return ""


def _memory_mb() -> int:
    for line in (files.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) >> 10
    return 0
