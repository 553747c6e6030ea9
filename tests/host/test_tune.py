"""How the live model is fastest is measured on the host, and what the fastest computes is judged.

llama-bench and llama-server are scripts here (stand_in.py), in the store as if they had been built.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infra import proof
from infra.core.derivation import Derivation
from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.manifest import (
    Build,
    Gate,
    Generation,
    Link,
    Model,
    Proof,
    Quantised,
    Serves,
    Source,
    Unit,
)
from sandbox.board import Board
from tests.host import stand_in
from tests.host.conftest import KEY, Host
from tests.host.machine import Machine
from tests.waiting import wait_for

PROGRAM = f"{KEY}-llama-server"
BENCH = sha256(f"{KEY} llama-bench".encode()).hexdigest()[:32]
FIRST, BEST = "-t 2 -b 2048 -ub 512", "-t 1 -b 2048 -ub 128"
BOTH = "GGML_CUDA_HALF2=1 GGML_CUDA_HGEMM=1"

PUBLISHED, SOURCE, MADE, OTHER = (f"{letter * 32}-model" for letter in "abcd")
FILES = {PUBLISHED: "m.Q4_K.gguf", SOURCE: "m.Q8_0.gguf", MADE: "m.Q8_0.to-Q4_0-Q8_0-Q6_K.gguf", OTHER: "e.Q4_0.gguf"}
SET = "set `quantise: { type: Q4_0, embedding: Q6_K, requantise: true }` below pollex:model"
REMOVE = "remove the line `quantise: …` below pollex:model"


def write(files: Mapping[Path, str]) -> None:
    """Files that can be run."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def serve(host: Host, name: str, item: str, alias: str = "m", layers: int = 0, *options: str) -> None:
    """A generation that serves a model; it is the live one."""
    serves = Serves(
        program=PROGRAM,
        model=item,
        file=FILES[item],
        alias=alias,
        options=("-m", "/opt/x.gguf", "--alias", alias, "-ngl", str(layers), "-t", "2", *options),
        adopts=False,
    )
    unit = Unit(name="llama-server.service", text="[Service]\n", needs=(PROGRAM, item), serves=serves)
    write({host.root / f"generations/{name}/manifest.json": manifest.text(Generation(id=name, units=(unit,)))})
    (host.root / "current").unlink(missing_ok=True)
    (host.root / "current").symlink_to(f"generations/{name}")


def published(item: str) -> Model:
    """The manifest of a model as it was published."""
    return Model(
        key=item[:32],
        name="model",
        file=FILES[item],
        size=4,
        sha256="e" * 64,
        mirrors=("https://example.org/m.gguf",),
        adopt="/opt/m.gguf" if item == PUBLISHED else None,
    )


def program(key: str, name: str, proof: Proof | None = None) -> Build:
    """The manifest of a program."""
    source = Source(commit="d" * 40, tree="e" * 40, number=1, mirrors=())
    return Build(key=key, name=name, target=name, source=source, proof=proof)


def give_model(host: Host, item: str, source: str = "") -> None:
    """A finished model file with its manifest."""
    made = Quantised(
        key=item[:32],
        name="model",
        file=FILES[item],
        arguments=("--output-tensor-type", "q8_0", "--token-embedding-type", "q6_k", "--allow-requantize"),
        type="Q4_0",
        source=published(source or item),
        tool=program("f" * 32, "llama-quantize"),
    )
    write(
        {
            host.root / f"store/{item}/{FILES[item]}": "GGUF",
            host.root / f"drv/{item}/manifest.json": manifest.text(made if source else published(item)),
        }
    )


@pytest.fixture
def live(host: Host) -> Host:
    """A host of two cores on which a model is served, with both programs in the store."""
    write(
        {
            host.root / f"drv/{PROGRAM}/manifest.json": manifest.text(program(KEY, "llama-server")),
            host.root / f"store/{PROGRAM}/bin/llama-server": stand_in.SERVER,
            host.root / f"store/{BENCH}-llama-bench/bin/llama-bench": stand_in.BENCH,
        }
    )
    cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[:2])
    host.command = ["taskset", "--cpu-list", cores, *host.command]
    give_model(host, PUBLISHED)
    serve(host, "g", PUBLISHED)
    return host


