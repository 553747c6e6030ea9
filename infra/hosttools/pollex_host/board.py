"""What is set of the board itself: each setting can be seen, set, and put back to what it was before us.

The kernel forgets most of it, so pollex-board.service sets it again at every start of the board, before llama-server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from . import files, generations, places, run, say, systemd, tegra
from .errors import Exit, HostToolError

if TYPE_CHECKING:
    from .manifest import Setting

CLOCKS = f"{places.ROOT}/displaced/clocks.conf"
"""What the clocks were, as `jetson_clocks --store` writes it."""
DISPLAY_MANAGER = "display-manager.service"
"""What systemd calls the desktop's unit, whichever it is."""
ZRAM = "nvzramconfig.service"
"""JetPack's own, which makes half of the memory a compressed swap."""


def board(arguments: list[str]) -> None:
    """The verb: set what the live generation says. An activation may be waiting for it, so it takes no lock."""
    if arguments:
        raise HostToolError(Exit.USAGE, "'board' takes no argument")
    if name := generations.current():
        put_in_force(generations.load(name).settings)


def put_in_force(settings: Iterable[Setting]) -> None:
    """Set what differs, in the order in which one thing depends on another, and whatever became of those before.

    At a start of the board nobody takes anything back: one that fails must not leave the fan off.

    Raises:
        HostToolError: the board does not take some of them; it says which, and why.
    """
    wanted = {setting.name: setting.value for setting in settings}
    failed = []
    for name, one in SETTINGS.items():
        if name not in wanted or one.seen() == wanted[name]:
            continue
        say.say(f"setting pollex:board.{name} to {wanted[name]}")
        try:
            _set(one, wanted[name])
        except HostToolError as error:
            failed.append(HostToolError(error.status, f"pollex:board.{name}: {error}"))
    if failed:
        raise HostToolError(failed[0].status, *(line for error in failed for line in error.lines))


def _set(one: One, value: str) -> None:
    """Set one, and see that it is."""
    try:
        one.set(value)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}: this board does not have it"
        raise HostToolError(Exit.FAILED, why) from None
    if (seen := one.seen()) != value:
        raise HostToolError(Exit.FAILED, f"is {seen} after it was set to {value}")


def undone_at(name: str) -> int:
    """When a setting is put back, of all: in the reverse order; what is none of them comes in no order."""
    return -list(SETTINGS).index(name) if name in SETTINGS else 0


class One:
    """One setting."""

    def seen(self) -> str:
        """What it is now: `on`, `off`, a number, or what it should not be."""
        raise NotImplementedError

    def former(self) -> str:
        """What `put_back` needs to know; asked once, before it is set for the first time."""
        return self.seen()

    def set(self, value: str) -> None:
        """Set it.

        Raises:
            HostToolError: that did not work.
            OSError: the board has no such file.
        """
        raise NotImplementedError

    def put_back(self, former: str) -> None:
        """Make it what it was; what was not known before stays.

        Raises:
            HostToolError: that did not work.
            OSError: the board has no such file.
        """
        if former not in {"", tegra.UNKNOWN, self.seen()}:
            self.set(former)


class _PowerMode(One):
    """nvpmodel's; it is in force at once and after the next start."""

    def seen(self) -> str:
        return tegra.power_mode()

    def set(self, value: str) -> None:
        modes = tegra.power_modes()
        if modes and value not in modes:
            there = ", ".join(f"{number} ({name})" for number, name in modes.items())
            raise HostToolError(Exit.FAILED, f"this board has no power mode {value}, but {there}")
        _do("nvpmodel", "-m", value)


class _Clocks(One):
    """jetson_clocks holds every clock at the most that the power mode allows; off lets the kernel choose."""

    def seen(self) -> str:
        return tegra.clocks()

    def former(self) -> str:
        seen = self.seen()
        if seen == "off":
            os.makedirs(os.path.dirname(CLOCKS), exist_ok=True)
            # where the file is there, jetson_clocks asks whether it may write it
            files.remove(CLOCKS)
            _do("jetson_clocks", "--store", CLOCKS)
        return seen

    def set(self, value: str) -> None:
        if value == "on":
            _do("jetson_clocks")
        elif os.path.exists(CLOCKS):
            _do("jetson_clocks", "--restore", CLOCKS)
        else:
            raise HostToolError(
                Exit.FAILED,
                "the clocks were held before us, and what they were is not known: start the board anew, and look what "
                "calls jetson_clocks",
            )

    def put_back(self, former: str) -> None:
        super().put_back(former)
        files.remove(CLOCKS)


class _Fan(One):
    """A speed from 0 to 255 that stays; off lets the kernel choose by the heat."""

    def seen(self) -> str:
        if tegra.number(f"{tegra.FAN}/temp_control"):
            return "off"
        speed = tegra.number(f"{tegra.FAN}/target_pwm")
        return tegra.UNKNOWN if speed is None else str(speed)

    def former(self) -> str:
        return f"{self.seen()} {tegra.number(f'{tegra.FAN}/target_pwm') or 0}"

    def set(self, value: str) -> None:
        _write(f"{tegra.FAN}/temp_control", "1" if value == "off" else "0")
        if value != "off":
            _write(f"{tegra.FAN}/target_pwm", value)

    def put_back(self, former: str) -> None:
        seen, _, speed = former.partition(" ")
        if seen == "off" and speed:
            # the kernel chooses anew when the heat changes, and not before: until then it is what it was
            _write(f"{tegra.FAN}/target_pwm", speed)
        super().put_back(seen)


