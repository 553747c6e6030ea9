"""What happens to a board in the middle of its work: a disk that fills, memory that ends, a wrong clock, lost power.

One board for all, whose /opt is a disk of its own. A generation of the tiny server answers on it before each fault and
after it, and the step that was hit succeeds when it is asked for again.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

import pytest

from sandbox.board import Board
from sandbox.serving import NEVER
from tests.host import test_bundle as bundle
from tests.host.conftest import KEY, Project, model_manifest
from tests.host.machine import AWAY, Machine
from tests.host.test_board import BUILD, COMPILERS, SLEEPER, UNIT, await_step, completes, finish, generation, unit
from tests.host.web import answering
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(900)

DISK_MB: Final = 256
MB: Final = 1 << 20
SERVER: Final = f"{KEY}-llama-server"
GOOD: Final = generation("good")
MODEL: Final = "c" * 32
CONTENT: Final = os.urandom(3 * MB)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One board for all tests here, with the tiny server built."""
    with Board.temporary("host-faults", disk_mb=DISK_MB) as board:
        machine = Machine(board, *COMPILERS, "faketime", "openssl")
        project = Project(tmp_path_factory.mktemp("source") / "project")
        machine.bring(project)
        machine.json("ensure", project.manifest(mirrors=["git file:///srv/project"]))
        yield machine


@pytest.fixture
def serving(machine: Machine) -> Iterator[Machine]:
    """The board while a good generation answers; whatever else a test made is taken away."""
    machine.json("activate", GOOD)
    yield machine
    machine.sh(
        f"rm -rf /opt/ballast /opt/pollex/*/{BUILD}* /opt/pollex/*/{MODEL}* /opt/pollex/*/{bundle.KEY}*;"
        f" systemctl stop pollex-build@{BUILD}; systemctl reset-failed"
    )


def nothing_lost(machine: Machine, *more: str, tried_again: bool = True) -> None:
    """The good generation answers and is as declared; the store holds whole paths alone: the server, and more.

    What a run was unpacking when it was cut lies there under a hidden name until somebody has tried again.
    """
    assert completes(machine)
    status = machine.json("status --json")
    assert status["generation"] == "good"
    names = machine.sh("ls -A /opt/pollex/store").split()
    assert [name for name in names if tried_again or not name.startswith(".unpack-")] == sorted([SERVER, *more])
    machine.sh("for path in /opt/pollex/store/*; do cd $path && sha256sum --check --quiet --strict .sha256sums; done")
    assert machine.sh("find /opt/pollex /etc/systemd -name '*.pollex-new' -o -name '.reserve'") == ""
    assert machine.json("activate", GOOD)["changed"] == []


@contextmanager
def full(machine: Machine, left_kb: int) -> Iterator[None]:
    """The disk of /opt is full but for so much."""
    # what was deleted before is free only with the next commit of the file system's journal: at once, not later
    machine.sh(
        f"sync; fallocate -l {left_kb or 1}K /opt/spare && cat /dev/zero >/opt/ballast 2>/dev/null || :; rm /opt/spare"
        f"{' && cat /dev/zero >>/opt/ballast 2>/dev/null || :' if not left_kb else ''}; sync"
    )
    try:
        yield
    finally:
        machine.sh("rm /opt/ballast")


class Models(BaseHTTPRequestHandler):
    """The model, from where it is asked for; `before` comes between the headers and the rest."""

    protocol_version = "HTTP/1.1"
    asked: list[str | None]
    before: Callable[[BaseHTTPRequestHandler], object]

    def do_GET(self) -> None:
        """All of it, or what is missing."""
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        type(self).before(self)
        self.wfile.write(CONTENT[start:])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def models(before: Callable[[BaseHTTPRequestHandler], object] = lambda _: None) -> type[Models]:
    """A handler with a memory of its own."""
    return type("Handler", (Models,), {"asked": [], "before": staticmethod(before)})


def model(url: str) -> str:
    """The manifest of the model there."""
    return model_manifest(CONTENT, [f"{url}/small.gguf"], key=MODEL)


def receive(machine: Machine, archive: bytes) -> subprocess.CompletedProcess[str]:
    """The bundle, sent as pulumi does."""
    return machine.board.run(f"pollex-host receive {bundle.KEY}", input=archive, user="root", check=False)


