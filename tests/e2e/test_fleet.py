"""Several boards through the real engine, as `make sandbox-fleet` shows them; all tests share one fleet, in order.

What needs no systemd and no engine is in tests/service/test_boards.py.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import threading
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
from sandbox.engine import Result
from sandbox.machine import run
from sandbox.serving import NEVER
from tests.certificates import certify
from tests.e2e import canary

ROOT = Path(__file__).parents[2]
FLEET = [sys.executable, "-m", "sandbox.fleet"]
MACHINES = (*fleets.BOARDS, "gateway")
SENTENCE = "She go to the libary yesterday."
PERSONS = 3
SERVER = "llama-server.service"
STATISTICS = units.statistics(9100)

pytestmark = pytest.mark.timeout(3600)


class Fleet:
    """Two boards and a gateway, and the stack that declares them."""

    def __init__(self, said: str) -> None:
        self.said = said
        """What `make sandbox-fleet` printed."""
        self.gateway = Board(fleets.GATEWAY)
        self.boards = [Board(name) for name in fleets.BOARDS]
        self.stack = fleets.stack()
        declared = self.stack.outputs()
        self.page, self.model = str(declared["page"]), str(declared["model"])

    def polish(self, *, streamed: bool = False) -> str:
        """What is wrong with the answer to a sentence, or nothing."""
        body = {"text": SENTENCE, "model_id": self.model, "stream": streamed, "changes": True}
        try:
            answer = httpx.post(f"{self.page}/api/polish", json=body, timeout=NEVER, trust_env=False)
            told = json.loads(answer.text.rpartition("data: ")[2]) if streamed else answer.json()
        except (httpx.HTTPError, ValueError) as error:
            return repr(error)
        return "" if answer.status_code == 200 and "library" in told.get("polished", "") else answer.text

    def answers(self) -> bool:
        """Whether a sentence is polished."""
        return self.polish() == ""

    def set(self, place: str, value: str) -> None:
        """Set a value of the stack file."""
        self.stack.run("config", "set", "--path", f"pollex:{place}", value, "--config-file", str(fleets.FILE))

    def up(self) -> Result:
        """`pulumi up` that has to go well."""
        return self.stack.up("--continue-on-error")

    def unchanged(self) -> None:
        """Every machine is as declared, as each says itself."""
        assert self.stack.preview("--refresh").changes == {}

    def status(self) -> subprocess.CompletedProcess[str]:
        """What `make status` says."""
        command = [sys.executable, "-m", "infra.status", fleets.STACK, "--file", str(fleets.FILE), "--json"]
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


class Crowd:
    """People who ask without a pause, streamed and not, until it is over."""

    def __init__(self, fleet: Fleet) -> None:
        self.wrong = list[str]()
        self._fleet = fleet
        self._ended = 0
        self._over = threading.Event()
        self._came = threading.Condition()
        self._persons = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(PERSONS)]

    def _ask(self, streamed: bool) -> None:  # noqa: FBT001 - a thread's argument
        while not self._over.is_set():
            wrong = self._fleet.polish(streamed=streamed)
            with self._came:
                self._ended += 1
                self.wrong += [wrong] if wrong else []
                self._came.notify_all()

    def more(self, count: int = PERSONS) -> None:
        """Wait until so many more answers have come."""
        with self._came:
            wanted = self._ended + count
            assert self._came.wait_for(lambda: self._ended >= wanted, NEVER), "nobody is answered any more"

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Answers come before, during and after what is done meanwhile."""
        for person in self._persons:
            person.start()
        try:
            self.more()
            yield
            self.more(2 * PERSONS)
        finally:
            self._over.set()
            for person in self._persons:
                person.join()


