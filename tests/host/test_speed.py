"""What is set of a board: in force, named when it drifts, and put back; against an imitation of a Nano's files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import board, manifest
from infra.hosttools.pollex_host.manifest import Generation, ManifestError, Setting
from sandbox.board.tegra import furnish
from tests.host.conftest import Host
from tests.host.test_files import SYSTEMCTL

FAST = {"swapMb": "4", "swappiness": "10", "powerMode": "0", "clocks": "on", "fan": "255"}
FOUND = {"swapMb": "0", "swappiness": "60", "powerMode": "1", "clocks": "off", "fan": "off"}


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    """A Nano's files; its power mode is the slow one."""
    folder = tmp_path / "nano"
    folder.mkdir()
    return folder


@pytest.fixture
def host(tmp_path: Path, nano: Path) -> Host:
    """The tools on it, with a systemctl that says nothing."""
    made = Host(tmp_path / "host")
    made.environment |= furnish(nano)
    (nano / "programs/systemctl").write_text(SYSTEMCTL)
    (nano / "programs/systemctl").chmod(0o755)
    Path(made.environment["POLLEX_UNIT_DIR"]).mkdir(parents=True)
    (nano / "var/lib/nvpmodel").mkdir(parents=True)
    call(nano, "nvpmodel", "-m", "1")
    return made


def call(nano: Path, program: str, *words: str) -> None:
    """Run one of the imitated programs, as somebody on the board does."""
    subprocess.run([nano / "programs" / program, *words], env={**os.environ, "IMITATED_TEGRA": str(nano)}, check=True)


def declared(name: str, values: dict[str, str]) -> str:
    """A generation that sets this."""
    return manifest.text(Generation(id=name, settings=tuple(Setting(*each) for each in values.items())))


def seen(host: Host) -> dict[str, str]:
    """The settings in the live map."""
    live = host.json("status", "--json")["live"]
    return {item.partition(" ")[2]: value for item, value in live.items() if item.startswith("board ")}


def state(nano: Path) -> str:
    """All that the kernel and JetPack remember, as one hash."""
    files = sorted(file for folder in ("sys", "proc", "var") for file in (nano / folder).rglob("*") if file.is_file())
    return sha256(b"".join(str(file).encode() + file.read_bytes() for file in files)).hexdigest()


def test_a_fan_alone_is_put_back(host: Host, nano: Path) -> None:
    """If this fails, a board that was given back blows at full speed until its heat changes."""
    (nano / "sys/devices/pwm-fan/target_pwm").write_text("60\n")
    before = state(nano)
    host.json("activate", stdin=declared("g1", {"fan": "255"}))
    assert state(nano) != before
    host.json("deactivate")
    assert state(nano) == before


def test_it_is_set_and_put_back(host: Host, nano: Path) -> None:
    """If this fails, a board is not as fast as declared, or `destroy` leaves it at full speed for ever."""
    before = state(nano)
    answer = host.json("activate", stdin=declared("g1", FAST))
    assert {item for item in answer["changed"] if item.startswith("board ")} == {f"board {name}" for name in FAST}
    assert seen(host) == FAST
    clocks = nano / "sys/devices/gpu.0/devfreq/57000000.gpu/min_freq"
    # those of the mode that was declared, not of the one that was found
    assert clocks.read_text() == "921600000\n"
    assert host.json("activate", stdin=declared("g1", FAST))["changed"] == []
    host.json("deactivate")
    assert state(nano) == before
    assert not (host.root / "displaced").exists()
    assert not (host.root / "swap").exists()


def test_what_is_no_longer_declared_is_put_back(host: Host) -> None:
    """If this fails, a setting that was taken out of the stack file stays in force."""
    host.json("activate", stdin=declared("g1", FAST))
    answer = host.json("activate", stdin=declared("g2", {"powerMode": "0"}))
    assert sorted(answer["changed"]) == ["board clocks", "board fan", "board swapMb", "board swappiness", "generation"]
    host.json("activate", stdin=declared("g3", dict.fromkeys(("clocks", "fan"), "off")))
    assert seen(host) == {"clocks": "off", "fan": "off"}
    assert (host.root / "displaced/claims.json").read_text().count('"powerMode"') == 0