ROOMS: Final = {"none": 0, "less than the archive": 1000, "less than what is in it": 3000}


@pytest.mark.fault("upload", "a generation serves", "the board's disk is full, or too full", "said; what came is gone")
@pytest.mark.parametrize("room", ROOMS)
def test_the_disk_is_full_when_a_bundle_comes(serving: Machine, room: str) -> None:
    """If this fails, a full card shows as a faulty package, or half of one stays in the store."""
    archive = bundle.archive({**bundle.FILES, "lib/large": os.urandom(2 * MB)})
    assert serving.pollex("ensure-bundle", bundle.text()).returncode == 10
    with full(serving, ROOMS[room]):
        done = receive(serving, archive)
        assert (done.returncode, done.stdout) == (6, ""), done.stderr
        assert "MB are free: make room (pollex-host gc)" in done.stderr
        assert "at /opt/pollex" in done.stderr or "in /opt/pollex" in done.stderr
        assert completes(serving)
        assert serving.sh("ls -A /opt/pollex/archive") == f"{SERVER}.tar.gz"
    nothing_lost(serving)
    assert receive(serving, archive).returncode == 0
    nothing_lost(serving, bundle.ITEM)


@pytest.mark.fault(
    "build", "a generation serves", "the board's disk is full, or becomes full", "said; the next one ends"
)
@pytest.mark.parametrize("left_kb", [0, 100, 2000])
def test_the_disk_becomes_full_in_a_build(serving: Machine, tmp_path: Path, left_kb: int) -> None:
    """If this fails, somebody looks for the reason in the compiler's output, or has to tidy up by hand."""
    project = Project(tmp_path / "project")
    lists = project.folder / "CMakeLists.txt"
    large = "COMMAND dd if=/dev/zero of=large bs=1M count=4"
    lists.write_text(f"{lists.read_text()}add_custom_command(TARGET llama-server PRE_LINK {large})\n")
    project.commit_all()
    serving.bring(project)
    text = project.manifest(key=BUILD, mirrors=["git file:///srv/project"])
    with full(serving, left_kb):
        done = serving.pollex("ensure", text)
        assert (done.returncode, done.stdout) == (6, ""), done.stderr
        assert "no space left" in done.stderr
        assert "make room (pollex-host gc), or choose a larger disk" in done.stderr
        assert serving.sh(f"systemctl is-enabled pollex-build@{BUILD}", check=False) != "enabled"
        assert completes(serving)
    nothing_lost(serving)
    assert serving.json("ensure", text)["how"] == "built"
    nothing_lost(serving, f"{BUILD}-llama-server")


