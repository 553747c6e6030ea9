"""Sharing connections: how many logins a host sees, and what a broken or a cancelled one means for the others."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.provider import hosts
from infra.provider.connection import Connection
from infra.provider.hosts import Hosts
from infra.provider.problems import Lost, Unreachable
from sandbox.serving import free_port
from tests.provider.conftest import Machine


async def ask(shared: Hosts, to: Connection, command: str = "echo $PPID") -> str:
    """What a command prints over a shared connection; sshd's process for the connection is the shell's parent."""
    async with shared.connect(to) as host:
        return (await host.run(command)).stdout


async def until(happens: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    while not happens():  # noqa: ASYNC110 - no event of this loop tells it
        await asyncio.sleep(0.01)


def test_questions_at_a_time_share_one_login(machine: Machine) -> None:
    """If this fails, a refresh logs in once for each of its questions."""
    to = Connection.parse(machine.connection())

    async def session() -> set[str]:
        async with Hosts() as shared:
            together = await asyncio.gather(*(ask(shared, to) for _ in range(3)))
            return {*together, await ask(shared, to)}

    assert len(asyncio.run(session())) == 1


def test_an_idle_connection_is_closed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a build of hours holds a connection that nobody uses, and that may have broken meanwhile."""
    monkeypatch.setattr(hosts, "LINGER_S", 0.05)
    to = Connection.parse(machine.connection())

    async def session() -> tuple[str, str]:
        async with Hosts() as shared:
            before = await ask(shared, to)
            session = Path("/proc", before.strip())
            await until(lambda: not session.exists())
            return before, await ask(shared, to)

    before, after = asyncio.run(session())
    assert before != after


def test_a_broken_connection_is_not_used_again(machine: Machine) -> None:
    """If this fails, one lost connection fails everything that comes after it."""
    to = Connection.parse(machine.connection())

    async def session() -> str:
        async with Hosts() as shared:
            with pytest.raises(Lost):
                await ask(shared, to, "kill -9 $PPID; sleep 5")
            return await ask(shared, to, "echo again")

    assert asyncio.run(session()) == "again"


def test_a_refused_login_is_told_to_all_and_tried_anew(machine: Machine) -> None:
    """If this fails, a board that comes up in the meantime stays unreachable, or some of those who wait hang."""
    to = Connection.parse(machine.connection(port=free_port()))

    async def session() -> list[str | BaseException]:
        async with Hosts() as shared:
            together = [ask(shared, to), ask(shared, to)]
            told = await asyncio.gather(*together, return_exceptions=True)
            return [*told, *await asyncio.gather(ask(shared, to), return_exceptions=True)]

    assert [type(error) for error in asyncio.run(session())] == [Unreachable] * 3


def test_one_that_is_cancelled_leaves_the_others_alone(machine: Machine, tmp_path: Path) -> None:
    """If this fails, giving up one question ends what else goes on at the host."""
    to = Connection.parse(machine.connection())

    async def session() -> str:
        async with Hosts() as shared:
            first = asyncio.ensure_future(ask(shared, to, f"touch {tmp_path}/first; sleep 3600"))
            wait = f"touch {tmp_path}/second; until [ -e {tmp_path}/cancelled ]; do sleep 0.05; done"
            second = asyncio.ensure_future(ask(shared, to, f"{wait}; echo whole"))
            await until(lambda: (tmp_path / "first").exists() and (tmp_path / "second").exists())
            first.cancel()
            (tmp_path / "cancelled").touch()
            return await second

    assert asyncio.run(session()) == "whole"


PLUGIN = """
import contextlib, runpy
with contextlib.suppress(SystemExit):
    runpy.run_module("infra.provider", run_name="__main__")
"""
PROGRAM = "from infra import config; from infra.kinds import table; import infra.kinds.host.component"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (PLUGIN, {"asyncssh", "cryptography", "httpx", "uv", "pydantic"}),
        (PROGRAM, {"asyncssh", "httpx", "uv", "pulumi_docker", "pulumi_docker_build"}),
    ],
    ids=["plugin", "program"],
)
def test_a_start_imports_only_what_it_needs(code: str, unwanted: set[str]) -> None:
    """If this fails, every `up` waits for libraries that it does not use."""
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.argv = ['plugin']\n{code}\nprint(*sys.modules)"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert "pulumi" in shown
    assert not unwanted & set(shown)
