"""pollex-host comes to a host that has nothing, stays there whoever logs in, and is brought again when it is lost."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infra import HOST_FOLDER
from infra.hosttools.pollex_host.tools import tools_hash
from infra.provider.delivery import ToolsLifecycle, packed
from infra.provider.hosts import Hosts
from infra.provider.problems import HostError
from tests.provider.conftest import Machine

HASH = tools_hash(str(HOST_FOLDER))
SYSTEM_PYTHON = Path("/usr/bin/python3").resolve()


@pytest.fixture
def empty(machine: Machine) -> Machine:
    """The host without a trace of pollex."""
    inside(machine, "rm -rf /opt/* /usr/local/bin/* /etc/systemd/system/*")
    return machine


def inside(machine: Machine, command: str) -> str:
    """What a command says on the host, past the connection."""
    enter = ["nsenter", "--target", str(machine.sshd.pid), "--mount", "sh", "-c", command]
    return subprocess.run(enter, capture_output=True, text=True, check=True).stdout.strip()


def inputs(machine: Machine, **changes: Any) -> dict[str, Any]:
    """What is declared."""
    given = {"connection": machine.connection(), "sudo": False, "identity": "1" * 32, "hash": HASH, "packages": []}
    return {**given, **changes}


def apply(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The outputs, and the lines of progress."""
    said: list[str] = []

    async def session() -> dict[str, Any]:
        async with Hosts() as hosts:
            return await ToolsLifecycle(hosts).apply(given, {}, said.append)

    return asyncio.run(session()), said


def read(given: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The inputs as a refresh finds them, and its warnings."""
    said: list[str] = []

    async def session() -> dict[str, Any]:
        async with Hosts() as hosts:
            seen = await ToolsLifecycle(hosts).read(given, outputs, said.append)
            assert seen is not None
            return seen[0]

    return asyncio.run(session()), said


def test_they_come_to_an_empty_host(empty: Machine) -> None:
    """If this fails, nothing can be deployed at all."""
    given = inputs(empty)
    outputs, _ = apply(given)
    assert outputs == {"hash": HASH}
    assert inside(empty, "/usr/local/bin/pollex-host status") == "generation:"
    assert inside(empty, "ls -A /opt/pollex/lib") == HASH
    assert read(given, outputs) == (given, [])
    assert apply(given)[0] == outputs


@pytest.mark.fault("upload", "tools are there", "a part of them is lost", "brought again")
@pytest.mark.parametrize(
    "lost",
    [
        "rm -rf /opt/pollex",
        "rm /opt/pollex/bin",
        "rm -rf /opt/pollex/lib",
        "rm /usr/local/bin/pollex-host",
        "rm /etc/systemd/system/pollex-build@.service",
        "ln -sfn /usr/bin/python2 /opt/pollex/bin/python",
    ],
)
def test_a_lost_part_is_noticed_and_brought_again(empty: Machine, lost: str) -> None:
    """If this fails, `up --refresh` says that all is well, and the next build cannot begin."""
    given = inputs(empty)
    outputs, _ = apply(given)
    inside(empty, lost)
    found, warnings = read(given, outputs)
    assert found["hash"] == "missing"
    assert any("has lost its tools" in line for line in warnings)
    tools = ToolsLifecycle(Hosts())
    assert tools.differences(found, outputs, given) == {"hash": True}
    assert apply(given)[0] == outputs
    assert read(given, outputs) == (given, [])


def test_another_way_to_the_host_brings_nothing() -> None:
    """If this fails, another login or address of the same board counts as a change of its tools."""
    given = {
        "connection": {"address": "a", "user": "root"},
        "sudo": False,
        "hash": HASH,
        "packages": [],
        "identity": "1",
    }
    other = {**given, "connection": {"address": "b", "user": "manu"}, "sudo": True}
    assert ToolsLifecycle(Hosts()).differences(given, {"hash": HASH}, other) == {}


@pytest.fixture
def old_python(empty: Machine, tmp_path: Path) -> Iterator[Machine]:
    """The host, whose own interpreter refuses whatever it is asked, as one that is too old does."""
    refuses = tmp_path / "python3"
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    # nor may the shell's own settings lead to another one
    hidden = {
        SYSTEM_PYTHON: refuses,
        **{file: Path("/dev/null") for file in [Path.home() / ".bashrc"] if file.exists()},
    }
    for place, instead in hidden.items():
        inside(empty, f"mount --bind {instead} {place}")
    yield empty
    for place in hidden:
        inside(empty, f"umount {place}")


def interpreter(tmp_path: Path) -> dict[str, Any]:
    """A stand-in for a standalone CPython, in the form in which one is published: this very interpreter."""
    file = tmp_path / "cpython.tar.gz"
    program = f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n'.encode()
    with tarfile.open(file, "w:gz") as archive:
        for name, content in {"python/bin/python3.12": program, "python/lib/python3.12/test/x.py": b""}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("python/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, "python3.12"
        archive.addfile(link)
    return {"sha256": sha256(file.read_bytes()).hexdigest(), "urls": [file.as_uri()]}


def test_an_interpreter_goes_first_where_the_hosts_own_is_too_old(old_python: Machine, tmp_path: Path) -> None:
    """If this fails, a Nano, whose Python is 3.6, cannot be deployed to."""
    python = interpreter(tmp_path)
    given = inputs(old_python, python=python)
    outputs, said = apply(given)
    assert outputs == {"hash": HASH}
    assert any("sending an interpreter" in line for line in said)
    place = f"/opt/pollex/lib/python-{python['sha256'][:16]}"
    assert inside(old_python, "readlink /opt/pollex/bin/python") == f"{place}/bin/python3"
    assert inside(old_python, f"find {place} -name test") == ""
    assert inside(old_python, "/usr/local/bin/pollex-host status") == "generation:"
    assert read(given, outputs) == (given, [])
    again, said = apply(given)
    assert again == outputs
    assert not any("sending an interpreter" in line for line in said)


def test_a_host_without_any_interpreter_says_what_to_declare(old_python: Machine) -> None:
    """If this fails, somebody searches for hours why a board answers with nothing."""
    with pytest.raises(HostError, match=r"no Python that the tools can run on.*\n.*pollex:polish\.python\.url"):
        apply(inputs(old_python))


def test_tools_that_changed_meanwhile_are_not_sent() -> None:
    """If this fails, a host gets other tools than the ones that the plan showed."""
    with pytest.raises(HostError, match="changed meanwhile"):
        packed("0" * 32)


def test_the_same_tools_are_the_same_bytes() -> None:
    """If this fails, two machines send different archives of one revision, and nobody can compare them."""
    assert packed(HASH) == packed(HASH)
    with tarfile.open(fileobj=io.BytesIO(packed(HASH))) as archive:
        assert {member.mtime for member in archive} == {0}