class _Desktop(One):
    """Whether the board starts into a desktop; off ends one that runs."""

    LINK = f"{places.UNITS}/default.target"

    def seen(self) -> str:
        graphical = systemd.default_target() == "graphical.target"
        return "on" if graphical or self._runs() else "off"

    def former(self) -> str:
        return f"{files.link_target(self.LINK) or '-'} {'runs' if self._runs() else 'rests'}"

    def set(self, value: str) -> None:
        target = "graphical" if value == "on" else "multi-user"
        files.link(f"/lib/systemd/system/{target}.target", self.LINK)
        systemd.reload()
        if value == "off":
            systemd.stop(DISPLAY_MANAGER)
        else:
            systemd.start(DISPLAY_MANAGER)

    def put_back(self, former: str) -> None:
        target, _, state = former.rpartition(" ")
        if target == "-":
            files.remove(self.LINK)
        else:
            files.link(target, self.LINK)
        systemd.reload()
        if state == "runs":
            systemd.start(DISPLAY_MANAGER)
        elif self._runs():
            systemd.stop(DISPLAY_MANAGER)

    def _runs(self) -> bool:
        return systemd.asked("is-active", DISPLAY_MANAGER) == "active"


class _Swappiness(One):
    """How readily the kernel swaps, 0 to 100."""

    FILE = f"{places.PROC}/sys/vm/swappiness"

    def seen(self) -> str:
        return (files.read(self.FILE) or tegra.UNKNOWN).strip()

    def set(self, value: str) -> None:
        _write(self.FILE, value)


class _Swap(One):
    """A swap file of ours; it goes when it is put back, whatever the size."""

    def seen(self) -> str:
        return str(files.size(places.SWAP) >> 20) if os.path.realpath(places.SWAP) in _swaps() else "0"

    def former(self) -> str:
        return "0"

    def set(self, value: str) -> None:
        size = int(value)
        if os.path.realpath(places.SWAP) in _swaps():
            _do("swapoff", places.SWAP)
        if files.size(places.SWAP) >> 20 != size or not size:
            files.remove(places.SWAP)
            if size:
                self._make(size)
        if size:
            _do("swapon", places.SWAP)

    def _make(self, size: int) -> None:
        free = files.free_mb(places.ROOT)
        if free < size:
            raise HostToolError(Exit.NO_SPACE, f"{size} MB are declared, and {free} MB are free in {places.ROOT}")
        part = f"{places.SWAP}.part"
        files.remove(part)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size << 20)
        finally:
            os.close(descriptor)
        _do("mkswap", part)
        os.rename(part, places.SWAP)


class _Zram(One):
    """JetPack's swap in compressed memory."""

    def seen(self) -> str:
        return "on" if _zrams() else "off"

    def former(self) -> str:
        return f"{self.seen()} {systemd.asked('is-enabled', ZRAM) or 'missing'}"

    def set(self, value: str) -> None:
        if value == "on":
            systemd.enable(ZRAM)
            systemd.start(ZRAM)
            return
        systemd.stop_for_good(ZRAM)
        for device in _zrams():
            _do("swapoff", device)
            # a device that has a size refuses another one when the unit is started again
            with suppress(OSError):
                _write(f"{places.MACHINE}/sys/block/{os.path.basename(device)}/reset", "1")

    def put_back(self, former: str) -> None:
        seen, _, enabled = former.partition(" ")
        super().put_back(seen)
        if enabled == "enabled":
            systemd.enable(ZRAM)


SETTINGS: Mapping[str, One] = {
    "zram": _Zram(),
    "swapMb": _Swap(),
    "swappiness": _Swappiness(),
    "desktop": _Desktop(),
    "powerMode": _PowerMode(),
    "clocks": _Clocks(),
    "fan": _Fan(),
}
"""By name, in the order of `manifest.BOARD_SETTINGS`."""


def _swaps() -> list[str]:
    """Where the kernel swaps to."""
    return [line.split()[0] for line in (files.read(f"{places.PROC}/swaps") or "").splitlines()[1:] if line.strip()]


def _zrams() -> list[str]:
    return [device for device in _swaps() if device.startswith("/dev/zram")]


def _write(path: str, value: str) -> None:
    """Into a file of the kernel's, which must be there, and may be for writing only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, f"{value}\n".encode())
    finally:
        os.close(descriptor)


def _do(*command: str) -> None:
    status, said = run.output(*command, both=True)
    if status:
        told = "; ".join(say.last_lines(said, 3)) or "it said nothing"
        raise HostToolError(Exit.FAILED, f"`{' '.join(command)}` ended with {status}: {told}")
