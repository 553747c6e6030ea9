"""What is declared of a board's speed reaches it, and what cannot be is said with its key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.core.report import ConfigError
from infra.kinds import table
from infra.kinds.fleet.spec import FleetStack
from infra.kinds.host import plan, units
from infra.kinds.host.component import needs
from infra.kinds.host.spec import HostStack
from infra.provider.preflight import judge
from tests.infra.conftest import values_of
from tests.infra.test_plan import host, made

Golden = Callable[[str, str], None]

BOARD = {
    "powerMode": 0,
    "clocks": True,
    "fan": 200,
    "desktop": False,
    "zram": False,
    "swapMb": 2048,
    "swappiness": 10,
    "memoryHigh": {"docker.service": "300M", "user.slice": "200M"},
}
SERVER = {"batch": 256, "microBatch": 128, "mlock": True, "unifiedMemory": True, "oomScoreAdjust": -500}


def fast(values: dict[str, Any]) -> dict[str, Any]:
    """The values with everything set that can be."""
    return {**values, "board": BOARD, "server": {**values["server"], **SERVER}}


def test_generated_files(values: dict[str, Any], golden: Golden) -> None:
    """If this fails, the board gets other settings than the ones that were reviewed."""
    planned = made(host(fast(values)))
    for name in (units.BOARD_UNIT, units.LLAMA_SERVER_UNIT, "pollex-docker.service.conf", "pollex-user.slice.conf"):
        golden(f"fast/{name}", planned.files[name])
    board = {item: value for item, value in planned.generation.live.items() if item.startswith("board ")}
    golden("fast/live.json", json.dumps(board, indent=2) + "\n")


def test_the_board_comes_before_the_server(values: dict[str, Any]) -> None:
    """If this fails, the model is loaded at the slow clocks, or is what runs out of memory before the desktop ends."""
    names = [unit.name for unit in made(host(fast(values))).generation.manifest.units]
    assert names.index(units.BOARD_UNIT) < names.index(units.LLAMA_SERVER_UNIT)


@pytest.mark.parametrize("board", [None, {}])
def test_unset_is_untouched(values: dict[str, Any], board: object) -> None:
    """If this fails, a stack that declares nothing of its board changes it all the same."""
    planned = made(host({**values, "board": board}))
    assert planned.generation.id == made(host(values)).generation.id
    assert units.BOARD_UNIT not in planned.files


@pytest.mark.parametrize(
    ("declared", "told"), [(True, "255"), (False, "off"), (0, "0"), (1, "1")], ids=["on", "off", "still", "slow"]
)
def test_a_fan_that_stands_is_not_one_that_is_let_go(values: dict[str, Any], declared: object, told: str) -> None:
    """If this fails, `fan: false` stops a fan, and a board cooks."""
    stack = host({**values, "board": {"fan": declared}})
    assert stack.board is not None
    assert units.board_settings(stack.board) == {"fan": told}


def test_everything_wrong_is_said_at_once(values: dict[str, Any]) -> None:
    """If this fails, somebody mends one setting a run."""
    wrong = {"powerMode": "MAXN", "fan": 300, "swappiness": 101, "swapMb": -1, "clock": True, "desktop": "off"}
    with pytest.raises(ConfigError) as caught:
        table.parse(
            {**values, "board": wrong, "server": {**values["server"], "microBatch": 4096, "oomScoreAdjust": -2000}},
            file="x",
        )
    keys = {problem.key.removeprefix("pollex:") for problem in caught.value.problems}
    assert {key.partition(".")[2].split(".")[0] for key in keys} == {*wrong, "oomScoreAdjust"}


def test_parts_that_do_not_fit_are_named(values: dict[str, Any]) -> None:
    """If this fails, llama-server ends at its start, after an hour of compiling."""
    own = {"pollex.service": "100M"}
    with pytest.raises(ConfigError) as caught:
        table.parse(
            {**values, "board": {"memoryHigh": own}, "server": {**values["server"], "microBatch": 4096}}, file="x"
        )
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"pollex:board.memoryHigh.pollex.service", "pollex:server.microBatch"}


def test_programs_that_are_not_there_are_named_before_anything_is_done(values: dict[str, Any]) -> None:
    """If this fails, a PC with `powerMode` compiles for an hour and then goes back."""
    wanted = needs(host(fast(values)), None)
    assert dict(wanted.programs) == {"nvpmodel": "pollex:board.powerMode", "jetson_clocks": "pollex:board.clocks"}
    found = judge({"noprogram": ["nvpmodel"], "systemd": ["yes"], "sudo": ["yes"], "uid": ["0"]}, wanted)
    told = {problem.setting: problem.text for problem in found}
    assert told["pollex:board.powerMode"] == "the host has no nvpmodel, which JetPack brings: leave this setting out"


def test_boards_of_a_fleet_differ() -> None:
    """If this fails, one hot board of a fleet cannot be kept cooler than the others."""
    values = values_of("fleet")
    values["board"] = {"powerMode": 0, "clocks": True}
    name = next(iter(values["hosts"]))
    values["hosts"][name]["board"] = {"powerMode": 1}
    stack = table.parse(values, file="x")
    assert isinstance(stack, FleetStack)
    told = {name: units.board_settings(board.board) for name, board in stack.boards.items() if board.board is not None}
    assert told.pop(name) == {"powerMode": "1", "clocks": "on"}
    assert told
    assert all(each == {"powerMode": "0", "clocks": "on"} for each in told.values())


def test_what_is_planned_can_be_asked_for(values: dict[str, Any]) -> None:
    """If this fails, `make preview` shows no setting of a board."""
    stack = host(fast(values))
    assert isinstance(stack, HostStack)
    assert units.BOARD_UNIT in plan.files(stack)
