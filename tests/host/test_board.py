"""Builds that outlive everything, and generations that are healthy or taken back: on a real systemd, over real SSH."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.manifest import Gate, Generation, Link, Unit
from sandbox.board import Board
from tests.host.conftest import KEY, Project
from tests.host.machine import AWAY, Machine

STORE = f"/opt/pollex/store/{KEY}-llama-server"
PROGRAM = "/usr/local/bin/llama-server"
COMPILERS = ("git", "patch", "gcc", "libc6-dev", "cmake", "ninja-build")
UNIT = "llama-server.service"
OUTSIDE = r"""
find /etc/systemd/system /usr/local /opt -path /opt/pollex -prune -o -path /usr/local/bin/pollex-host -prune -o \
    -printf '%M %U %p %l\n' | sort
cat /usr/local/bin/llama-server /etc/systemd/system/llama-server.service 2>/dev/null
systemctl is-enabled llama-server; systemctl is-active llama-server
"""


def unit(*, mode: str = "ok", extra: str = "") -> str:
    """The unit of the tiny server."""
    return (
        f"[Unit]\nDescription=tiny server\n{extra}[Service]\nExecStart={PROGRAM} --port 8080 --mode {mode}\n"
        "Restart=on-failure\nRestartSec=1\n[Install]\nWantedBy=multi-user.target\n"
    )


SLEEPER = "[Service]\nExecStart=/bin/sleep 100000\n[Install]\nWantedBy=multi-user.target\n"


def generation(
    name: str, *, text: str = "", mode: str = "ok", seconds: int = 600, units: Mapping[str, str] | None = None
) -> str:
    """A generation of the tiny server, and further units that have no gate."""
    links = (PROGRAM, "/opt/llama-models/tiny.gguf")
    server = Unit(
        name=UNIT,
        text=text or unit(mode=mode),
        needs=(f"{KEY}-llama-server",),
        links=tuple(Link(path=path, target=f"{STORE}/bin/llama-server") for path in links),
        gate=Gate(
            health="http://127.0.0.1:8080/health",
            completion="http://127.0.0.1:8080/v1/chat/completions",
            seconds=seconds,
        ),
    )
    others = (Unit(name=unit_name, text=text) for unit_name, text in (units or {}).items())
    return manifest.text(Generation(id=name, units=(server, *others)))


def completes(machine: Machine) -> bool:
    """Does the server of the visible path answer?"""
    return "Hello." in machine.sh("curl -s -d x http://127.0.0.1:8080/v1/chat/completions", check=False)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One board for all tests here; each leaves it without a generation."""
    with Board.temporary("host-tools") as board:
        machine = Machine(board, *COMPILERS)
        project = Project(tmp_path_factory.mktemp("source") / "project")
        machine.bring(project)
        machine.json("ensure", project.manifest(mirrors=["git file:///srv/project"]))
        yield machine


@pytest.fixture
def idle(machine: Machine) -> Iterator[Machine]:
    """The board with a finished build and nothing live."""
    yield machine
    machine.pollex("deactivate")
    machine.sh(f"systemctl disable -q --now {UNIT}; rm -rf {PROGRAM} /etc/systemd/system/{UNIT}", check=False)
    machine.sh("systemctl daemon-reload; systemctl reset-failed")


def found(machine: Machine) -> str:
    """Somebody's own server at the visible places; returns what the board looks like outside of our folder."""
    own = "[Service]\nExecStart=/bin/sleep 100001\n[Install]\nWantedBy=multi-user.target\n"
    machine.sh(
        f"printf '#!/bin/sh\\necho own\\n' >{PROGRAM}; chmod 750 {PROGRAM}; cat >/etc/systemd/system/{UNIT}",
        own.encode(),
    )
    machine.sh(f"systemctl daemon-reload; systemctl enable -q --now {UNIT}")
    return machine.sh(OUTSIDE)


def test_a_generation_goes_live(idle: Machine) -> None:
    """Nothing could be served."""
    answer = idle.json("activate", generation("g1"))
    desired = {
        "generation": "g1",
        f"unit {UNIT}": sha256(unit().encode()).hexdigest(),
        f"service {UNIT}": "active",
        f"link {PROGRAM}": f"{STORE}/bin/llama-server",
        "link /opt/llama-models/tiny.gguf": f"{STORE}/bin/llama-server",
        f"store {KEY}-llama-server": "intact",
    }
    assert answer["live"] == desired
    assert answer["generations"][-1] == "g1"
    assert completes(idle)
    assert idle.sh(f"systemctl is-enabled {UNIT}") == "enabled"
    assert idle.json("status --json")["live"] == desired


