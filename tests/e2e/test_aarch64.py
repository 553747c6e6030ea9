"""A board of the Nano's architecture, from bare to a polished sentence; QEMU runs its programs, systemd among them.

An imitation of the processor: nothing here speaks of speed, and under QEMU the kernel takes no seccomp filters, so
SystemCallFilter=, MemoryDenyWriteExecute= and their like are not in force.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox import mirror
from sandbox.__main__ import SENTENCE, polish
from sandbox.aarch64.__main__ import PATIENCE, values
from sandbox.board import Board
from sandbox.deployment import Deployment
from sandbox.mirror import Mirror

pytestmark = pytest.mark.timeout(2 * PATIENCE)

ELF = """\
import json, os
machines = {}
for place, _, files in os.walk("/opt/pollex"):
    for file in files:
        with open(os.path.join(place, file), "rb") as opened:
            head = opened.read(20)
        if head[:4] == b"\\x7fELF":
            machines[os.path.join(place, file)] = head[18]
print(json.dumps(machines))
"""
"""Every program and library that was brought, with the number of its architecture (EM_AARCH64 is 183)."""


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The board, and a stack whose build, interpreter and model are in the mirror."""
    folder = tmp_path_factory.mktemp("aarch64")
    with (
        Board.temporary("e2e-aarch64", emulated="aarch64") as board,
        Mirror(mirror.directory(), board.gateway) as mirrored,
    ):
        deployed = Deployment(board, folder, mirror.directory(), mirrored.url)
        deployed.values = values(board, mirrored.url)
        deployed.write()
        yield deployed


@pytest.fixture(scope="module")
def found(nano: Deployment) -> str:
    """What stood on the board before anything was declared."""
    return nano.snapshot()


@pytest.fixture(scope="module")
def up(nano: Deployment, found: str) -> Deployment:
    """The board with everything on it."""
    assert found
    nano.pulumi.up()
    return nano


def live(up: Deployment) -> str:
    """The generation that serves."""
    said = up.board.run("pollex-host status --json", user="root", timeout=PATIENCE).stdout
    return str(json.loads(said.splitlines()[-1])["generation"])


def test_a_sentence_is_polished(up: Deployment) -> None:
    """If this fails, a board of the Nano's architecture does not get as far as one of a laptop's."""
    assert up.board.run("uname -m").stdout == "aarch64\n"
    declared = up.pulumi.outputs()
    polished = polish(declared["page"], declared["model"], SENTENCE, PATIENCE)
    assert polished != SENTENCE
    assert "library" in polished


def test_nothing_was_compiled_there(up: Deployment) -> None:
    """If this fails, a substituter cannot spare a Nano its hour of compiling."""
    (ensured,) = [one for one in up.pulumi.resources() if one["urn"].endswith("::llama-server")]
    assert json.loads(ensured["outputs"]["stdout"])["how"] == "substituted"
    assert up.board.run("command -v g++", check=False).returncode != 0


def test_the_tools_run_on_the_interpreter_that_was_brought(up: Deployment) -> None:
    """If this fails, a board whose own Python is too old, as JetPack's, can run no tool."""
    assert up.board.run("python3 --version", check=False).stdout == "3.6\n"
    told = up.board.run("readlink /opt/pollex/bin/python").stdout
    assert told.startswith("/opt/pollex/lib/python-")


def test_all_that_was_brought_is_for_that_processor(up: Deployment) -> None:
    """If this fails, a wheel or an interpreter for another processor reaches a Nano, and fails there."""
    found = up.board.run(f"/opt/pollex/bin/python -c '{ELF}'", user="root", timeout=PATIENCE).stdout
    machines: dict[str, int] = json.loads(found)
    assert set(machines.values()) == {183}
    parts = {path.split("/")[3] + "/" + path.rpartition("/")[2].partition(".")[0] for path in machines}
    assert {"store/llama-server", "store/python3", "store/_pydantic_core", "lib/python3"} <= parts


def test_a_second_up_changes_nothing(up: Deployment) -> None:
    """If this fails, drift is seen on a Nano where there is none."""
    assert up.pulumi.up("--refresh").changes == {}


def test_what_does_not_work_is_taken_back(up: Deployment) -> None:
    """If this fails, a Nano is left without a server by a mistake in a setting."""
    before = live(up)
    up.write(server__extraArgs=["--no-such-option"])
    assert up.pulumi.up(check=False).status != 0
    up.write()
    assert live(up) == before
    assert up.show("ActiveState") == ["active"]


def test_destroy_leaves_the_board_as_found(up: Deployment, found: str) -> None:
    """If this fails, `destroy` leaves something on a Nano."""
    up.pulumi.destroy()
    assert up.snapshot() == found
