"""Hosts as people have set them up: everything comes there all the same, readable by the accounts that need it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.provider import preflight
from infra.provider.connection import Connection
from infra.provider.hosts import Hosts
from infra.provider.preflight import Needs
from tests.provider.conftest import Machine
from tests.provider.test_delivery import HASH, apply, inputs, inside


@dataclass(frozen=True)
class Row:
    """One way in which a host is unlike a fresh one."""

    before: str = ""
    """What is done on it beforehand, past the connection; FOLDER is one of the test's own."""
    after: str = ""
    login: str = ""
    """What the login's start file does."""


ROWS = {
    "a login shell that is no sh": Row(
        before="sed '/^root:/s|[^:]*$|/usr/bin/fish|' /etc/passwd >FOLDER/new; mount --bind FOLDER/new /etc/passwd",
        after="umount /etc/passwd",
    ),
    "nothing in /tmp may be executed": Row(
        before="mount --bind /tmp /tmp; mount -o remount,bind,noexec /tmp", after="umount /tmp"
    ),
    "files of its own that nobody else may read": Row(login="umask 077"),
    "a banner": Row(login="echo 'Willkommen!'; echo; printf 'pollex has no say here'"),
    "another language": Row(login="export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 LANGUAGE=de"),
}


@pytest.fixture(params=ROWS)
def hostile(request: pytest.FixtureRequest, machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    """The host without a trace of pollex, set up in one of these ways."""
    row = ROWS[request.param]
    inside(machine, "rm -rf /opt/* /usr/local/bin/* /etc/systemd/system/*")
    authorized = machine.folder / "authorized"
    key = authorized.read_text()
    if row.login:
        (tmp_path / "login").write_text(f'{row.login}\neval "$SSH_ORIGINAL_COMMAND"\n')
        authorized.write_text(f'command="bash {tmp_path}/login" {key}')
    inside(machine, row.before.replace("FOLDER", str(tmp_path)))
    yield machine
    inside(machine, row.after)
    authorized.write_text(key)


def test_it_is_judged_and_furnished_as_any_other(hostile: Machine) -> None:
    """If this fails, a board is refused, or half furnished, for what its owner likes."""

    async def facts() -> preflight.Facts:
        async with Hosts() as hosts, hosts.connect(Connection.parse(hostile.connection())) as host:
            return preflight.parse((await host.run("sh -s", stdin=preflight.script(Needs(sudo=False)))).stdout)

    assert preflight.judge(asyncio.run(facts()), Needs(sudo=False)) == []
    assert apply(inputs(hostile))[0] == {"hash": HASH}
    assert inside(hostile, "/usr/local/bin/pollex-host status") == "generation:"
    assert inside(hostile, "find /opt/pollex/ /usr/local/bin ! -type l ! -perm -o=r") == ""


@pytest.mark.fault("upload", "a full card", "tools are brought", "said before anything is changed")
def test_a_card_that_is_full_is_said_before_anything_is_changed(machine: Machine) -> None:
    """If this fails, a full card is found out by whatever cannot be written first."""
    inside(machine, "mount -t tmpfs -o size=1m tmpfs /opt")
    try:
        needs = Needs(disk_mb=6000, sudo=False)
        said = inside(machine, f"sh <<'SCRIPT'\n{preflight.script(needs)}\nSCRIPT")
        (problem,) = preflight.judge(preflight.parse(said), needs)
        left = inside(machine, "ls -A /opt")
    finally:
        inside(machine, "umount /opt")
    assert problem.setting == "pollex:host.minDiskMb"
    assert problem.text == "6000 MB are needed, but 1 MB are free on /opt, which holds /opt: make room, or lower it"
    assert left == ""