def test_a_second_time_changes_nothing(idle: Machine) -> None:
    """Every `up` would interrupt the service."""
    idle.json("activate", generation("g1"))
    before = idle.pid(UNIT)
    assert idle.json("activate", generation("g1"))["changed"] == []
    assert idle.pid(UNIT) == before


def test_only_what_changed_restarts(idle: Machine) -> None:
    """A changed flag of one service would interrupt all of them."""
    idle.json("activate", generation("g1", units={"side.service": SLEEPER}))
    server, side = idle.pid(UNIT), idle.pid("side.service")
    answer = idle.json("activate", generation("g2", units={"side.service": "# changed\n" + SLEEPER}))
    assert answer["changed"] == ["generation", "unit side.service"]
    assert idle.pid(UNIT) == server
    assert idle.pid("side.service") not in {side, "0"}


def test_a_unit_that_is_dropped_goes(idle: Machine) -> None:
    """A service that was taken out of the declaration would run for ever."""
    idle.json("activate", generation("g1", units={"side.service": SLEEPER}))
    server = idle.pid(UNIT)
    idle.json("activate", generation("g2"))
    assert idle.sh("systemctl is-active side.service; ls /etc/systemd/system/side.service", check=False) == "inactive"
    assert idle.pid(UNIT) == server


DRIFT = {
    f"unit {UNIT}": f"echo '# by hand' >>/etc/systemd/system/{UNIT}",
    f"service {UNIT}": f"systemctl stop {UNIT}",
    f"link {PROGRAM}": f"rm {PROGRAM}; cp /bin/true {PROGRAM}",
    f"store {KEY}-llama-server": f"cp --remove-destination /bin/true {STORE}/bin/llama-server",
}


@pytest.mark.parametrize("item", DRIFT)
def test_drift_is_named_and_mended(idle: Machine, item: str) -> None:
    """A replaced binary or a stopped service would be found by users, not by `refresh`."""
    right = idle.json("activate", generation("g1"))["live"]
    idle.sh(DRIFT[item])
    seen = idle.json("status --json")["live"]
    assert {name for name in right if seen[name] != right[name]} == {item}
    answer = idle.json("activate", generation("g1"))
    assert (answer["changed"], answer["live"]) == ([item], right)
    assert completes(idle)


def test_a_disabled_unit_is_enabled_without_a_restart(idle: Machine) -> None:
    """The service would be gone after the next boot; or be interrupted to prevent that."""
    idle.json("activate", generation("g1"))
    before = idle.pid(UNIT)
    idle.sh(f"systemctl disable -q {UNIT}")
    assert idle.json("status --json")["live"][f"service {UNIT}"] == "active, disabled"
    assert idle.json("activate", generation("g1"))["changed"] == [f"service {UNIT}"]
    assert idle.pid(UNIT) == before


@pytest.mark.fault(
    "activation",
    "a generation serves",
    "a new one crashes, never loads, or is healthy and cannot generate",
    "the former one is back",
)
@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("crash", "cannot load the model"),
        ("loading", f"{UNIT} is not healthy after 4 s: loading the model"),
        ("mute", "answers without a text"),
    ],
)
def test_an_unhealthy_generation_is_taken_back(idle: Machine, mode: str, says: str) -> None:
    """A bad deployment would end the service that worked."""
    idle.json("activate", generation("good"))
    done = idle.pollex("activate", generation("bad", mode=mode, seconds=4))
    assert (done.returncode, done.stdout) == (7, "")
    assert says in done.stderr
    assert "pollex: generation bad is unhealthy; returned to good, which is healthy" in done.stderr
    assert completes(idle)
    assert idle.json("activate", generation("good"))["changed"] == []


def test_a_unit_that_gave_up_before_its_turn_says_why(idle: Machine) -> None:
    """A service that ends at once would be taken back without a reason, where the model takes longer to load."""
    broken = "[Service]\nExecStart=/bin/sh -c 'echo broken on purpose; exit 1'\nRestart=on-failure\nRestartSec=100ms\n"
    given = json.loads(generation("bad", mode="slow", units={"side.service": broken}))
    given["units"][1]["gate"] = {"health": "http://127.0.0.1:9/", "completion": None, "seconds": 60}
    done = idle.pollex("activate", json.dumps(given))
    assert done.returncode == 7, done.stderr
    assert "side.service has failed" in done.stderr
    assert "broken on purpose" in done.stderr


@pytest.mark.fault(
    "activation", "a generation serves", "the connection is cut while the gate waits", "the activation ends by itself"
)
def test_an_activation_ends_although_nobody_listens(idle: Machine) -> None:
    """A connection lost during the gate would leave an unhealthy generation in service."""
    idle.json("activate", generation("good"))
    text = generation("bad", mode="mute", seconds=4)
    idle.sh("cat >/tmp/manifest; pollex-host activate </tmp/manifest 2>&1 | head -n 1", text.encode())
    assert idle.json("activate", generation("good"))["changed"] == []
    assert completes(idle)


