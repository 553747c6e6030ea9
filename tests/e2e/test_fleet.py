"""Several boards through the real engine, as `make sandbox-fleet` shows them; all tests share one fleet, in order.

What needs no systemd and no engine is in tests/service/test_boards.py.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.kinds.fleet import units
from sandbox import fleet as fleets
from sandbox.board import Board
from sandbox.crowd import Crowd, ask, by_board
from sandbox.deployment import UNIT
from sandbox.engine import Result
from sandbox.fleet import FLEET, PERSONS
from sandbox.machine import run
from sandbox.serving import NEVER
from tests.certificates import certify
from tests.e2e import canary
from tests.e2e.standby import standing_by
from tests.waiting import read_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sandbox.fleet"]
MACHINES = (*FLEET.boards, "gateway")
STATISTICS = units.statistics(9100)

pytestmark = pytest.mark.timeout(3600)


class Fleet:
    """Three boards and a gateway, and the stack that declares them."""

    def __init__(self, said: str) -> None:
        self.said = said
        """What `make sandbox-fleet` printed."""
        self.gateway = Board(FLEET.gateway)
        self.boards = [Board(name) for name in FLEET.boards]
        self.stack = FLEET.pulumi
        declared = self.stack.outputs()
        self.page, self.model = str(declared["page"]), str(declared["model"])

    def answers(self) -> bool:
        """Whether a sentence is polished."""
        return ask(self.page, self.model).wrong == ""

    def up(self) -> Result:
        """`pulumi up` that has to go well."""
        return self.stack.up("--continue-on-error")

    def unchanged(self) -> None:
        """Every machine is as declared, as each says itself."""
        assert self.stack.preview("--refresh").changes == {}

    def status(self) -> subprocess.CompletedProcess[str]:
        """What `make status` says."""
        command = [sys.executable, "-m", "infra.status", FLEET.stack, "--file", str(FLEET.file), "--json"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    def serves(self) -> dict[str, Any]:
        """What it says of the machines, once all serve: a board that came back is taken in when it answers."""
        seen = [self.status()]
        wait_until(lambda: _next(seen, self.status).returncode == 0, lambda: f"service: {seen[-1].stdout}")
        return dict(json.loads(seen[-1].stdout)["machines"])

    def server(self, name: str) -> dict[str, str]:
        """What HAProxy says of a board."""
        asked = self.gateway.run(f"curl -sS --fail '127.0.0.1:{STATISTICS}/;csv'").stdout
        lines = asked.removeprefix("# ").splitlines()
        rows = [dict(zip(lines[0].split(","), line.split(","), strict=False)) for line in lines[1:]]
        return next(row for row in rows if (row["pxname"], row["svname"]) == ("boards", name))

    def least_up(self) -> int:
        """Of the boards that HAProxy had at a time since it first had all, the fewest."""
        told = self.gateway.run(f"journalctl -q -o cat -u {units.GATEWAY_UNIT}", user="root").stdout
        left = [int(count) for count in re.findall(r"Server boards/\S+ is .* (\d+) active and", told)]
        every = len(self.boards)
        return min(left[left.index(every) :] if every in left else left, default=every)

    def main_pid(self, unit: str) -> str:
        """Of a unit on the gateway."""
        return self.gateway.run(f"systemctl show -p MainPID --value {unit}").stdout.strip()


def _next(
    seen: list[subprocess.CompletedProcess[str]], ask: Callable[[], subprocess.CompletedProcess[str]]
) -> subprocess.CompletedProcess[str]:
    seen.append(ask())
    return seen[-1]


def wait_until(true: Callable[[], bool], what: Callable[[], str] = lambda: "it") -> None:
    """Come back when it is so; only what would never come fails here."""
    deadline = time.monotonic() + NEVER
    while not true():
        assert time.monotonic() < deadline, f"{what()} did not come"
        time.sleep(0.2)


@contextmanager
def crowd(fleet: Fleet) -> Iterator[Crowd]:
    """People who ask all the while; each of them has to be answered rightly."""
    made = Crowd(fleet.page, fleet.model, PERSONS)
    with made.asking():
        yield made
    assert made.wrong == []


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """As `make sandbox-fleet` brings it up; it is taken away afterwards, and before, if a killed run left it."""
    subprocess.run([*COMMAND, "down"], cwd=ROOT, check=True)
    try:
        done = subprocess.run([*COMMAND, "up"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Fleet(done.stdout + done.stderr)
    finally:
        subprocess.run([*COMMAND, "down"], cwd=ROOT, check=True)


@pytest.mark.fault(
    "fleet", "a sentence is half written", "its board loses its power", "another board ends it; the board comes back"
)
def test_a_sentence_outlives_its_board(fleet: Fleet) -> None:
    """If this fails, a board that dies takes with it what somebody was reading."""
    assert "which was killed, and ended by fleet-" in fleet.said
    shared = [one for one in fleet.stack.resources() if one["type"] == "pollex:index:Share"]
    models = [one["outputs"]["how"] for one in shared if one["urn"].endswith("-shared-model")]
    assert sorted(models) == ["downloaded", "received", "received"]
    machines = fleet.serves()
    assert {name: one["state"] for name, one in machines.items()} == dict.fromkeys(MACHINES, "serving")
    assert machines["gateway"]["requests"] >= 2
    assert sum(machines[name]["requests"] for name in FLEET.boards) >= 2


def context(board: Board) -> str:
    """Tokens that a board's llama-server has room for, as its process was told."""
    told = board.run(f"tr '\\0' ' ' </proc/$(systemctl show -p MainPID --value {UNIT})/cmdline", user="root").stdout
    (size,) = re.findall(r" -c (\d+)", told)
    return str(size)


