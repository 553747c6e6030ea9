"""Bad input: each cause is one clear error that names the setting, the host stays as it was, mending it is enough."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox import mirror
from sandbox.deployment import Deployment, deploy
from sandbox.mirror import Mirror

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A board on which nothing has been declared."""
    with (
        deploy("e2e-bare", tmp_path_factory.mktemp("bare"), disk_mb=4000) as deployed,
        Mirror(mirror.directory(), deployed.board.gateway) as kept,
    ):
        # compiling is tried elsewhere; where no build was kept yet, it is compiled here after all
        deployed.values["pollex:substituters"] = mirror.substituters(f"{kept.url}/store")
        deployed.write()
        yield deployed


@dataclass(frozen=True)
class Cause:
    """Something wrong: in the stack file, or on the board for the length of a `with` block."""

    words: tuple[str, ...]
    """What the error must say; the setting to change first."""
    values: dict[str, Any] = field(default_factory=dict)
    spoil: str = ""
    """A command that breaks something on the board, as root."""
    mend: str = ""
    """The command that takes it back."""

    @contextmanager
    def on(self, deployed: Deployment) -> Iterator[None]:
        """The cause in force."""
        neighbour = deployed.board.address.rpartition(".")[0] + ".200"
        deployed.write(**{path: neighbour if value == NEIGHBOUR else value for path, value in self.values.items()})
        if self.spoil:
            deployed.board.run(self.spoil, user="root")
        try:
            yield
        finally:
            if self.mend:
                deployed.board.run(self.mend, user="root")
            deployed.write()


NEIGHBOUR = "the address beside the board's"
"""Where nobody is, on the board's own network."""

SUDOERS = "/etc/sudoers.d"
SQUAT = """\
systemd-run --unit=squatter python3 -m http.server {port}
until curl -s localhost:{port} >/dev/null; do :; done
"""
CAUSES = {
    "unknown kind": Cause(("pollex:kind", '"hsot"', "nothing was contacted"), {"kind": "hsot"}),
    "no such name": Cause(("pollex:host.address", "no-board.invalid"), {"host__address": "no-board.invalid"}),
    "nobody there": Cause(("pollex:host.address",), {"host__address": NEIGHBOUR}),
    "closed port": Cause(("pollex:host.port", "2222"), {"host__port": 2222}),
    "wrong host key": Cause(
        ("pollex:host.hostKey",),
        {"host__hostKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBhj/SynsJAN2h9+MgDVpsfNdnhCfpSbXVF+kBPJuK8p"},
    ),
    "refused login": Cause(("pollex:host.user", "stranger"), {"host__user": "stranger"}),
    "no key file": Cause(("pollex:host.privateKeyFile", "/nowhere/id"), {"host__privateKeyFile": "/nowhere/id"}),
    "no sudo": Cause(
        ("pollex:host.sudo",),
        spoil=f"mv {SUDOERS} {SUDOERS}.away; mkdir {SUDOERS}",
        mend=f"rm -rf {SUDOERS}; mv {SUDOERS}.away {SUDOERS}",
    ),
    "other architecture": Cause(("pollex:host.architecture", "aarch64"), {"host__architecture": "aarch64"}),
    "full disk": Cause(("pollex:host.minDiskMb", "9000"), {"host__minDiskMb": 9000}),
    "little memory": Cause(("pollex:host.minMemoryMb",), {"host__minMemoryMb": 10_000_000}),
    "missing compiler": Cause(
        ("pollex:build.packages", "/usr/local/cuda/bin/nvcc"), {"build__profile": "cuda10", "source__tag": "b5050"}
    ),
    "unknown account": Cause(("pollex:server.user", "llama"), {"server__user": "llama"}),
    "port in use": Cause(
        ("pollex:server.port", "8080", "python3"),
        spoil=SQUAT.format(port=8080),
        mend="systemctl stop squatter",
    ),
    "service's port in use": Cause(
        ("pollex:polish.port", "8090", "python3"),
        spoil=SQUAT.format(port=8090),
        mend="systemctl stop squatter",
    ),
    "unknown setting of the service": Cause(
        ("pollex:polish.settings.rate_limt", "did you mean rate_limit?", "nothing was contacted"),
        {"polish__settings": {"rate_limt": 60}},
    ),
    "no such prompt": Cause(("pollex:polish.prompt", "nowhere.txt"), {"polish__prompt": "nowhere.txt"}),
}


@pytest.mark.parametrize("name", CAUSES)
def test_one_clear_error(bare: Deployment, name: str) -> None:
    """If this fails, a user is left with a stack trace, or with half a board."""
    cause, before = CAUSES[name], bare.snapshot()
    with cause.on(bare):
        result = bare.pulumi.up("--skip-preview", check=False)
    said = result.stdout + result.stderr
    assert result.status != 0
    for word in cause.words:
        assert word in said, said
    assert "Traceback" not in said
    assert bare.snapshot() == before
    assert bare.board.run("ls /opt/pollex", check=False).stdout == ""


@pytest.mark.fault("up", "nothing is declared", "the disk is full", "said, with the numbers")
def test_no_space_for_the_model(bare: Deployment) -> None:
    """If this fails, a full disk ends in half a model or in a message of curl's."""
    fill = "fallocate -l $(($(df --output=avail -B1M /opt | tail -1) - 60))M /opt/filler"
    with Cause((), {"host__minDiskMb": 1}, spoil=fill, mend="rm /opt/filler").on(bare):
        result = bare.pulumi.up("--skip-preview", check=False)
    assert result.status != 0
    assert re.search(r"\d+ MB.*free", result.stdout + result.stderr), result.stdout + result.stderr


def test_when_the_causes_are_gone(bare: Deployment) -> None:
    """If this fails, an error leaves something behind that keeps the board from ever being declared."""
    bare.pulumi.up()
    assert bare.polish("Say hello.")


def test_a_board_that_is_gone_can_be_dropped(bare: Deployment) -> None:
    """If this fails, a stack whose board was sold can never be removed."""
    bare.board.stop()
    assert bare.pulumi.destroy(check=False).status != 0
    # docs/how-to/deploy-jetson.md, "A board that is gone"
    bare.pulumi.run("stack", "rm", "--force", "--yes", "--preserve-config")
    listed = subprocess.run(
        bare.pulumi.command("stack", "ls"), env=bare.pulumi.env(), capture_output=True, text=True, check=False
    )
    assert bare.pulumi.stack not in listed.stdout
