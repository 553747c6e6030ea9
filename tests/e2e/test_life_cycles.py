"""What may happen to a stack, its state and its board between two runs; after each, the same must hold.

The service answers, the next `up` changes nothing, and `destroy` leaves nothing of ours running and puts back what
stood there before. One board carries all rows, but no row needs another: each deploys anew onto a board that is as it
was found, and leaves it so.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from sandbox import mirror
from sandbox.__main__ import keep_build
from sandbox.deployment import Deployment, copy_project, deploy
from sandbox.engine import CHECKOUT, Result
from sandbox.mirror import Mirror

pytestmark = pytest.mark.timeout(1800)

FORMER = Path(__file__).parent / "former/ea81e43.tar.xz"
"""The program of an older revision; the README beside it says how it was packed."""

OWN = """\
printf '[Service]\\nExecStart=/bin/sleep 100001\\n[Install]\\nWantedBy=multi-user.target\\n' \
    >/etc/systemd/system/llama-server.service
mkdir /etc/pollex
echo 'somebody: own' >/etc/pollex/pollex.yaml
printf '#!/bin/sh\\n' >/usr/local/bin/pollex
systemctl daemon-reload
systemctl enable -q --now llama-server
"""
"""Somebody's own server, settings and program at the places that ours will take."""

SEEN = r"""
find /etc/systemd/system /etc/pollex /usr/local /opt /home -path /opt/pollex -prune \
    -o -printf '%M %u %p %l\n' 2>/dev/null | sort
cat /etc/systemd/system/llama-server.service /etc/pollex/pollex.yaml /usr/local/bin/pollex 2>/dev/null
systemctl is-enabled llama-server pollex 2>/dev/null
systemctl is-active llama-server pollex
"""
"""Everything outside of /opt/pollex that is ours to change, and what runs."""

CLEAR = """\
systemctl disable -q --now llama-server pollex
pollex-host deactivate
systemctl disable -q --now llama-server
rm -rf /etc/systemd/system/llama-server.service /etc/systemd/system/pollex.service /etc/pollex /usr/local/bin/pollex
rm -rf /usr/local/bin/llama-server /opt/pollex/id /opt/pollex/owner.json /opt/pollex/layout /opt/llama-models
systemctl daemon-reload
systemctl reset-failed
"""
"""As found, whatever a row that failed left behind; what was built stays."""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A board that gets its server from where the last build was kept; where none was, it compiles once."""
    with (
        deploy("e2e-cycles", tmp_path_factory.mktemp("cycles")) as deployed,
        Mirror(mirror.directory(), deployed.board.gateway) as kept,
    ):
        deployed.values["pollex:substituters"] = mirror.substituters(f"{kept.url}/store")
        yield deployed


def stack_of(board: Deployment, folder: Path, name: str = "") -> Deployment:
    """A stack with a project and a state of its own for the same board."""
    url = board.values["pollex:model"]["url"].rpartition("/")[0]
    made = Deployment(board.board, folder, board.served, url)
    made.values["pollex:substituters"] = board.values["pollex:substituters"]
    made.write()
    if name:
        made.pulumi = replace(made.pulumi, stack=name)
    return made


@pytest.fixture
def life(board: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A stack that is up, on a board on which somebody's own things stood."""
    made = stack_of(board, tmp_path)
    made.board.run(OWN, user="root")
    try:
        yield made
    finally:
        made.board.run(CLEAR, user="root", check=False)


def seen(life: Deployment) -> str:
    """What the board looks like."""
    return life.board.run(SEEN, user="root", check=False).stdout


def named(life: Deployment, kind: str) -> tuple[str, str]:
    """The name of the one resource of a kind of ours, and what the engine calls it."""
    (found,) = [str(one["urn"]) for one in life.pulumi.resources() if one["type"] == f"pollex:index:{kind}"]
    return found.rpartition("::")[2], found


def said(result: Result) -> str:
    """All that a run printed."""
    return result.stdout + result.stderr


def owner(life: Deployment) -> str:
    """To whom the board belongs."""
    return str(life.status()["owner"])


def replaced(kind: str) -> Callable[[Deployment], None]:
    """Somebody asks for a resource to be made anew."""

    def happens(life: Deployment) -> None:
        name, urn = named(life, kind)
        assert life.pulumi.up("--replace", urn).steps[name] == "replace"

    return happens


def tainted(kind: str) -> Callable[[Deployment], None]:
    """Somebody marks a resource as spoiled."""

    def happens(life: Deployment) -> None:
        name, urn = named(life, kind)
        life.pulumi.run("state", "taint", "--yes", urn)
        assert life.pulumi.up().steps[name] == "replace"

    return happens


def targeted(life: Deployment) -> None:
    """Somebody destroys the generation alone, and deploys it alone."""
    name, urn = named(life, "Generation")
    life.pulumi.destroy("--target", urn)
    assert life.show("ActiveState", unit="pollex.service") != ["active"]
    assert life.pulumi.up("--target", urn).steps[name] == "create"