def test_all_boards_were_changed_under_load(fleet: Fleet) -> None:
    """If this fails, an update takes more than one board away at a time, or somebody's request with it."""
    assert re.search(r"\d+ polished meanwhile and none failed: fleet-1 \d+, fleet-2 \d+, fleet-3 \d+;", fleet.said)
    steps = re.findall(r"^(fleet-\d): (restarting|live)$", fleet.said, re.MULTILINE)
    assert {board for board, _ in steps} == set(FLEET.boards)
    assert fleets.apart(steps), fleet.said
    assert {context(board) for board in fleet.boards} == {str(FLEET.context())} == {str(fleets.CONTEXTS[1])}
    assert fleet.least_up() >= 2  # one lost its power, too
    fleet.unchanged()


SECRETS = ("polish.apiKey", "polish.claudeApiKey", "polish.llamacppApiKey")
MEANT = re.compile(
    r"(/etc/pollex|/run/credentials/pollex-(boards|gateway)\.service)"
    r"/(secrets\.env|boards\.key|gateway\.pem|key|certificate)"
    r"|/opt/pollex/generations/[^/]+/content/[0-9a-f]{64}"
)
"""The files on the gateway that are for secrets, and what a generation keeps of them for the way back."""


def test_secrets_stay_where_they_belong(fleet: Fleet) -> None:
    """If this fails, whoever sees a state, a log, a process list or a board can read a secret, or a key of the gateway.

    Or https is declared, and nobody is reached by it.
    """
    own, tls_key = certify("gateway", fleet.gateway.address)
    tls = {"certificateFile": own, "keyFile": tls_key}
    made = {name: canary.made_up() for name in SECRETS}
    inside = [FLEET.key.read_text().splitlines()[4], tls_key.splitlines()[2]]  # of what the public halves are no part
    needles = {form for secret in [*made.values(), *inside] for form in canary.forms(secret)}
    said = ""
    with canary.Argv(needles) as argv:
        for name, secret in made.items():
            place = ["--path", f"pollex:{name}", "--config-file", str(FLEET.file)]
            said += str(fleet.stack.run("config", "set", "--secret", *place, text=secret))
        for setting, text in tls.items():
            (FLEET.folder / setting).write_text(text)
            FLEET.set(f"gateway.tls.{setting}", FLEET.folder / setting)
        FLEET.set("polish.host", "127.0.0.1")
        said += str(fleet.stack.up())
        # and one that is refused with all secrets in its hands
        FLEET.set("polish.memoryMb", "none")
        refused = fleet.stack.up(check=False)
        fleet.stack.run("config", "rm", "--path", "pollex:polish.memoryMb", "--config-file", str(FLEET.file))
    assert refused.status != 0
    said += f"{refused}{fleet.stack.run('stack', 'export').stdout}{fleet.stack.outputs()}"
    page = fleet.stack.outputs()["page"]
    assert page == f"https://{fleet.gateway.address}"
    trusts = ssl.create_default_context(cadata=own)
    httpx.get(page, verify=trusts, timeout=NEVER, trust_env=False).raise_for_status()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{fleet.gateway.address}:8090", timeout=NEVER, trust_env=False)
    assert argv.seen > 0
    assert argv.found == set()
    assert [needle for needle in needles if needle in said.encode()] == []
    assert canary.in_folder(FLEET.folder, needles, [FLEET.key, FLEET.folder / "keyFile"]) == []
    held = canary.on_board(fleet.gateway, needles)
    assert "/etc/pollex/secrets.env" in held, "nothing was searched"
    assert [place for place in held if not MEANT.fullmatch(place)] == []
    owners = fleet.gateway.run(f"stat -c '%a %U' {' '.join(held)}", user="root").stdout.splitlines()
    assert {owner for owner in owners if not owner.endswith(" haproxy")} == {"600 root"}
    for board in fleet.boards:
        assert canary.on_board(board, needles) == []
    for unit in ("pollex", "pollex-gateway", "pollex-boards"):
        limits = f"cat /proc/$(systemctl show -p MainPID --value {unit})/limits"
        (core,) = re.findall(r"Max core file size +(\S+)", fleet.gateway.run(limits, user="root").stdout)
        assert core == "0", f"a core dump of {unit} would hold people's texts and keys"
    # what follows asks as anybody
    for name in (*SECRETS, "gateway.tls", "polish.host"):
        fleet.stack.run("config", "rm", "--path", f"pollex:{name}", "--config-file", str(FLEET.file))
    fleet.up()
    assert fleet.answers()