def test_the_first_generation_is_unhealthy(idle: Machine) -> None:
    """A board that worked before the first deployment would not work after it."""
    before = found(idle)
    assert idle.pollex("activate", generation("bad", mode="crash")).returncode == 7
    assert idle.sh(OUTSIDE) == before
    assert idle.json("status --json")["live"] == {"generation": ""}


def test_deactivate_leaves_what_was_found(idle: Machine) -> None:
    """`destroy` would take somebody's own server, or leave ours running."""
    before = found(idle)
    idle.json("activate", generation("g1"))
    idle.json("activate", generation("g2", mode="slow"))
    done = idle.pollex("deactivate")
    assert done.returncode == 0
    assert "stay in /opt/pollex" in done.stderr
    assert idle.sh(OUTSIDE) == before
    assert idle.json("deactivate")["changed"] == []


def test_rollback_by_hand(idle: Machine) -> None:
    """With the laptop off there would be no way back."""
    idle.json("activate", generation("r1"))
    idle.json("activate", generation("r2", mode="slow"))
    assert idle.json("rollback")["generation"] == "r1"
    assert idle.json("rollback r2")["generation"] == "r2"
    assert completes(idle)
    assert idle.pollex("rollback nonesuch").returncode == 2


def test_a_stranger_at_the_port_is_no_health(idle: Machine) -> None:
    """An old server that still answers would pass for the new one, which cannot even start."""
    idle.sh(f"systemd-run -q --unit stranger {STORE}/bin/llama-server --port 8080")
    idle.sh("until curl -s http://127.0.0.1:8080/health; do :; done")
    try:
        done = idle.pollex("activate", generation("g1"))
    finally:
        idle.sh("systemctl stop stranger")
    assert done.returncode == 7
    assert "another process answers at its port" in done.stderr


MOMENTS = {
    "the way back is noted": "test -e /opt/pollex/generations/pending",
    "the new unit is there": f"grep -q changed /etc/systemd/system/{UNIT}",
    "the gate waits": "grep -qs 'loading the model' /tmp/said",
}
"""Commands that succeed from some moment of an activation on."""


