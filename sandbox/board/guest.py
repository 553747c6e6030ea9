"""The processes of one stand-in board: power on, poweroff, reboot, power cut."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.machine import SandboxError, run
from sandbox.serving import NEVER

_BOOT = Path(__file__).with_name("boot.sh")
_HIERARCHIES = [Path("/sys/fs/cgroup", name) for name in ("", "systemd", "unified")]

POWEROFF = signal.SIGRTMIN + 4
"""Asks systemd as PID 1 for an orderly poweroff (systemd(1), SIGNALS)."""
REBOOT = signal.SIGRTMIN + 5
"""Asks systemd as PID 1 for an orderly reboot."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What runs in the control group `pollex-<index>`, made by `boot.sh`."""

    index: int

    @property
    def name(self) -> str:
        """Of the control group, and of the guest towards systemd-nspawn."""
        return f"pollex-{self.index}"

    def processes(self) -> set[int]:
        """Every process of the board: boot.sh, systemd-nspawn and the guest's own."""
        found = set()
        # os.walk passes over groups that go away while we look.
        for group in self._groups():
            for folder, _, _ in os.walk(group):
                with suppress(OSError):
                    found |= {int(line) for line in Path(folder, "cgroup.procs").read_text().split()}
        return found - {0}

    def init(self) -> int | None:
        """The guest's PID 1, by this machine's numbering; None while there is none."""
        for pid in self.processes():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            # The line reads NSpid, its number here, its number inside.
            inside = next((line.split()[2:] for line in status.splitlines() if line.startswith("NSpid:")), [])
            if inside == ["1"]:
                return pid
        return None

    def supervised(self) -> bool:
        """Whether boot.sh is there to answer a reboot."""
        return any(str(_BOOT) in _arguments(pid) for pid in self.processes())

    def boot(self, folder: Path, hostname: str) -> None:
        """Power on; returns at once. The console goes to `console.log` in the board's folder."""
        run(["sh", _BOOT, folder, str(self.index), hostname])

    def ask(self, what: signal.Signals | int) -> None:
        """Send the guest's systemd one of the signals above.

        Raises:
            SandboxError: the board is off.
        """
        if (pid := self.init()) is None:
            raise SandboxError(f"{self.name} is off")
        os.kill(pid, what)

    def wait_off(self, seconds: float) -> bool:
        """Wait until no process is left; False after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def kill(self) -> None:
        """Cut the power: no process gets a chance to do anything. Nothing happens when it is off.

        Raises:
            SandboxError: something goes on surviving SIGKILL.
        """
        deadline = time.monotonic() + NEVER
        # Again and again: what is killed later may have forked meanwhile, and a group stays busy while processes die.
        while any(group.exists() for group in self._groups()):
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for group in self._groups():
                for folder, _, _ in os.walk(group, topdown=False):
                    with suppress(OSError):
                        Path(folder).rmdir()
            if time.monotonic() > deadline:
                raise SandboxError(f"{self.name}: processes {sorted(self.processes())} survive SIGKILL")
            time.sleep(0.01)

    def _groups(self) -> list[Path]:
        """The control groups that boot.sh may have made, whether or not they exist."""
        return [hierarchy / self.name for hierarchy in _HIERARCHIES]


def _arguments(pid: int) -> list[str]:
    """A process's command line, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
