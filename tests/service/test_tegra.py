"""What a board says of itself: by the service and by pollex-host alike, from an imitation of a Nano's files."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from infra import HOST_FOLDER
from pollex.app import create
from pollex.settings import Settings
from pollex.tegra import Tegra
from sandbox.board.tegra import furnish

HOT = {"thermal_zone1/temp": "97000", "cooling_device1/cur_state": "3"}
"""The CPU's zone, and cpu-balanced."""


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    """A Nano's files."""
    furnish(tmp_path)
    return tmp_path


def heat(nano: Path) -> None:
    """Make it too hot."""
    for file, value in HOT.items():
        (nano / "sys/devices/virtual/thermal" / file).write_text(f"{value}\n")


def metrics(machine: Path) -> dict[str, float]:
    """What /metrics says of the board."""

    async def asked() -> str:
        app = create(Settings(mock=True), machine)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pollex") as client:
            return (await client.get("/metrics")).text

    lines = [line for line in asyncio.run(asked()).splitlines() if line.startswith("pollex_board_")]
    pairs = (line.rpartition(" ")[::2] for line in lines if not line.startswith("pollex_board_answers"))
    return {name.removeprefix("pollex_board_"): float(value) for name, value in pairs}


def host_says(machine: Path, *arguments: str) -> str:
    """What `pollex-host status` says on it."""
    environment = {**os.environ, "POLLEX_MACHINE": str(machine), "POLLEX_ROOT": str(machine / "opt")}
    command = ["sh", str(HOST_FOLDER / "pollex-host"), "status", *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def test_a_board_says_how_it_is(nano: Path) -> None:
    """If this fails, a slow board does not say why."""
    said = metrics(nano)
    assert said.pop("memory_available_bytes") > 0
    assert said == {
        "power_mode": 0.0,
        "clocks_held": 0.0,
        "gpu_load_ratio": 0.0,
        "throttled": 0.0,
        'celsius{zone="AO-therm"}': 41.5,
        'celsius{zone="CPU-therm"}': 34.0,
        'celsius{zone="GPU-therm"}': 31.0,
        'celsius{zone="PLL-therm"}': 31.5,
        'celsius{zone="thermal-fan-est"}': 33.0,
    }


def test_both_readers_say_the_same(nano: Path) -> None:
    """If this fails, the board's metrics and its status contradict each other."""
    subprocess.run([nano / "programs/nvpmodel", "-m", "1"], env={"IMITATED_TEGRA": str(nano), **os.environ}, check=True)
    subprocess.run([nano / "programs/jetson_clocks"], env={"IMITATED_TEGRA": str(nano), **os.environ}, check=True)
    heat(nano)
    told, said = json.loads(host_says(nano, "--json"))["board"], metrics(nano)
    assert (told["powerMode"], told["powerModeName"], told["clocks"]) == ("1", "5W", "on")
    assert (said["power_mode"], said["clocks_held"], said["throttled"]) == (1.0, 1.0, 1.0)
    assert told["throttling"] == Tegra(nano).throttling() == ["cpu-balanced"]
    assert told["cpuCelsius"] == said['celsius{zone="CPU-therm"}'] == 97.0
    assert told["gpuCelsius"] == said['celsius{zone="GPU-therm"}']


def test_a_hot_board_says_since_when(nano: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If this fails, nobody can tell whether a board was slow because it was hot when a text took long."""
    board = Tegra(nano)
    board.look(1000.0)
    assert board.since is None
    heat(nano)
    for now in (1005.0, 1010.0):
        board.look(now)
        assert board.since == 1005.0
    assert [record.message for record in caplog.records] == ["the board is too hot and slows down"]
    (nano / "sys/devices/virtual/thermal/cooling_device1/cur_state").write_text("0\n")
    board.look(1015.0)
    assert board.since is None


def test_people_are_told_why(nano: Path) -> None:
    """If this fails, `pollex-host status` lists hashes and does not say that the board is too hot."""
    heat(nano)
    said = host_says(nano)
    assert "power mode 0 (MAXN), clocks chosen by the kernel, CPU 97 °C, GPU 31 °C" in said
    assert "throttled at 97 °C, by cpu-balanced: cool it" in said


@pytest.mark.parametrize("device", [0, 5, 6])
def test_a_fan_that_turns_is_no_throttling(nano: Path, device: int) -> None:
    """If this fails, every board is called too hot: its fan and what only follows the heat count as well."""
    (nano / f"sys/devices/virtual/thermal/cooling_device{device}/cur_state").write_text("2\n")
    assert Tegra(nano).throttling() == []


def test_another_machine_says_nothing(tmp_path: Path) -> None:
    """If this fails, a laptop's metrics are full of what only a Jetson has."""
    assert metrics(tmp_path) == {}
    assert "board" not in json.loads(host_says(tmp_path, "--json"))