@pytest.mark.fault(
    "activation",
    "a generation serves",
    "power is cut in the middle of the switch, at three moments",
    "the next activation makes all of it as declared",
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_activation_is_mended_by_the_next(idle: Machine, moment: str) -> None:
    """After a power cut the old process would go on under the new unit, and nobody would know."""
    idle.json("activate", generation("g1"))
    old = idle.pid(UNIT)
    changed = unit(mode="loading").replace("tiny server", "changed")
    text = generation("g2", text=changed, units={"side.service": SLEEPER})
    killed = idle.sh(
        f"rm -f /tmp/said; cat >/tmp/manifest; pollex-host activate </tmp/manifest 2>/tmp/said & "
        f"until {MOMENTS[moment]}; do :; done; kill -KILL $!; wait $!; echo $?",
        text.encode(),
    )
    assert killed == "137"
    assert idle.json("status --json")["live"]["generation"].endswith(", unproved")
    text = generation("g2", text=unit().replace("tiny server", "changed"), units={"side.service": SLEEPER})
    answer = idle.json("activate", text)
    assert answer["live"]["generation"] == "g2"
    assert set(idle.json("status --json")["live"].items()) == set(answer["live"].items())
    assert idle.pid(UNIT) not in {old, "0"}
    assert idle.sh("systemctl show -p Description --value llama-server") == "changed"
    assert idle.json("activate", text)["changed"] == []
    assert idle.pollex("activate", generation("bad", mode="crash")).returncode == 7
    assert idle.json("status --json")["generation"] == "g2"


@pytest.mark.fault("activation", "none", "two operators at once", "one waits; one whole generation is live")
def test_two_activations_wait_for_each_other(idle: Machine) -> None:
    """Two laptops would mix two generations on one board."""
    for name in ("one", "two"):
        idle.sh(f"cat >/tmp/{name}", generation(name, mode="slow").encode())
    said = idle.sh("for g in one two; do pollex-host activate </tmp/$g 2>&1 & done; wait")
    assert "waiting for another activation, or tune, to end" in said
    live = idle.json("status --json")
    assert live["generation"] in {"one", "two"}
    assert idle.json("activate", generation(live["generation"], mode="slow"))["changed"] == []


BUILD = "b" * 32


@pytest.fixture
def slow(machine: Machine, tmp_path: Path) -> Iterator[str]:
    """The manifest of a build that takes about 10 seconds; nothing of it is there."""
    project = Project(tmp_path / "project")
    machine.bring(project)
    flags = ["-DTINY_PACE=1.5", "-DCMAKE_EXE_LINKER_FLAGS=-static"]
    yield project.manifest(key=BUILD, mirrors=["git file:///srv/project"], flags=flags, jobs=2)
    # what one test made fail must not be taken for the failure of the next one's
    machine.sh(
        f"systemctl stop pollex-build@{BUILD}; systemctl reset-failed pollex-build@{BUILD};"
        f" rm -rf /opt/pollex/*/{BUILD}*"
    )


def await_step(machine: Machine, step: int) -> None:
    """Wait until that many steps are done."""
    done = f"grep -sqF '[{step}/' /opt/pollex/log/{BUILD}.log"
    machine.sh(f"until {done}; do ! systemctl is-failed -q pollex-build@{BUILD} || exit; sleep 0.2; done")


def percents(said: str) -> list[int]:
    """The percentages of a follower, in order."""
    words = said.replace("%", "% ").split()
    return [int(word.removesuffix("%")) for word in words if word.endswith("%")]


def finish(machine: Machine) -> str:
    """The build is followed to its end; what the follower said."""
    done = machine.pollex(f"ensure {BUILD}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["how"] == "built"
    assert machine.sh(f"systemctl is-enabled pollex-build@{BUILD}", check=False) == "disabled"
    return done.stderr


@pytest.mark.fault("build", "a build runs", "SSH is cut, and whoever follows is killed", "it goes on")
def test_a_build_outlives_its_session_and_its_followers(machine: Machine, slow: str) -> None:
    """A closed laptop, a ^C or a `| head` would start the 85-minute build again."""
    machine.sh("cat >/tmp/build", slow.encode())
    follow = [*machine.board.ssh("root"), "POLLEX_POLL=1 pollex-host ensure </tmp/build 2>&1"]
    with subprocess.Popen(follow, stdout=subprocess.DEVNULL) as first:
        await_step(machine, 3)
        first.kill()
    machine.sh(f"POLLEX_POLL=1 pollex-host ensure {BUILD} 2>&1 | head -n 1")
    machine.sh(
        f"rm -f /tmp/said; env --default-signal=INT pollex-host ensure {BUILD} 2>/tmp/said & "
        "until grep -qs attached /tmp/said; do sleep 0.1; done; kill -INT $!; wait $! || :"
    )
    started = machine.pid(f"pollex-build@{BUILD}")
    assert started != "0"
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as other:
        said = finish(machine)
        out, _ = other.communicate()
    assert other.returncode == 0
    assert "attached to the running build" in said
    assert "attached to the running build" in out
    assert machine.sh(f"grep -c '^== begin' /opt/pollex/log/{BUILD}.log") == "1"


@pytest.mark.fault("build", "a build runs", "the board reboots, or loses its power", "it goes on after the start")
@AWAY
def test_a_build_outlives_the_board(machine: Machine, slow: str, away: Callable[[Board], None]) -> None:
    """A reboot or a power cut would cost all that was compiled."""
    machine.sh("cat >/tmp/build; nohup pollex-host ensure </tmp/build >/dev/null 2>&1 &", slow.encode())
    await_step(machine, 8)
    machine.sh("sync")
    away(machine.board)
    said = finish(machine)
    assert "attached to the running build" in said
    log = machine.sh(f"cat /opt/pollex/log/{BUILD}.log")
    assert log.count("phase configure") == 1
    assert log.count("phase source") == 1
    shown = percents(said)
    assert shown == sorted(shown)
    assert shown[0] > 30


def test_a_failed_build_says_why_and_where(machine: Machine, slow: str) -> None:
    """A person would be told that something failed, after an hour, and not what."""
    broken = slow.replace("-DTINY_PACE=1.5", "-DCMAKE_C_FLAGS=-Dgreeting=1")
    done = machine.pollex("ensure", broken)
    assert (done.returncode, done.stdout) == (5, "")
    assert "error: expected identifier" in done.stderr
    assert f":/opt/pollex/log/{BUILD}.log" in done.stderr
    assert len(done.stderr.splitlines()) < 80
    assert machine.sh(f"systemctl is-enabled pollex-build@{BUILD}", check=False) == "disabled"
    assert machine.pollex("ensure", broken).returncode == 5


def test_a_stopped_build_is_told_from_a_failed_one(machine: Machine, slow: str) -> None:
    """Somebody's `systemctl stop` would be looked for in the compiler's output."""
    machine.sh("cat >/tmp/build", slow.encode())
    with subprocess.Popen(
        [*machine.board.ssh("root"), "pollex-host ensure </tmp/build"], stderr=subprocess.PIPE, text=True
    ) as follower:
        await_step(machine, 2)
        machine.sh(f"systemctl stop pollex-build@{BUILD}")
        _, said = follower.communicate()
    assert follower.returncode == 5
    assert "was stopped before it was done" in said
    finish(machine)
