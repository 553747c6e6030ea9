"""A board with the oldest userland that Debian still serves, from bare to a polished sentence and back.

It compiles llama-server where none was kept for boards of its release: what newer ones build asks for a newer glibc.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from infra.jetpack.table import OLDEST
from sandbox import mirror
from sandbox.__main__ import SENTENCE, keep_build, polish
from sandbox.deployment import Deployment, deploy
from sandbox.mirror import Mirror
from sandbox.oldest import SHELF, interpreter

pytestmark = pytest.mark.timeout(1800)

VERSIONS = {
    "systemd": "systemctl --version",
    "openssh": "ssh -V 2>&1",
    "git": "git --version",
    "python": "python3 --version",
    "sudo": "sudo --version",
    "curl": "curl --version",
    "tar": "tar --version",
    "coreutils": "cp --version",
    "glibc": "ldd --version",
    "openssl": "openssl version",
    "mawk": "awk -W version 2>&1",
}
"""Program, as infra/jetpack/table.py names it, to what prints its version."""


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The board and its stack."""
    folder = tmp_path_factory.mktemp("oldest")
    with (
        deploy("e2e-oldest", folder, debian="bullseye") as deployed,
        Mirror(mirror.directory(), deployed.board.gateway) as kept,
    ):
        deployed.values["pollex:substituters"] = mirror.substituters(f"{kept.url}/{SHELF}")
        deployed.values["pollex:polish"]["python"] = interpreter(kept.url)
        deployed.write()
        yield deployed


@pytest.fixture(scope="module")
def found(life: Deployment) -> str:
    """What stood on the board before anything was declared."""
    return life.snapshot()


def test_it_is_as_old_as_the_documents_say(life: Deployment) -> None:
    """If this fails, "works on the oldest userland" is said of a newer one."""
    for name, command in VERSIONS.items():
        line = life.board.run(command).stdout.splitlines()[0]
        assert re.search(rf"[ _(]{re.escape(OLDEST[name])}(?!\d)", line), f"{name}: {line}"


def test_a_sentence_is_polished(life: Deployment, found: str) -> None:
    """If this fails, a board with an older userland than the developers' gets no polisher."""
    assert found
    life.pulumi.up()
    declared = life.pulumi.outputs()
    keep_build(life.board, f"{declared['key']}-llama-server", SHELF)
    polished = polish(declared["page"], declared["model"], SENTENCE)
    assert polished != SENTENCE
    assert "library" in polished
    assert life.show("ActiveState", "DynamicUser", unit="pollex.service") == ["active", "yes"]


def test_the_tools_run_on_the_oldest_python_that_they_accept(life: Deployment) -> None:
    """If this fails, the tools need a newer Python than they say."""
    told = life.board.run("/opt/pollex/bin/python -c 'import sys; print(sys.version_info[:2])'").stdout
    assert told == "(3, 9)\n"


def test_a_second_up_changes_nothing(life: Deployment) -> None:
    """If this fails, drift is seen on such a board where there is none."""
    assert life.pulumi.up("--refresh").changes == {}


def test_what_does_not_work_is_taken_back(life: Deployment) -> None:
    """If this fails, a mistake in a setting leaves such a board without a server."""
    before = life.status()["generation"]
    life.write(server__extraArgs=["--no-such-flag"])
    failed = life.pulumi.up(check=False)
    assert failed.status != 0
    assert "no-such-flag" in failed.stdout + failed.stderr
    life.write()
    assert life.status()["generation"] == before
    assert json.loads(life.board.run("curl -sS --fail localhost:8080/health").stdout)["status"] == "ok"


def test_destroy_leaves_the_board_as_found(life: Deployment, found: str) -> None:
    """If this fails, `destroy` leaves something on such a board."""
    life.pulumi.up()
    life.pulumi.destroy()
    assert life.snapshot() == found