@pytest.mark.fault("model", "a generation serves", "something else fills the disk during the download", "said as that")
@pytest.mark.parametrize("came", [0, MB])
def test_the_disk_becomes_full_in_a_download(serving: Machine, came: int) -> None:
    """If this fails, a full disk is told as a mirror that cannot be reached, and what has arrived is thrown away."""
    disk = full(serving, 0)

    def fill(client: BaseHTTPRequestHandler) -> None:
        """Once a part has come, and reached the disk."""
        if not filled:
            filled.append(True)
            client.wfile.write(CONTENT[:came])
            client.wfile.flush()
            part = f"/opt/pollex/build/{MODEL}/part"
            serving.sh(
                f"until [ $(stat -c %s {part} || echo 0) -ge {came // 2} ] || [ {came} = 0 ]; do sleep 0.1; done"
            )
            disk.__enter__()
            client.wfile.write(CONTENT[came:])

    filled: list[bool] = []
    handler = models(fill)
    with answering(handler, serving.board.gateway) as url:
        done = serving.pollex("ensure-model", model(url))
        assert (done.returncode, done.stdout) == (6, ""), done.stderr
        assert "small.gguf needs" in done.stderr
        assert "0 MB are free: make room (pollex-host gc), or choose a smaller pollex:model" in done.stderr
        assert completes(serving)
        disk.__exit__(None, None, None)
        nothing_lost(serving)
        assert serving.json("ensure-model", model(url))["how"] == "downloaded"
    resumed = int((handler.asked[-1] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
    assert resumed >= came // 2
    nothing_lost(serving, f"{MODEL}-model")


@pytest.mark.fault("activation", "a generation serves", "the board's disk is full", "refused before anything changes")
def test_the_disk_is_full_when_a_generation_comes(serving: Machine) -> None:
    """If this fails, a full disk leaves a board between two generations."""
    for left_kb in (0, 4, 16, 64, 192):
        with full(serving, left_kb):
            before, kept = serving.pid(UNIT), serving.sh("ls -A /opt/pollex/generations")
            done = serving.pollex("activate", generation("next", text=unit(extra="# changed\n")))
            assert (done.returncode, done.stdout) == (6, ""), done.stderr
            assert "an activation needs 256 KB at /opt/pollex, and " in done.stderr
            assert " KB are free: nothing was changed; make room (pollex-host gc)" in done.stderr
            assert serving.pid(UNIT) == before
            assert serving.sh("ls -A /opt/pollex/generations") == kept
            assert completes(serving)
    nothing_lost(serving)
    assert serving.json("activate", generation("next", text=unit(extra="# changed\n")))["generation"] == "next"


@pytest.mark.fault(
    "activation", "a generation serves", "the disk becomes full while the gate waits", "taken back whole"
)
def test_the_disk_becomes_full_while_the_gate_waits(serving: Machine) -> None:
    """If this fails, what was tried for a moment stays because there is no room for the way back."""
    serving.sh("cat >/tmp/next", generation("next", mode="loading", seconds=8).encode())
    with subprocess.Popen(
        [*serving.board.ssh("root"), "pollex-host activate </tmp/next"], stderr=subprocess.PIPE, text=True
    ) as activation:
        assert activation.stderr is not None
        said = ""
        while "loading the model" not in said:
            said += activation.stderr.readline()
            assert activation.poll() is None, said
        with full(serving, 0):
            said += activation.communicate()[1]
            assert activation.returncode == 7, said
            assert "returned to good, which is healthy" in said
            assert completes(serving)
            assert serving.json("status --json")["generation"] == "good"
    nothing_lost(serving)


@pytest.mark.fault(
    "activation",
    "a generation serves",
    "the board reboots, or loses its power, while the gate waits",
    "it goes back itself",
)
@AWAY
def test_the_board_goes_away_while_the_gate_waits(serving: Machine, away: Callable[[Board], None]) -> None:
    """If this fails, a power cut leaves a generation that was never proved, until somebody comes with a laptop."""
    serving.sh("cat >/tmp/next", generation("next", mode="mute", units={"side.service": SLEEPER}).encode())
    serving.sh(
        "rm -f /tmp/said; pollex-host activate </tmp/next >/dev/null 2>/tmp/said &"
        " until grep -qs 'without a text' /tmp/said; do :; done"
    )
    serving.sh("sync")
    away(serving.board)
    assert "returning to good" in serving.sh("journalctl -b -o cat -u pollex-return")
    assert serving.sh("find /etc/systemd/system -name 'pollex-return*' -o -name 'side*'") == ""
    nothing_lost(serving)


GREEDY: Final = "#define A(x) x,x,x,x,x,x,x,x,x,x\nint greedy[] = {A(A(A(A(A(A(1))))))};\n"
"""Takes a compiler some 200 MB."""
SHORT_MB: Final = 100
GROUPS: Final = Path("/sys/fs/cgroup")


@contextmanager
def little_memory(machine: Machine, name: str) -> Iterator[Callable[[], int]]:
    """Hold all processes of a unit to so much; tells how many the kernel has killed for it."""
    if not (GROUPS / "memory").is_dir():
        machine.sh(f"systemctl set-property --runtime {name} MemoryMax={SHORT_MB}M MemorySwapMax=0")
        events = f"cat /sys/fs/cgroup$(systemctl show -p ControlGroup --value {name})/memory.events"
        yield lambda: int(machine.sh(events).partition("oom_kill ")[2].split()[0])
        return
    # where systemd does not rule over memory, which the first version of control groups leaves to this machine
    group = GROUPS / "memory" / machine.board.guest.name
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(SHORT_MB * MB))
    groups = (Path(folder) for folder, _, _ in os.walk(GROUPS / "systemd" / machine.board.guest.name))
    for pid in next(each / "cgroup.procs" for each in groups if each.name == name).read_text().split():
        (group / "cgroup.procs").write_text(pid)
    try:
        yield lambda: int((group / "memory.oom_control").read_text().partition("oom_kill ")[2].split()[0])
    finally:
        deadline = time.monotonic() + NEVER
        while group.is_dir():
            assert time.monotonic() < deadline, "what was held to little memory does not end"
            with suppress(OSError):
                group.rmdir()
            time.sleep(0.1)


@pytest.mark.fault("build", "a generation serves", "memory ends while it compiles", "said as that; the next one ends")
def test_memory_ends_in_a_build(serving: Machine, tmp_path: Path) -> None:
    """If this fails, a compiler that was killed looks like a broken source, or the server goes down with it."""
    project = Project(tmp_path / "project")
    greeting = project.folder / "src/greeting.c"
    greeting.write_text(greeting.read_text() + GREEDY)
    project.commit_all()
    serving.bring(project)
    text = project.manifest(key=BUILD, mirrors=["git file:///srv/project"], flags=["-DTINY_PACE=1"], jobs=2)
    serving.sh("cat >/tmp/build", text.encode())
    before = serving.pid(UNIT)
    with subprocess.Popen(
        [*serving.board.ssh("root"), "POLLEX_POLL=1 pollex-host ensure </tmp/build"], stderr=subprocess.PIPE, text=True
    ) as following:
        await_step(serving, 1)
        with little_memory(serving, f"pollex-build@{BUILD}.service") as killed:
            said = following.communicate()[1]
            assert killed() > 0
    assert following.returncode == 5, said
    assert "the compiler was killed for want of memory: lower pollex:build.jobs" in said
    assert serving.pid(UNIT) == before
    nothing_lost(serving)
    finish(serving)
    nothing_lost(serving, f"{BUILD}-llama-server")


@pytest.mark.fault(
    "clock", "a generation serves", "three years back, and a mirror by https", "said with the date; resumed"
)
def test_the_clock_is_three_years_back_and_a_mirror_has_a_certificate(serving: Machine, tmp_path: Path) -> None:
    """If this fails, a board without a battery for its clock says that a good mirror is a forged one."""
    pem, name = tmp_path / "mirror.pem", f"subjectAltName=IP:{serving.board.gateway}"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=mirror -addext"
    subprocess.run([*made.split(), name, "-keyout", pem, "-out", tmp_path / "cert"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "cert").read_text())
    trusted = "/etc/ssl/certs/ca-certificates.crt"
    serving.sh(f"cp {trusted} /tmp/trusted; cat >>{trusted}", (tmp_path / "cert").read_bytes())
    with answering(models(), serving.board.gateway, (pem, None)) as url:
        serving.sh("cat >/tmp/model", model(url).encode())
        command = "faketime -f -3y pollex-host ensure-model </tmp/model"
        done = serving.board.run(command, user="root", check=False)
        assert (done.returncode, done.stdout) == (8, ""), done.stderr
        # three years are so many days here, which is another year than that of three before on some days
        year = serving.sh("faketime -f -3y date -u +%Y")
        assert "certificate is not yet valid" in done.stderr
        assert f"this host's clock says {year}-" in done.stderr
        assert "if that is wrong, set it: `sudo date -u -s" in done.stderr
        nothing_lost(serving)
        assert serving.json("ensure-model", model(url))["how"] == "downloaded"
    serving.sh(f"cp /tmp/trusted {trusted}")
    nothing_lost(serving, f"{MODEL}-model")


@pytest.mark.fault(
    "clock", "a generation serves", "three years back, and generations come", "live, or taken back, as ever"
)
def test_the_clock_is_three_years_back_and_generations_come(serving: Machine) -> None:
    """If this fails, a wrong clock ends a gate at once, or hides why a generation was taken back."""
    back = "faketime -f -3y pollex-host activate </tmp/next"
    serving.sh("cat >/tmp/next", generation("bad", mode="crash", seconds=60).encode())
    done = serving.board.run(back, user="root", check=False)
    assert done.returncode == 7, done.stderr
    assert "cannot load the model" in done.stderr
    assert "returned to good, which is healthy" in done.stderr
    nothing_lost(serving)
    serving.sh("cat >/tmp/next", generation("next", mode="slow").encode())
    done = serving.board.run(back, user="root", check=False)
    assert done.returncode == 0, done.stderr
    assert completes(serving)
    assert serving.json("activate", generation("next", mode="slow"))["changed"] == []
    assert serving.json("rollback")["generation"] == "good"
    nothing_lost(serving)


@pytest.mark.fault("activation", "a generation serves", "a new one crashes 30 s after its start, loading", "taken back")
def test_a_unit_that_crashes_while_it_loads(serving: Machine) -> None:
    """If this fails, a server that dies whenever it loads is waited for until the gate's whole time is over."""
    done = serving.pollex("activate", generation("bad", mode="loading --dies 30", seconds=3600))
    assert done.returncode == 7, done.stderr
    assert f"{UNIT} keeps ending: restarted 2 times" in done.stderr
    assert "returned to good, which is healthy" in done.stderr
    nothing_lost(serving)


@pytest.mark.fault("activation", "a healthy generation", "its unit crashes 30 s after its start", "it is started again")
def test_a_unit_that_crashes_after_its_gate(serving: Machine) -> None:
    """If this fails, one crash ends the service until somebody looks after it."""
    serving.json("activate", generation("frail", mode="ok --dies 30"))
    assert completes(serving)
    frail = serving.pid(UNIT)
    serving.sh(f"until [ $(systemctl show -p NRestarts --value {UNIT}) -gt 0 ]; do sleep 0.2; done")
    serving.sh("until curl -s http://127.0.0.1:8080/health; do sleep 0.2; done")
    assert completes(serving)
    assert serving.pid(UNIT) != frail
    assert serving.json("status --json")["live"][f"service {UNIT}"] == "active"
    serving.json("activate", GOOD)
    nothing_lost(serving)


@pytest.mark.fault(
    "upload",
    "a bundle and a model are on their way",
    "the board reboots, or loses its power",
    "both come, the model's rest",
)
@AWAY
def test_the_board_goes_away_while_things_come(serving: Machine, away: Callable[[Board], None]) -> None:
    """If this fails, what was half there at a power cut stays for ever, or passes for whole."""
    archive = bundle.archive({**bundle.FILES, "lib/large": os.urandom(2 * MB)})
    assert serving.pollex("ensure-bundle", bundle.text()).returncode == 10
    gone = threading.Event()
    held: list[bool] = []

    def hold(client: BaseHTTPRequestHandler) -> None:
        """The first client gets a third, and no more until its board is away."""
        if not held:
            held.append(True)
            client.wfile.write(CONTENT[:MB])
            client.wfile.flush()
            gone.wait()

    handler = models(hold)
    with answering(handler, serving.board.gateway) as url:
        serving.sh("cat >/tmp/model", model(url).encode())
        ssh = serving.board.ssh("root")
        with (
            subprocess.Popen(
                [*ssh, f"pollex-host receive {bundle.KEY}"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as sending,
            subprocess.Popen([*ssh, "pollex-host ensure-model </tmp/model"], stderr=subprocess.DEVNULL) as loading,
        ):
            assert sending.stdin is not None
            sending.stdin.write(archive[:MB])
            sending.stdin.flush()
            for folder, verb in (("archive/.*", sending), (f"build/{MODEL}/part", loading)):
                wait_for(partial(arrived, serving, f"/opt/pollex/{folder}"), verb)
            serving.sh("sync")
            away(serving.board)
            gone.set()
            sending.kill()
            loading.kill()
            sending.stdin.close()
        serving.sh("until curl -s http://127.0.0.1:8080/health; do sleep 0.2; done")
        # a process may see the end of its upload before the cut has come to it, and begin to unpack what is there
        nothing_lost(serving, tried_again=False)
        assert receive(serving, archive).returncode == 0
        assert serving.json("ensure-model", model(url))["how"] == "downloaded"
    assert handler.asked[0] is None
    assert (handler.asked[-1] or "").startswith("bytes=")
    assert serving.sh("ls -A /opt/pollex/archive").split() == sorted([f"{SERVER}.tar.gz", f"{bundle.ITEM}.tar.gz"])
    nothing_lost(serving, f"{MODEL}-model", bundle.ITEM)


def arrived(machine: Machine, place: str) -> bool:
    """Whether a good part of something lies there."""
    sizes = machine.sh(f"stat -c %s {place}", check=False).split()
    return any(int(size) >= MB // 2 for size in sizes)