def facts(host: Host) -> dict[str, Any]:
    """The facts that `status` shows."""
    return dict(host.json("status", "--json")["facts"])


def milliseconds(reads: int, writes: int) -> float:
    """Of a polish."""
    return 300 / reads * 1000 + 200 / writes * 1000


def test_the_fastest_is_found_and_shown(live: Host) -> None:
    """If this fails, a board runs with settings that cost its owner seconds a text, and `refresh` shows none better."""
    assert "tuned" not in facts(live)
    answer = live.json("tune")
    assert (answer["winner"], answer["milliseconds"]) == (BEST, milliseconds(150, 20))
    assert answer["before"] == milliseconds(100, 10)
    assert answer["text"] == "48 of 48 tokens of a text are the same; log-probabilities 0.000 off"
    varied = ("-t 1 -b 2048 -ub 512", "-t 1 -b 2048 -ub 256", BEST, "-t 1 -b 256 -ub 128", "-t 1 -b 128 -ub 128")
    table = {name: f"m.Q4_K.gguf: {name}" for name in (FIRST, *varied, f"{BEST} -fa")}
    assert set(answer["table"]) == set(table.values())
    assert answer["table"][table[FIRST]] == "reads 100.0, writes 10.0 tokens/s, 23000 ms"
    assert answer["table"][table[f"{BEST} -fa"]] == "cannot be used here (unsupported)"
    assert json.loads((live.root / "facts/tune.json").read_text()) == answer
    options = [line for line in (live.root / "facts/tune.env").read_text().splitlines() if not line.startswith("#")]
    assert options == [f"POLLEX_TUNED={BEST}"]
    assert facts(live)["tuned"] == BEST
    assert facts(live)["fastestModel"] == "m.Q4_K.gguf, which is served, of 1 measured"


def test_what_the_unit_says_is_where_it_begins(live: Host) -> None:
    """If this fails, a board is compared with options that it does not have, and "before" says nothing."""
    serve(live, "g", PUBLISHED, "m", 0, "-b", "512", "--ubatch-size", "64", "-t", "3", "-fa")
    done = live.run("tune")
    assert done.returncode == 1
    assert "-t 3 -b 512 -ub 64 -fa: cannot be used here" in done.stderr


def test_both_kernel_paths_win_together(live: Host) -> None:
    """If this fails, a board reads at half the speed, or writes at half, although it could do both at full."""
    serve(live, "g", PUBLISHED, layers=999)
    answer = live.json("tune")
    assert (answer["winner"], answer["milliseconds"]) == (f"{BEST} with {BOTH}", milliseconds(300, 40))
    tried = {name.partition(" with ")[2] for name in answer["table"]}
    assert tried == {"", "GGML_CUDA_HALF2=1", "GGML_CUDA_HGEMM=1", BOTH}
    assert (
        answer["text"]
        == "47 of 48 tokens of a text are the same, the others about as likely; log-probabilities 0.000 off"
    )
    options = (live.root / "facts/tune.env").read_text().splitlines()[1:]
    assert options == [f"POLLEX_TUNED={BEST}", *BOTH.split()]
    assert facts(live)["tuned"] == f"{BEST} {BOTH}"


def test_a_path_that_writes_something_else_never_wins(live: Host) -> None:
    """If this fails, a fast path that is right for a tiny model and garbles the real one is adopted."""
    write({live.root / f"store/{PROGRAM}/bin/llama-server.garbles": ""})
    give_model(live, MADE, PUBLISHED)
    serve(live, "g", PUBLISHED, layers=999)
    answer = live.json("tune")
    assert answer["winner"] == f"{BEST} with GGML_CUDA_HGEMM=1"
    for kernels in ("GGML_CUDA_HALF2=1", BOTH):
        wrong = answer["table"][f"m.Q4_K.gguf: {BEST} with {kernels}"]
        assert wrong.endswith('ms; wrong: token 6 of a text is "w8 {", not "w105 {"')
    made = {name.partition(" with ")[2] for name in answer["table"] if name.startswith(FILES[MADE])}
    assert made == {"", "GGML_CUDA_HGEMM=1"}
    assert answer["faster"] == 1.5