def renamed(life: Deployment) -> None:
    """A program gives the generation another name, and no alias."""
    component = life.project / "infra/kinds/host/component.py"
    text, changes = re.subn(r"(= Generation\(\n +)[^\n]+", r'\1"renamed",', component.read_text())
    assert changes == 1
    component.write_text(text)
    name, _ = named(life, "Generation")
    steps = life.pulumi.up().steps
    assert (steps["renamed"], steps[name]) == ("create", "delete")


def lost_state(life: Deployment) -> None:
    """The state is gone: another one of the same name is another owner, until it is wanted."""
    before, former = life.status(), owner(life)
    shutil.rmtree(life.pulumi.state)
    refused = life.pulumi.up(check=False)
    assert refused.status != 0
    assert f"belongs to the stack {former}, and this is" in said(refused)
    assert life.status()["live"] == before["live"]
    life.write(host__takeover=former)
    assert f"taken over from the stack {former}" in said(life.pulumi.up())
    life.write()
    life.pulumi.up()


def lost_disk(life: Deployment) -> None:
    """The disk of /opt/pollex is gone, and what it held of somebody's with it."""
    life.board.run("rm -rf /opt/pollex", user="root")
    life.pulumi.up("--refresh")


def lost_disk_and_changed(life: Deployment) -> None:
    """The same, and what is declared now is not what stands there."""
    life.board.run("rm -rf /opt/pollex", user="root")
    life.values["pollex:server"]["threads"] = 1
    life.values["pollex:polish"]["settings"] = {"rate_limit": 60}
    life.write()
    life.pulumi.up("--refresh")


def lost_home(life: Deployment) -> None:
    """The login's home is emptied, and everything is asked for again."""
    life.board.run("rm -rf ~/.pollex")
    life.values["pollex:host"]["minDiskMb"] += 1
    life.write()
    life.pulumi.up("--refresh")


def changed_user(life: Deployment) -> None:
    """Another account logs in."""
    life.values["pollex:host"] |= {"user": "root", "sudo": False}
    life.write()
    life.pulumi.up()


def changed_port(life: Deployment) -> None:
    """Both servers listen elsewhere, and no more where they did."""
    life.values["pollex:server"]["port"], life.values["pollex:polish"]["port"] = 8081, 8091
    life.write()
    life.pulumi.up()
    listening = life.board.run("ss -Htln").stdout
    for port, there in {8080: False, 8081: True, 8090: False, 8091: True}.items():
        assert (f":{port} " in listening) == there, listening


def renamed_model(life: Deployment) -> None:
    """Clients are to ask for the model by another name; no byte of it is fetched again."""
    life.values["pollex:model"]["name"] = "renamed:135m"
    life.write()
    steps = life.pulumi.up().steps
    assert (steps["llama-server"], steps["llama-model"]) == ("same", "same")
    listed = json.loads(life.board.run("curl -sS --fail localhost:8080/v1/models").stdout)
    assert [model["id"] for model in listed["data"]] == ["renamed:135m"]


def destroyed(life: Deployment) -> None:
    """It is given up, and wanted again: what was built is still there."""
    life.pulumi.destroy()
    life.pulumi.up()
    (ensured,) = [one for one in life.pulumi.resources() if one["urn"].endswith("::llama-server")]
    assert json.loads(ensured["outputs"]["stdout"])["how"] == "present"


def flashed(life: Deployment) -> None:
    """The board is flashed anew: another key, which is refused until it is declared, and nothing of ours."""
    former = life.project.parent / "former.pub"
    shutil.copy(life.board.host_key, former)
    life.board.flash()
    life.write(host__hostKeyFile=str(former))
    assert "pollex:host.hostKey" in said(life.pulumi.up(check=False))
    life.write()
    # a refresh would still ask with the key that the state has
    life.pulumi.up()


def other_stack(life: Deployment) -> None:
    """Somebody else declares the same board: neither their `up` nor their `destroy` changes it."""
    other = stack_of(life, life.project.parent / "other", "sandbox-other")
    before = life.status()
    refused = other.pulumi.up(check=False)
    assert refused.status != 0
    assert f"belongs to the stack {owner(life)}, and this is pollex/sandbox-other" in said(refused)
    other.pulumi.destroy()
    assert life.status()["live"] == before["live"]


def taken_over(life: Deployment) -> None:
    """Somebody else takes the board over, and gives it back."""
    other = stack_of(life, life.project.parent / "other", "sandbox-other")
    former = owner(life)
    other.write(host__takeover=former)
    other.pulumi.up()
    theirs = owner(life)
    assert theirs.startswith("pollex/sandbox-other#")
    life.write(server__threads=1)
    assert theirs in said(life.pulumi.up(check=False))
    life.write(host__takeover=theirs)
    life.pulumi.up()
    assert owner(life) == former
    left = said(other.pulumi.destroy())
    assert f"belongs to the stack {former}, and not to {theirs}" in left
    life.write()
    life.pulumi.up()