@contextmanager
def cut_off(board: Board) -> Iterator[None]:
    """No packet passes between a board and the other machines, and nobody is told."""
    rules = [["FORWARD", way, f"{board.address}/32", "-j", "DROP"] for way in ("-s", "-d")]
    try:
        for rule in rules:
            run(["iptables", "-w", "-I", *rule])
        yield
    finally:
        for rule in rules:
            run(["iptables", "-w", "-D", *rule])


@pytest.mark.fault(
    "fleet",
    "three boards under load",
    "all packets to one are dropped",
    "the others answer every request; it is taken in again",
)
def test_a_board_is_cut_off(fleet: Fleet) -> None:
    """If this fails, a pulled cable is a sentence that never ends."""
    cut, *others = FLEET.boards
    with crowd(fleet) as people:
        with cut_off(fleet.boards[0]):
            wait_until(lambda: fleet.server(cut)["status"] == "DOWN", lambda: "HAProxy's notice")
            assert cut not in by_board(people.answered_by(others))
        people.answered_by(FLEET.boards)
    fleet.serves()


@pytest.mark.fault(
    "fleet", "three boards under load", "HAProxy is killed", "its unit starts it again; every request is answered"
)
def test_haproxy_is_killed(fleet: Fleet) -> None:
    """If this fails, a crash of HAProxy is the end of the fleet until somebody looks."""
    with crowd(fleet) as people:
        for _ in range(2):
            former = fleet.main_pid(units.GATEWAY_UNIT)
            fleet.gateway.run(f"systemctl kill -s KILL {units.GATEWAY_UNIT}", user="root")
            wait_until(
                lambda former=former: fleet.main_pid(units.GATEWAY_UNIT) not in ("0", former),  # type: ignore[misc]
                lambda: "another HAProxy",
            )
            people.more()
    fleet.serves()


def killed_in_mid_sentence(fleet: Fleet) -> None:
    """Read an answer whose service is killed after the first words.

    Raises:
        httpx.TransportError: it broke off.
    """
    # so long that it is not over before the kill has come through
    body = {"text": "\n\n".join([fleets.TEXT] * 12), "model_id": fleet.model, "stream": True}
    alive = True
    with (
        standing_by(fleet.gateway, "systemctl kill -s KILL pollex.service") as kill,
        httpx.stream("POST", f"{fleet.page}/api/polish", json=body, timeout=NEVER, trust_env=False) as answer,
    ):
        for line in answer.iter_lines():
            if line == "event: delta" and alive:
                alive = False
                kill()