def test_what_computes_wrongly_never_wins(live: Host) -> None:
    """If this fails, a program that garbles texts goes on serving, and a table says how fast."""
    known = proof.texts()
    judged = program(KEY, "llama-server", Proof(**known))
    write({live.root / f"drv/{PROGRAM}/manifest.json": manifest.text(judged)})
    done = live.run("tune")
    assert done.returncode == 5
    assert "it computes wrongly as it is: it answered with" in done.stderr
    assert not (live.root / "facts/tune.env").exists()


@pytest.mark.parametrize(
    ("served", "source", "advice"),
    [(PUBLISHED, PUBLISHED, SET), (PUBLISHED, SOURCE, SET), (MADE, SOURCE, REMOVE), (MADE, PUBLISHED, REMOVE)],
)
def test_other_files_of_the_model_are_measured(live: Host, served: str, source: str, advice: str) -> None:
    """If this fails, nobody learns that another file would be faster, or how to have it served."""
    for item in (SOURCE, OTHER):
        give_model(live, item)
    give_model(live, MADE, source)
    serve(live, "e", OTHER, "embedder")
    serve(live, "f", MADE if served == PUBLISHED else PUBLISHED)
    serve(live, "g", served)
    if served == MADE:
        bench = live.root / f"store/{BENCH}-llama-bench/bin/llama-bench"
        bench.write_text(stand_in.BENCH.replace("*Q4_0*", "*Q4_K*"))
    answer = live.json("tune")
    measured = {name.partition(":")[0] for name in answer["table"]}
    assert measured == {FILES[PUBLISHED], FILES[MADE]} | ({FILES[SOURCE]} if source == SOURCE else set())
    other = FILES[MADE if served == PUBLISHED else PUBLISHED]
    assert (answer["winner"], answer["model"]) == (BEST, FILES[served])
    assert (answer["fastest"], answer["faster"], answer["advice"]) == (other, 1.5, advice)
    said = f"{other}, 1.50 times as fast as {FILES[served]}, which is served: to change that, {advice}"
    assert facts(live)["fastestModel"] == said
    assert FILES[MADE] not in (live.root / "facts/tune.env").read_text().split("\n", 1)[1]


def test_an_unfinished_file_is_no_candidate(live: Host) -> None:
    """If this fails, a model whose file was deleted ends the measurement of the others."""
    give_model(live, MADE, PUBLISHED)
    (live.root / f"store/{MADE}/{FILES[MADE]}").unlink()
    assert all(name.startswith("m.Q4_K.gguf: ") for name in live.json("tune")["table"])


def test_a_bench_that_fails_is_said(live: Host) -> None:
    """If this fails, nobody learns why nothing was found."""
    (live.root / f"store/{BENCH}-llama-bench/bin/llama-bench").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    done = live.run("tune")
    assert done.returncode == 1
    assert "nothing could be measured" in done.stderr
    assert "broken" in done.stderr


def test_a_bench_that_hangs_is_ended(live: Host) -> None:
    """If this fails, a kernel that hangs keeps the server out of service until somebody logs in."""
    (live.root / f"store/{BENCH}-llama-bench/bin/llama-bench").write_text("#!/bin/sh\nexec sleep 250\n")
    live.environment["POLLEX_TUNE_WAIT"] = "1"
    done = live.run("tune")
    assert done.returncode == 1
    assert "it did not end within 1 s" in done.stderr


def test_a_killed_measurement_leaves_the_former_facts(live: Host) -> None:
    """If this fails, half a table is taken for a whole one, or the measurement goes on beside the server."""
    live.json("tune")
    before = {file: file.read_bytes() for file in (live.root / "facts").iterdir()}
    bench = live.root / f"store/{BENCH}-llama-bench/bin/llama-bench"
    bench.write_text('#!/bin/sh\necho $$ >"$0.pid"\nexec sleep 100\n')
    with subprocess.Popen([*live.command, "tune"], env=live.environment, stderr=subprocess.DEVNULL) as tune:
        pid = bench.with_name("llama-bench.pid")
        wait_for(lambda: pid.exists() and pid.read_text().strip(), tune)
        tune.send_signal(signal.SIGTERM)
        assert tune.wait() == 143
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
    assert {file: file.read_bytes() for file in (live.root / "facts").iterdir()} == before


