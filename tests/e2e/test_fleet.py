"""Several boards through the real engine, as `make sandbox-fleet` shows them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import fleet as fleets
from sandbox.board import Board
from sandbox.engine import Pulumi
from sandbox.serving import NEVER
from tests.e2e import canary

ROOT = Path(__file__).parents[2]
FLEET = [sys.executable, "-m", "sandbox.fleet"]


@pytest.fixture
def fleet() -> Iterator[list[str]]:
    """The command that brings it up; it is taken away afterwards, and before, if a killed run left it."""
    subprocess.run([*FLEET, "down"], cwd=ROOT, check=True)
    yield [*FLEET, "up"]
    subprocess.run([*FLEET, "down"], cwd=ROOT, check=True)


@pytest.mark.fault(
    "fleet", "a sentence is half written", "its board loses its power", "another board ends it; the board comes back"
)
def test_a_sentence_outlives_its_board(fleet: list[str]) -> None:
    """If this fails, a board that dies takes with it what somebody was reading."""
    done = subprocess.run(fleet, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "which was killed, and ended by fleet-" in done.stdout
    shared = [one for one in fleets._stack().resources() if one["type"] == "pollex:index:Share"]
    models = [one["outputs"]["how"] for one in shared if one["urn"].endswith("-shared-model")]
    assert sorted(models) == ["downloaded", "received"]
    # the killed board has just come back: the gateway takes it in again when it answers
    deadline = time.monotonic() + NEVER
    while (seen := asked()).returncode:
        assert time.monotonic() < deadline, seen.stdout + seen.stderr
        time.sleep(1)
    machines = json.loads(seen.stdout)["machines"]
    assert {name: one["state"] for name, one in machines.items()} == dict.fromkeys(
        ("fleet-1", "fleet-2", "gateway"), "serving"
    )
    assert machines["gateway"]["requests"] >= 2
    assert sum(machines[name]["requests"] for name in ("fleet-1", "fleet-2")) >= 2
    secrets_stay_where_they_belong()


SECRETS = ("polish.apiKey", "polish.claudeApiKey", "polish.llamacppApiKey")
MEANT = re.compile(
    r"(/etc/pollex|/run/credentials/pollex-boards\.service)/(secrets\.env|boards\.key|key)"
    r"|/opt/pollex/generations/[^/]+/content/[0-9a-f]{64}"
)
"""The files on the gateway that are for secrets, and what a generation keeps of them for the way back."""


def secrets_stay_where_they_belong() -> None:
    """A part of the test above, as three boards are long to boot.

    If this fails, a secret of the stack, or the key with which the gateway reaches the boards, can be read by whoever
    sees a state, a log, a process list or a board.
    """
    made = {name: canary.made_up() for name in SECRETS}
    inside = fleets.KEY.read_text().splitlines()[4]  # of what its public half is no part
    needles = {form for secret in [*made.values(), inside] for form in canary.forms(secret)}
    stack = Pulumi(project=ROOT, stack=fleets.STACK, state=fleets.FOLDER / "state", config_file=fleets.FILE)
    said = ""
    with canary.Argv(needles) as argv:
        for name, secret in made.items():
            place = ["--path", f"pollex:{name}", "--config-file", str(fleets.FILE)]
            said += str(stack.run("config", "set", "--secret", *place, text=secret))
        said += str(stack.up())
        # and one that is refused with all secrets in its hands
        wrong = ["--path", "pollex:polish.memoryMb", "none", "--config-file", str(fleets.FILE)]
        stack.run("config", "set", *wrong)
        refused = stack.up(check=False)
        stack.run("config", "rm", "--path", "pollex:polish.memoryMb", "--config-file", str(fleets.FILE))
    assert refused.status != 0
    said += f"{refused}{stack.run('stack', 'export').stdout}{stack.outputs()}"
    assert argv.seen > 0
    assert argv.found == set()
    assert [needle for needle in needles if needle in said.encode()] == []
    assert canary.in_folder(fleets.FOLDER, needles, [fleets.KEY]) == []
    held = canary.on_board(Board(fleets.GATEWAY), needles)
    assert "/etc/pollex/secrets.env" in held, "nothing was searched"
    assert [place for place in held if not MEANT.fullmatch(place)] == []
    owners = Board(fleets.GATEWAY).run(f"stat -c '%a %U' {' '.join(held)}", user="root").stdout.splitlines()
    assert {owner for owner in owners if not owner.endswith(" haproxy")} == {"600 root"}
    for name in fleets.BOARDS:
        assert canary.on_board(Board(name), needles) == []
    for unit in ("pollex", "pollex-gateway", "pollex-boards"):
        limits = f"cat /proc/$(systemctl show -p MainPID --value {unit})/limits"
        (core,) = re.findall(r"Max core file size +(\S+)", Board(fleets.GATEWAY).run(limits, user="root").stdout)
        assert core == "0", f"a core dump of {unit} would hold people's texts and keys"


def asked() -> subprocess.CompletedProcess[str]:
    """What `make status` says of the fleet."""
    command = [sys.executable, "-m", "infra.status", fleets.STACK, "--file", str(fleets.FILE), "--json"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
