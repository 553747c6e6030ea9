"""A board with what a Nano has, imitated: set by a generation over real systemd, and as it was in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.manifest import File, Generation, Setting, Unit
from infra.kinds.host import units
from infra.kinds.host.boardspec import Board as Declared
from sandbox.board import Board
from sandbox.board.tegra import imitate
from tests.host.machine import Machine
from tests.host.test_files import digest

FAST = Declared(
    power_mode=0,
    clocks=True,
    fan=True,
    desktop=False,
    zram=False,
    swap_mb=8,
    swappiness=10,
    memory_high={"neighbour.service": "64M"},
)
DROP_IN = "/etc/systemd/system/neighbour.service.d/pollex-neighbour.service.conf"
FOUND = r"""
find /etc/systemd/system /opt -path /opt/pollex -prune -o -printf '%M %U %p %l\n' | sort
cat /var/lib/nvpmodel/status; jetson_clocks --show; cat /proc/sys/vm/swappiness /proc/swaps
cat /sys/devices/pwm-fan/*; systemctl get-default; systemctl is-active desktop nvzramconfig
systemctl is-enabled desktop nvzramconfig; systemctl show -p MemoryHigh neighbour
"""
"""What the board is like, apart from what is ours."""
STARTED = (
    ("ExecMainExitTimestampMonotonic", "nvpmodel"),
    ("ExecMainStartTimestampMonotonic", "pollex-board"),
)
NEIGHBOUR = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One board for all tests here; its power mode is the slow one, and it has a desktop."""
    with Board.temporary("host-tegra") as board:
        machine = Machine(board)
        imitate(board)
        machine.sh("nvpmodel -m 1; cat >/etc/systemd/system/neighbour.service", NEIGHBOUR.encode())
        machine.sh("systemctl daemon-reload; systemctl enable -q --now neighbour")
        yield machine


def generation(name: str, declared: Declared) -> str:
    """What sets this."""
    drop_ins = units.memory_high(declared).items()
    files = tuple(File(path=path, mode="644", sha256=digest(text), text=text) for path, text in drop_ins)
    unit = Unit(name=units.BOARD_UNIT, text=units.board_unit(), files=files)
    settings = tuple(Setting(*each) for each in units.board_settings(declared).items())
    return manifest.text(Generation(id=name, units=(unit,), settings=settings))


def live(machine: Machine) -> dict[str, str]:
    """The settings in the live map, and what belongs to them."""
    seen: dict[str, str] = machine.json("status --json")["live"]
    return {item: value for item, value in seen.items() if item != "generation"}


@pytest.fixture(scope="module")
def found(machine: Machine) -> str:
    """The board before anything was declared."""
    return machine.sh(FOUND, check=False)


@pytest.fixture(scope="module")
def right(machine: Machine, found: str) -> dict[str, str]:
    """The live map of a board that is set."""
    assert "graphical.target" in found
    return {item: value for item, value in machine.json("activate", generation("g1", FAST))["live"].items()
            if item != "generation"}  # fmt: skip


def test_the_board_is_set(machine: Machine, right: dict[str, str]) -> None:
    """If this fails, half of a board's speed stays unused although it was declared."""
    assert {item: value for item, value in right.items() if item.startswith("board ")} == {
        f"board {name}": value for name, value in units.board_settings(FAST).items()
    }
    shown = machine.sh("nvpmodel -q; jetson_clocks --show; cat /proc/swaps; systemctl get-default")
    assert "NV Power Mode: MAXN\n0" in shown
    assert "cpu3: Online=1 Governor=schedutil MinFreq=1428000 MaxFreq=1428000" in shown
    assert "Fan: speed=255" in shown
    assert "/opt/pollex/swap" in shown
    assert "zram" not in shown
    assert "multi-user.target" in shown
    assert machine.sh("systemctl is-active desktop", check=False) != "active"
    assert machine.sh("systemctl show -p MemoryHigh --value neighbour") == str(64 << 20)


def test_it_is_set_again_after_a_start(machine: Machine, right: dict[str, str]) -> None:
    """If this fails, a power cut makes a fast board a slow one, or brings the desktop back."""
    machine.board.reboot()
    assert live(machine) == right, machine.sh("journalctl -b --no-pager -u pollex-board -u nvpmodel")
    assert machine.json("activate", generation("g1", FAST))["changed"] == []
    order = machine.sh("systemctl show -p Before --value pollex-board")
    assert "llama-server.service" in order
    # nvpmodel lets go of the clocks, here as there
    before, after = (int(machine.sh(f"systemctl show -p {what} --value {unit}")) for what, unit in STARTED)
    assert before < after


@pytest.mark.parametrize(
    ("item", "command", "seen"),
    [
        ("board powerMode", "nvpmodel -m 1", "1"),
        ("board clocks", "echo 102000 >/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", "off"),
        ("board desktop", "systemctl start desktop", "on"),
        ("board zram", "systemctl start nvzramconfig", "on"),
        (f"file {DROP_IN}", f"rm {DROP_IN}", "missing"),
    ],
)
def test_drift_has_a_name(machine: Machine, right: dict[str, str], item: str, command: str, seen: str) -> None:
    """If this fails, somebody slows a board down and `pulumi preview --refresh --diff` shows nothing."""
    machine.sh(command)
    assert live(machine)[item] == seen
    assert item in machine.json("activate", generation("g1", FAST))["changed"]
    assert live(machine) == right


@pytest.mark.usefixtures("right")
def test_destroy_leaves_it_as_found(machine: Machine, found: str) -> None:
    """If this fails, a board that was given back runs hot for ever, or has lost its desktop."""
    machine.json("deactivate")
    assert machine.sh(FOUND, check=False) == found
