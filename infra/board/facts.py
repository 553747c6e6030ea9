"""What a host said of itself, and what of it is in the way. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OLDEST_CMAKE: Final = (3, 18)
"""The first that knows CUDA architectures, which ggml's CUDA part names."""
CLOCK_S: Final = 300
"""Seconds that a clock may be wrong before it is set: certificates and package lists are dated by the day."""

Facts = Mapping[str, str]


def parse(output: str) -> Facts:
    """The facts in the output of `board.sh look`; lines that a login's start files printed are passed over.

    Raises:
        ValueError: it did not come to its end.
    """
    lines = (line.removeprefix("pollex ") for line in output.splitlines() if line.startswith("pollex "))
    facts = {name: value for name, _, value in (line.partition("=") for line in lines) if value}
    if "end" not in facts:
        raise ValueError("the questions did not come to their end: is the login's shell restricted?")
    return facts


def in_the_way(facts: Facts, wanted: Mapping[str, object]) -> list[str]:
    """Everything that only a person can mend, each with how.

    Args:
        facts: of the host.
        wanted: the `host` settings of the stack.
    """
    found = []
    if facts["architecture"] != wanted["architecture"]:
        found.append(
            f"the stack is for {wanted['architecture']}, and this is {facts['architecture']}: name another, STACK=…"
        )
    for fact, setting, what in (("memoryMb", "minMemoryMb", "of memory"), ("freeMb", "minDiskMb", "free below /opt")):
        if int(facts[fact]) < int(str(wanted[setting])):
            found.append(
                f"{facts[fact]} MB {what}, and {wanted[setting]} are needed: make room, or lower pollex:host.{setting}"
            )
    if "readonly" in facts:
        found.append("its root file system is read-only: the card may be bad; see `dmesg` there")
    if "systemd" not in facts:
        found.append("it does not run systemd")
    if "nosudo" in facts and "root" not in facts:
        found.append("it has no sudo: log in as root and install it")
    if "jetpack" in facts and "nvcc" not in facts:
        found.append("JetPack without CUDA: `sudo apt-get install cuda-toolkit-10-2` on the board")
    return found


def needs_cmake(facts: Facts) -> bool:
    """Whether a CMake is brought: a Jetson's own is 3.10; elsewhere the distribution's comes by apt."""
    version = tuple(int(part) for part in facts.get("cmake", "0").split("-")[0].split(".")[:2] if part.isdigit())
    return facts["architecture"] == "aarch64" and "jetpack" in facts and version < OLDEST_CMAKE


def clock_error(facts: Facts, now: float) -> int:
    """Seconds that the host's clock is ahead (or, below zero, behind); 0 where that does no harm."""
    wrong = int(facts["clock"]) - int(now)
    return wrong if abs(wrong) > CLOCK_S else 0


def described(facts: Facts) -> list[str]:
    """What the host is, for people, a line each."""
    lines = [f"{facts.get('machine', '')}, {facts['architecture']}, {facts.get('os', 'unknown system')}"]
    lines.append(f"{facts['memoryMb']} MB of memory, {facts['freeMb']} MB free below /opt")
    if "jetpack" in facts:
        lines.append(f"L4T {facts['jetpack'].removeprefix('# ')}; power mode {facts.get('power', 'unknown')}")
    cmake = facts.get("cmake")
    brought = "brought below /opt/pollex" if needs_cmake(facts) else "apt brings it" if cmake is None else "will do"
    lines.append(f"CMake {cmake or 'is missing'}: {brought}")
    return lines


def remarks(facts: Facts) -> list[str]:
    """What is in nobody's way, and worth knowing."""
    found = []
    if "jetpack" in facts and facts.get("power", "MAXN") != "MAXN":
        found.append(f"power mode {facts['power']} slows everything: declare pollex:board.powerMode: 0")
    if "jetpack" in facts and facts.get("target") == "graphical.target":
        found.append("its desktop takes about 1 GB of the memory: declare pollex:board.desktop: false")
    if len(ways := facts.get("gateways", "").split()) > 1:
        found.append(f"it has default routes through {' and '.join(ways)}: if downloads hang, unplug one")
    return found


def duration(seconds: int) -> str:
    """How far a clock is off, as people say it."""
    far = abs(seconds)
    for size, name in ((365 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if far >= 2 * size:
            return f"{far // size} {name} {'ahead' if seconds > 0 else 'behind'}"
    return f"{far} seconds {'ahead' if seconds > 0 else 'behind'}"