@contextmanager
def crowd(fleet: Fleet) -> Iterator[Crowd]:
    """People who ask all the while; each of them has to be answered rightly."""
    made = Crowd(fleet)
    with made.asking():
        yield made
    assert made.wrong == []


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """As `make sandbox-fleet` brings it up; it is taken away afterwards, and before, if a killed run left it."""
    subprocess.run([*FLEET, "down"], cwd=ROOT, check=True)
    try:
        done = subprocess.run([*FLEET, "up"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Fleet(done.stdout)
    finally:
        subprocess.run([*FLEET, "down"], cwd=ROOT, check=True)


@pytest.mark.fault(
    "fleet", "a sentence is half written", "its board loses its power", "another board ends it; the board comes back"
)
def test_a_sentence_outlives_its_board(fleet: Fleet) -> None:
    """If this fails, a board that dies takes with it what somebody was reading."""
    assert "which was killed, and ended by fleet-" in fleet.said
    shared = [one for one in fleet.stack.resources() if one["type"] == "pollex:index:Share"]
    models = [one["outputs"]["how"] for one in shared if one["urn"].endswith("-shared-model")]
    assert sorted(models) == ["downloaded", "received"]
    machines = fleet.serves()
    assert {name: one["state"] for name, one in machines.items()} == dict.fromkeys(MACHINES, "serving")
    assert machines["gateway"]["requests"] >= 2
    assert sum(machines[name]["requests"] for name in fleets.BOARDS) >= 2


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
    inside = [fleets.KEY.read_text().splitlines()[4], tls_key.splitlines()[2]]  # of what the public halves are no part
    needles = {form for secret in [*made.values(), *inside] for form in canary.forms(secret)}
    said = ""
    with canary.Argv(needles) as argv:
        for name, secret in made.items():
            place = ["--path", f"pollex:{name}", "--config-file", str(fleets.FILE)]
            said += str(fleet.stack.run("config", "set", "--secret", *place, text=secret))
        for setting, text in tls.items():
            (fleets.FOLDER / setting).write_text(text)
            fleet.set(f"gateway.tls.{setting}", str(fleets.FOLDER / setting))
        fleet.set("polish.host", "127.0.0.1")
        said += str(fleet.stack.up())
        # and one that is refused with all secrets in its hands
        fleet.set("polish.memoryMb", "none")
        refused = fleet.stack.up(check=False)
        fleet.stack.run("config", "rm", "--path", "pollex:polish.memoryMb", "--config-file", str(fleets.FILE))
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
    assert canary.in_folder(fleets.FOLDER, needles, [fleets.KEY, fleets.FOLDER / "keyFile"]) == []
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
        fleet.stack.run("config", "rm", "--path", f"pollex:{name}", "--config-file", str(fleets.FILE))
    fleet.up()
    assert fleet.answers()


@pytest.fixture(scope="module")
def asked(fleet: Fleet) -> Fleet:
    """The same fleet, which can be asked as often as one likes."""
    fleet.set("polish.settings.rate_limit", "0")
    fleet.up()
    return fleet


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
    "two boards under load",
    "all packets to one are dropped",
    "every request is answered; it is taken in again",
)
def test_a_board_is_cut_off(asked: Fleet) -> None:
    """If this fails, a pulled cable is a sentence that never ends."""
    name = asked.boards[0].name
    with crowd(asked) as people:
        with cut_off(asked.boards[0]):
            wait_until(lambda: asked.server(name)["status"] == "DOWN", lambda: "HAProxy's notice")
            people.more(2 * PERSONS)
        wait_until(lambda: asked.server(name)["status"] == "UP", lambda: "the board")
    asked.serves()


@pytest.mark.fault(
    "fleet", "two boards under load", "HAProxy is killed", "its unit starts it again; every request is answered"
)
def test_haproxy_is_killed(asked: Fleet) -> None:
    """If this fails, a crash of HAProxy is the end of the fleet until somebody looks."""
    with crowd(asked) as people:
        for _ in range(2):
            former = asked.main_pid(units.GATEWAY_UNIT)
            asked.gateway.run(f"systemctl kill -s KILL {units.GATEWAY_UNIT}", user="root")
            wait_until(
                lambda former=former: asked.main_pid(units.GATEWAY_UNIT) not in ("0", former),  # type: ignore[misc]
                lambda: "another HAProxy",
            )
            people.more()
    asked.serves()


def killed_in_mid_sentence(fleet: Fleet) -> None:
    """Read an answer whose service is killed after the first words.

    Raises:
        httpx.TransportError: it broke off.
    """
    # so long that it is not over before the kill has come through
    body = {"text": "\n\n".join([fleets.TEXT] * 12), "model_id": fleet.model, "stream": True}
    alive = True
    with httpx.stream("POST", f"{fleet.page}/api/polish", json=body, timeout=NEVER, trust_env=False) as answer:
        for line in answer.iter_lines():
            if line == "event: delta" and alive:
                alive = False
                fleet.gateway.run("systemctl kill -s KILL pollex.service", user="root")


@pytest.mark.fault(
    "fleet",
    "a sentence is half written",
    "the service is killed",
    "its unit starts it again, no board goes on writing, whoever asks again is answered",
)
def test_the_service_is_killed(asked: Fleet) -> None:
    """If this fails, a crash of the service leaves boards busy with answers that nobody gets."""
    with pytest.raises(httpx.TransportError):
        killed_in_mid_sentence(asked)
    wait_until(asked.answers, lambda: "the service")
    wait_until(
        lambda: {asked.server(name)["scur"] for name in fleets.BOARDS} == {"0"}, lambda: "the end of the boards' work"
    )
    asked.serves()
    asked.unchanged()


@pytest.mark.fault(
    "fleet", "a fleet serves", "the gateway reboots, or loses its power", "it serves again by itself, as declared"
)
@pytest.mark.parametrize("how", ["reboot", "power"])
def test_the_gateway_goes_away(asked: Fleet, how: str) -> None:
    """If this fails, a power cut of one small machine needs an operator."""
    if how == "reboot":
        asked.gateway.reboot()
    else:
        asked.gateway.kill()
        asked.gateway.start()
        asked.gateway.wait_ready()
    wait_until(asked.answers, lambda: "an answer")
    asked.serves()
    asked.unchanged()


def read_up_to(process: subprocess.Popen[str], pattern: str) -> tuple[str, list[str]]:
    """The first line of a run's output that matches, and all up to it; fails when it ends without one."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(pattern, line):
            return line, seen
    pytest.fail(f"no line matches {pattern!r}:\n{''.join(seen)}")


def context(board: Board) -> str:
    """Tokens that a board's llama-server has room for, as its process was told."""
    told = board.run(f"tr '\\0' ' ' </proc/$(systemctl show -p MainPID --value {SERVER})/cmdline", user="root").stdout
    (size,) = re.findall(r" -c (\d+)", told)
    return str(size)


@pytest.mark.fault(
    "roll",
    "two boards under load",
    "one loses its power in the middle of its change",
    "every request is answered; the other board is changed, and up again changes the one",
)
def test_power_is_cut_in_the_middle_of_a_roll(asked: Fleet) -> None:
    """If this fails, a power cut during an update leaves boards that need somebody's hand."""
    asked.set("server.context", "1024")
    with crowd(asked) as people:
        process = asked.stack.popen_up("--continue-on-error")
        line, seen = read_up_to(process, rf"fleet-\d-generation.*restarting {re.escape(SERVER)}")
        hit, other = asked.boards if "fleet-1-generation" in line else asked.boards[::-1]
        hit.kill()
        rest, _ = process.communicate()
        said = "".join(seen) + rest
        assert process.returncode != 0, said
        assert re.search(rf"{hit.name}-generation.*failed|{re.escape(hit.address)}", said), said
        assert context(other) == "1024", said
        people.more()
        hit.start()
        hit.wait_ready()
        done = asked.up()
        assert done.steps[f"{other.name}-generation"] == "same"
        assert context(hit) == "1024"
        wait_until(lambda: asked.server(hit.name)["status"] == "UP", lambda: "the board")
    asked.serves()
    asked.unchanged()


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
def test_the_gateways_disk_is_full(asked: Fleet) -> None:
    """If this fails, a full disk takes the page away, or leaves half a generation that up cannot mend."""
    before = asked.serves()["gateway"]["generation"]
    assert asked.gateway.run(SMALL, user="root").stdout.split()[-1] == "0"
    asked.set("polish.settings.queue_length", "99")
    with crowd(asked):
        refused = asked.stack.up("--continue-on-error", check=False)
    assert refused.status != 0
    assert "no space left" in refused.stdout + refused.stderr
    asked.gateway.run(f"systemctl restart {units.FORWARDS_UNIT} {units.GATEWAY_UNIT} pollex.service", user="root")
    wait_until(asked.answers, lambda: "an answer")
    asked.gateway.run("rm /opt/pollex/filled", user="root")
    assert asked.up().changes == {"update": 1}
    assert asked.answers()
    assert asked.serves()["gateway"]["generation"] != before
    asked.unchanged()