def to_revision(life: Deployment, archive: Path) -> None:
    """Put an older revision's program into the project's place; the plugin of commands stays today's, as it would."""
    shutil.rmtree(life.project)
    with tarfile.open(archive) as packed:
        packed.extractall(life.project, filter="data")
    (life.project / ".venv").symlink_to(CHECKOUT / ".venv")
    for name in ("command", "docker_build"):
        stand_in = life.project / "sandbox/plugins" / name / "__main__.py"
        stand_in.parent.mkdir(parents=True)
        again = f'[sys.executable, "-P", "-m", "sandbox.plugins.{name}", *sys.argv[1:]]'
        stand_in.write_text(f"import os, sys\nos.environ.pop('PYTHONPATH')\nos.execv(sys.executable, {again})\n")


def older(life: Deployment) -> None:
    """An older revision of the project, whose tools were shell, gets the board as the docs say, and gives it up."""
    life.pulumi.destroy()
    store = f"{life.values['pollex:substituters'][0]['url'].rpartition('/')[0]}/former"
    to_revision(life, FORMER)
    life.write(server__user=life.board.user, substituters=[store])
    assert set(life.pulumi.up().steps.values()) == {"create"}
    assert life.polish("Say hello.")
    former, item = life.status(), f"{life.pulumi.outputs()['key']}-llama-server"

    shutil.rmtree(life.project)
    copy_project(life.project)
    life.write()
    steps = life.pulumi.up().steps
    assert (steps["llama-tools"], steps["llama-model"], steps["llama-generation"]) == ("create", "update", "update")
    assert (life.status()["id"], life.status()["owner"] != "") == (former["id"], True)
    # what it built takes minutes, and is the same the next time
    keep_build(life.board, item, "former")
    archive = mirror.directory() / "former" / f"{item}.tar.gz"
    archive.with_name(f"{archive.name}.sha256").write_text(f"{sha256(archive.read_bytes()).hexdigest()}\n")

    life.board.run("pollex-host rollback", user="root")
    assert life.status()["live"] == former["live"]
    assert life.polish("Say hello.")
    assert life.pulumi.up("--refresh").changes == {"update": 1}
    # where its tools came by; `destroy` names it among what it keeps
    life.board.run("rm -r ~/.pollex")


def newer(life: Deployment) -> None:
    """A newer revision, which keeps on the board what this one cannot read; it has to give the board up first."""
    prepare = life.project / "infra/hosttools/pollex_host/prepare.py"
    ours = prepare.read_text()
    theirs, changes = re.subn(r"^LAYOUT = \d+$", "LAYOUT = 1000", ours, flags=re.MULTILINE)
    assert changes == 1
    prepare.write_text(theirs)
    life.pulumi.up()
    before = life.status()["live"]
    prepare.write_text(ours)
    refused = life.pulumi.up(check=False)
    assert refused.status != 0
    assert "a newer revision of the project set this host up" in said(refused)
    assert "`pulumi destroy` with it first" in said(refused)
    assert life.status()["live"] == before
    assert life.polish("Say hello.")
    prepare.write_text(theirs)
    life.pulumi.destroy()
    prepare.write_text(ours)
    life.pulumi.up()


@dataclass(frozen=True)
class Row:
    """Something that happens, up to the `up` that follows it."""

    happens: Callable[[Deployment], None]
    keeps: bool = True
    """Whether what stood there before is still to be had."""


ROWS = {
    "replaced generation": Row(replaced("Generation")),
    "replaced host": Row(replaced("Host")),
    "replaced tools": Row(replaced("Tools")),
    "tainted generation": Row(tainted("Generation")),
    "tainted host": Row(tainted("Host")),
    "target": Row(targeted),
    "renamed resource": Row(renamed),
    "lost state": Row(lost_state),
    "lost disk": Row(lost_disk, keeps=False),
    "lost disk, changed declaration": Row(lost_disk_and_changed, keeps=False),
    "lost home": Row(lost_home),
    "changed user": Row(changed_user),
    "changed port": Row(changed_port),
    "renamed model": Row(renamed_model),
    "destroyed and up again": Row(destroyed),
    "flashed anew": Row(flashed, keeps=False),
    "another stack": Row(other_stack),
    "taken over and back": Row(taken_over),
    "older revision": Row(older),
    "newer revision": Row(newer),
}


@pytest.mark.parametrize("row", ROWS)
def test_afterwards_all_is_as_declared(life: Deployment, row: str) -> None:
    """If this fails, an ordinary accident takes the service down, or leaves it running for ever."""
    before = seen(life)
    life.pulumi.up()
    ROWS[row].happens(life)
    assert life.polish("Say hello.")
    assert life.show("ActiveState", unit="pollex.service") == ["active"]
    assert life.pulumi.up("--refresh").changes == {}
    life.pulumi.destroy()
    if ROWS[row].keeps:
        assert seen(life) == before
    else:
        gone = seen(life)
        assert "llama-server" not in gone
        assert "pollex" not in gone
        assert "\nactive" not in gone