@pytest.mark.fault(
    "fleet",
    "a sentence is half written",
    "the service is killed",
    "its unit starts it again, no board goes on writing, whoever asks again is answered",
)
def test_the_service_is_killed(fleet: Fleet) -> None:
    """If this fails, a crash of the service leaves boards busy with answers that nobody gets."""
    with pytest.raises(httpx.TransportError):
        killed_in_mid_sentence(fleet)
    wait_until(fleet.answers, lambda: "the service")
    wait_until(
        lambda: {fleet.server(name)["scur"] for name in FLEET.boards} == {"0"}, lambda: "the end of the boards' work"
    )
    fleet.serves()
    fleet.unchanged()


@pytest.mark.fault(
    "fleet", "a fleet serves", "the gateway reboots, or loses its power", "it serves again by itself, as declared"
)
@pytest.mark.parametrize("how", ["reboot", "power"])
def test_the_gateway_goes_away(fleet: Fleet, how: str) -> None:
    """If this fails, a power cut of one small machine needs an operator."""
    if how == "reboot":
        fleet.gateway.reboot()
    else:
        fleet.gateway.kill()
        fleet.gateway.start()
        fleet.gateway.wait_ready()
    wait_until(fleet.answers, lambda: "an answer")
    fleet.serves()
    fleet.unchanged()


@pytest.mark.fault(
    "roll",
    "three boards under load",
    "one loses its power in the middle of its change",
    "every request is answered; the others are changed one after another, and up again changes the one",
)
def test_power_is_cut_in_the_middle_of_a_roll(fleet: Fleet) -> None:
    """If this fails, a power cut during an update leaves boards that need somebody's hand."""
    FLEET.set("server.context", 1024)
    with crowd(fleet) as people:
        process = fleet.stack.popen_up("--continue-on-error")
        seen = read_until(rf"fleet-\d-generation.*restarting {re.escape(UNIT)}", process.stdout)
        (hit,) = (board for board in fleet.boards if f"{board.name}-generation" in seen[-1])
        others = [board for board in fleet.boards if board is not hit]
        hit.kill()
        rest, _ = process.communicate()
        said = "".join(seen) + rest
        assert process.returncode != 0, said
        assert re.search(rf"{hit.name}-generation.*failed|{re.escape(hit.address)}", said), said
        _, *done = fleets.steps(said.splitlines())
        assert fleets.apart(done), said
        assert {board for board, _ in done} == {board.name for board in others}
        assert {context(board) for board in others} == {"1024"}, said
        wait_until(lambda: fleet.server(hit.name)["status"] == "DOWN", lambda: "HAProxy's notice")
        assert hit.name not in by_board(people.answered_by([board.name for board in others]))
        hit.start()
        hit.wait_ready()
        again = fleet.up()
        assert {name for name, step in again.steps.items() if step == "update"} == {f"{hit.name}-generation"}
        assert context(hit) == "1024"
        people.answered_by(FLEET.boards)
    fleet.serves()
    fleet.unchanged()


SMALL = """
set -e
mkdir -p /mnt/small
mount -t tmpfs -o size=$(($(du -sm /opt/pollex | cut -f1) + 2))m small /mnt/small
cp -a /opt/pollex/. /mnt/small
mount --bind /mnt/small /opt/pollex
cat /dev/zero >/opt/pollex/filled 2>/dev/null || true
df --output=avail /opt/pollex | tail -n 1
"""
"""Lets the gateway's store lie on a file system of its own, which is full."""


@pytest.mark.fault(
    "fleet",
    "a fleet serves",
    "the gateway's disk is full, and it is changed and restarted",
    "up fails and says why; it serves as before, and is changed when there is room",
)
def test_the_gateways_disk_is_full(fleet: Fleet) -> None:
    """If this fails, a full disk takes the page away, or leaves half a generation that up cannot mend."""
    before = fleet.serves()["gateway"]["generation"]
    assert fleet.gateway.run(SMALL, user="root").stdout.split()[-1] == "0"
    FLEET.set("polish.settings.queue_length", "99")
    with crowd(fleet):
        refused = fleet.stack.up("--continue-on-error", check=False)
    assert refused.status != 0
    assert "no space left" in refused.stdout + refused.stderr
    fleet.gateway.run(f"systemctl restart {units.FORWARDS_UNIT} {units.GATEWAY_UNIT} pollex.service", user="root")
    wait_until(fleet.answers, lambda: "an answer")
    fleet.gateway.run("rm /opt/pollex/filled", user="root")
    assert fleet.up().changes == {"update": 1}
    assert fleet.answers()
    assert fleet.serves()["gateway"]["generation"] != before
    fleet.unchanged()