def test_one_at_a_time(live: Host) -> None:
    """If this fails, an activation starts the server in the middle of a measurement, which is then of two programs."""
    activation = os.open(live.root / "generations", os.O_RDONLY)
    fcntl.flock(activation, fcntl.LOCK_EX)
    done = live.run("tune")
    os.close(activation)
    assert done.returncode == 9, done.stderr


def test_nothing_live(host: Host) -> None:
    """If this fails, the tool measures something that nobody runs."""
    done = host.run("tune")
    assert done.returncode == 1
    assert "nothing is live" in done.stderr
    assert not Path(host.root / "facts").exists()


def test_a_generation_of_an_earlier_release_is_not_guessed_at(live: Host) -> None:
    """If this fails, a board that was just upgraded is measured with options that its unit does not have."""
    folder = live.root / "generations/former"
    write(
        {
            folder / "env": "kind=generation\nid=former\n",
            folder / "units/llama-server.service": "[Service]\nExecStart=/usr/local/bin/llama-server -t 3\n",
            folder / "needs": f"llama-server.service\t/opt/pollex/store/{PROGRAM}\n",
        }
    )
    (live.root / "current").unlink()
    (live.root / "current").symlink_to("generations/former")
    done = live.run("tune")
    assert done.returncode == 1
    assert "made live by an earlier release; in that case run the deployment once more" in done.stderr


# On a board: what the pause does to the service.