@pytest.mark.parametrize(
    ("name", "value"), [("powerMode", "1"), ("clocks", "off"), ("fan", "80"), ("swappiness", "70")]
)
def test_drift_is_named_and_mended(host: Host, nano: Path, name: str, value: str) -> None:
    """If this fails, a board that somebody slowed down stays slow, and nothing says why."""
    host.json("activate", stdin=declared("g1", FAST))
    gpu, fan = nano / "sys/devices/gpu.0/devfreq/57000000.gpu", nano / "sys/devices/pwm-fan/target_pwm"
    {
        "powerMode": lambda: (nano / "var/lib/nvpmodel/status").write_text("pmode:0001\n"),
        "clocks": lambda: (gpu / "min_freq").write_text("76800000\n"),
        "fan": lambda: fan.write_text("80\n"),
        "swappiness": lambda: (nano / "proc/sys/vm/swappiness").write_text("70\n"),
    }[name]()
    assert seen(host) == {**FAST, name: value}
    assert host.json("activate", stdin=declared("g1", FAST))["changed"] == [f"board {name}"]
    assert seen(host) == FAST


def test_a_start_of_the_board_sets_it_again(host: Host, nano: Path) -> None:
    """If this fails, a board is slow after every power cut, because the kernel remembers none of it."""
    host.json("activate", stdin=declared("g1", FAST))
    furnished = furnish_again(nano)
    assert furnished["swappiness"] == "60"
    # a unit of the system has no HOME, which jetson_clocks asks for
    host.environment.pop("HOME", None)
    done = host.run("board")
    assert done.returncode == 0, done.stderr
    assert seen(host) == FAST
    host.json("deactivate")
    assert (nano / "proc/sys/vm/swappiness").read_text() == "60\n"


def test_a_start_sets_what_it_can(host: Host, nano: Path) -> None:
    """If this fails, a board whose clocks cannot be held after a start runs without its fan as well."""
    host.json("activate", stdin=declared("g1", FAST))
    furnish_again(nano)
    # as NVIDIA's does where the GPU's device is not there yet
    (nano / "programs/jetson_clocks").write_text("#!/bin/sh\necho 'Error: Unknown GPU Type!'\nexit 1\n")
    (nano / "proc/sys/vm/swappiness").unlink()
    done = host.run("board")
    assert done.returncode == 1
    assert "pollex:board.clocks: `jetson_clocks` ended with 1: Error: Unknown GPU Type!" in done.stderr
    assert "pollex:board.swappiness" in done.stderr
    assert seen(host) == {**FAST, "clocks": "off", "swappiness": "unknown"}


def furnish_again(nano: Path) -> dict[str, str]:
    """The kernel's files as after a start; what JetPack keeps stays."""
    shutil.rmtree(nano / "programs")
    furnish(nano)
    (nano / "programs/systemctl").write_text(SYSTEMCTL)
    (nano / "programs/systemctl").chmod(0o755)
    return {"swappiness": (nano / "proc/sys/vm/swappiness").read_text().strip()}


def test_what_the_board_refuses_is_taken_back(host: Host, nano: Path) -> None:
    """If this fails, a mode that a board does not have leaves it half set, or without a server."""
    host.json("activate", stdin=declared("g1", {"powerMode": "0"}))
    before = state(nano)
    done = host.run("activate", stdin=declared("g2", {"powerMode": "7", "swappiness": "10"}))
    assert done.returncode == 7
    assert "pollex:board.powerMode: this board has no power mode 7, but 0 (MAXN), 1 (5W)" in done.stderr
    assert "returned to g1, which is healthy" in done.stderr
    assert state(nano) == before
    assert seen(host) == {"powerMode": "0"}


def test_clocks_that_others_hold_are_not_let_go(host: Host, nano: Path) -> None:
    """If this fails, `clocks: false` claims to have freed clocks whose former state nobody knows."""
    call(nano, "jetson_clocks")
    done = host.run("activate", stdin=declared("g1", {"clocks": "off"}))
    assert done.returncode == 7
    assert "held before us" in done.stderr


def test_a_machine_that_is_no_tegra_says_so(tmp_path: Path) -> None:
    """If this fails, a PC with a Jetson's stack file ends in a traceback."""
    host = Host(tmp_path / "host")
    host.environment["POLLEX_MACHINE"] = str(tmp_path / "nothing")
    done = host.run("activate", stdin=declared("g1", {"fan": "255"}))
    assert done.returncode == 7
    assert "pollex:board.fan" in done.stderr
    assert "this board does not have it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ['{"name":"fan","value":"fast"}', '{"name":"color","value":"on"}'])
def test_what_cannot_be_set_is_refused(text: str) -> None:
    """If this fails, a misspelt setting is taken for one that was set."""
    with pytest.raises(ManifestError, match="settings"):
        manifest.parse(json.dumps({"kind": "generation", "id": "g", "settings": [json.loads(text)]}))


def test_one_list_of_settings() -> None:
    """If this fails, something can be declared that no host knows how to set, or in another order."""
    assert tuple(board.SETTINGS) == tuple(manifest.BOARD_SETTINGS)