SERVICE = "llama-server.service"
SERVED = Derivation("llama-server", {"text": stand_in.SERVER})
MEASURES = sha256(f"{SERVED.key} llama-bench".encode()).hexdigest()[:32]
MODEL = "/opt/pollex/store/" + PUBLISHED
ADOPTING = f"""[Service]
EnvironmentFile=-/opt/pollex/facts/tune.env
ExecStart=/usr/bin/python3 {SERVED.path}/bin/llama-server \\
    -m {MODEL}/m.Q4_K.gguf \\
    --host 127.0.0.1 \\
    -t 2 \\
    $POLLEX_TUNED
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
FORMER = "# fastest model: m.Q4_K.gguf\nPOLLEX_TUNED=-t 2 -b 1024\n"
DROP_IN = f"/run/systemd/system/{SERVICE}.d"


@pytest.fixture(scope="module")
def board() -> Iterator[Machine]:
    """A board on which scripts are live that adopt what is measured, and were measured once."""
    with Board.temporary("host-tune") as booted:
        machine = Machine(booted, "python3-minimal")
        files = {
            f"{SERVED.path}/bin/llama-server": stand_in.SERVER,
            f"/opt/pollex/store/{MEASURES}-llama-bench/bin/llama-bench": stand_in.BENCH,
            f"{MODEL}/m.Q4_K.gguf": "GGUF",
            f"/opt/pollex/drv/{SERVED.item}/manifest.json": manifest.text(program(SERVED.key, "llama-server")),
        }
        for path, text in files.items():
            machine.sh(f"mkdir -p {Path(path).parent}; cat >{path}; chmod 755 {path}", text.encode())
        machine.sh(f"cd {SERVED.path} && sha256sum bin/llama-server >.sha256sums")
        url = "http://127.0.0.1:8080"
        unit = Unit(
            name=SERVICE,
            text=ADOPTING,
            needs=(SERVED.item,),
            links=(Link("/opt/llama-models/m.gguf", f"{MODEL}/m.Q4_K.gguf"),),
            gate=Gate(f"{url}/health", f"{url}/v1/chat/completions", 5),
            serves=Serves(SERVED.item, PUBLISHED, "m.Q4_K.gguf", "m", ("-t", "2"), adopts=True),
        )
        machine.json("activate", manifest.text(Generation(id="tuned", units=(unit,))))
        yield machine


@pytest.fixture
def adopting(board: Machine) -> Iterator[Machine]:
    """The board, with the facts of a former measurement."""
    board.sh("rm -f /etc/unfit /tmp/pollex-slow-bench; mkdir -p /opt/pollex/facts")
    board.sh("rm -f /opt/pollex/facts/*; cat >/opt/pollex/facts/tune.env", FORMER.encode())
    board.sh(f"systemctl reset-failed {SERVICE}; systemctl restart {SERVICE}")
    yield board
    board.sh("rm -f /etc/unfit /tmp/pollex-slow-bench")


def runs_with(machine: Machine) -> str:
    """The options of the process in service, once it answers."""
    ask = "until curl -s -d '{}' http://127.0.0.1:8080/v1/chat/completions; do sleep 0.2; done"
    words: str = json.loads(machine.sh(ask))["choices"][0]["message"]["content"]
    return words.partition("-t 2 ")[2]


def stays_as_it_was(machine: Machine) -> None:
    """The server runs with the former options, and nothing speaks of others."""
    assert runs_with(machine) == "-t 2 -b 1024"
    assert machine.sh("cat /opt/pollex/facts/*") == FORMER.strip()
    assert machine.sh(f"(ls {DROP_IN}; ls -d /tmp/pollex.*) 2>&1", check=False).count("No such file") == 2
    assert machine.sh(f"systemctl is-active {SERVICE}") == "active"
    assert machine.sh(f"systemctl show -p NeedDaemonReload --value {SERVICE}") == "no"


def test_what_was_measured_is_adopted_behind_the_gate(adopting: Machine) -> None:
    """If this fails, `tune: adopt` changes nothing, or what is in service is not what the facts say."""
    assert runs_with(adopting) == "-t 2 -b 1024"
    live = adopting.json("status --json")["live"]
    answer = adopting.json("tune")
    assert answer["winner"] == BEST
    assert runs_with(adopting) == BEST
    pid = adopting.pid(SERVICE)
    adopting.sh(f"systemctl restart {SERVICE}")
    assert runs_with(adopting) == BEST
    assert adopting.pid(SERVICE) != pid
    assert adopting.sh(f"ls {DROP_IN}", check=False) == ""
    assert adopting.json("status --json")["live"] == live


def test_what_makes_it_unhealthy_is_withdrawn(adopting: Machine) -> None:
    """If this fails, a board is down after a measurement, until somebody logs in and deletes a file."""
    adopting.sh("echo '-ub 128' >/etc/unfit")
    done = adopting.pollex("tune")
    assert done.returncode == 7, done.stderr
    assert "unfit for service with -ub 128" in done.stderr
    assert "back in service as it was" in done.stderr
    stays_as_it_was(adopting)


def test_a_server_that_does_not_come_back_is_said(adopting: Machine) -> None:
    """If this fails, a measurement ends well although the server is down."""
    adopting.sh("echo '-m ' >/etc/unfit")
    done = adopting.pollex("tune")
    assert done.returncode == 7
    assert f"{SERVICE} is unhealthy with what was in force before, too" in done.stderr


MEASURING = "touch /tmp/pollex-slow-bench"
TRYING = "echo '-ub 128' >/etc/unfit"
CUT = """
{begin}
setsid pollex-host tune >/dev/null 2>&1 &
until {there} || ! kill -0 $!; do sleep 0.1; done
"""


@pytest.mark.parametrize(
    ("begin", "there"),
    [(MEASURING, "test -s /tmp/pollex-slow-bench"), (TRYING, f"test -e {DROP_IN}/pollex-tune.conf")],
    ids=["measuring", "trying"],
)
@pytest.mark.parametrize("how", ["killed", "power cut"])
def test_a_killed_measurement_leaves_the_server_running(adopting: Machine, begin: str, there: str, how: str) -> None:
    """If this fails, ^C or a power cut takes the polisher down, or leaves it with options that nobody proved."""
    begun = CUT.format(begin=begin, there=there)
    if how == "killed":
        adopting.sh(f"{begun} kill $!; wait $!", check=False)
    else:
        adopting.sh(begun)
        adopting.board.cut_power()
        adopting.sh("rm -rf /tmp/pollex.*")
    stays_as_it_was(adopting)


def test_a_lost_connection_loses_nothing(adopting: Machine) -> None:
    """If this fails, a measurement of a quarter of an hour is lost with the laptop's network."""
    adopting.sh("pollex-host tune 2>&1 | head -n 1")
    adopting.sh("until [ -e /opt/pollex/facts/tune.json ]; do sleep 0.2; done")
    assert runs_with(adopting) == BEST
