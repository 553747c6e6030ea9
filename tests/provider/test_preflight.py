"""The preflight: facts gathered by the real script, judged to the last problem."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra.provider import preflight
from infra.provider.preflight import Needs, Port
from infra.provider.problems import HostError, NotReady

NANO = {
    "user": ["alice"],
    "uid": ["1000"],
    "architecture": ["aarch64"],
    "memoryMb": ["3956"],
    "freeMb": ["20000"],
    "mount": ["/"],
    "init": ["systemd"],
    "systemd": ["yes"],
    "sudo": ["yes"],
    "apt": ["yes"],
    "end": ["yes"],
}
"""What a Jetson Nano that is ready answers."""

SERVER = Port(8080, "llama-server.service", "pollex:server.port")


def without(name: str) -> dict[str, list[str]]:
    return {fact: values for fact, values in NANO.items() if fact != name}


TABLE = {
    "architecture": (NANO, Needs(architecture="x86_64"), "pollex:host.architecture", "aarch64"),
    "disk": (NANO, Needs(disk_mb=30000), "pollex:host.minDiskMb", "20000 MB are free on /"),
    "memory": (NANO, Needs(memory_mb=8000), "pollex:host.minMemoryMb", "3956 MB"),
    "systemd": (without("systemd") | {"init": ["init"]}, Needs(), "pollex:host.address", "init"),
    "sudo refused": (
        NANO | {"sudo": ["no: sudo: a password is required"]},
        Needs(),
        "pollex:host.sudo",
        "alice ALL=(root) NOPASSWD: ALL",
    ),
    "sudo missing": (NANO | {"sudo": ["missing"]}, Needs(), "pollex:host.sudo", "install sudo"),
    "not root": (NANO, Needs(sudo=False), "pollex:host.sudo", "alice is not root"),
    "service user": (
        NANO | {"nouser": ["llama"]},
        Needs(users={"llama": "pollex:server.user"}),
        "pollex:server.user",
        "useradd",
    ),
    "compiler, nothing to install": (
        NANO | {"missing": ["cmake", "g++"]},
        Needs(commands=("cmake", "g++")),
        "pollex:build.packages",
        "cmake, g++",
    ),
    "compiler, all packages installed": (
        NANO | {"missing": ["nvcc"]},
        Needs(commands=("nvcc",), packages=("cmake",)),
        "pollex:build.packages",
        "nvcc",
    ),
    "compiler, no apt": (
        without("apt") | {"missing": ["cmake"], "uninstalled": ["cmake"]},
        Needs(commands=("cmake",), packages=("cmake",)),
        "pollex:build.packages",
        "no apt-get",
    ),
    "compiler, not in a package": (
        NANO | {"missing": ["/usr/local/cuda/bin/nvcc", "cmake"], "uninstalled": ["cmake"]},
        Needs(commands=("/usr/local/cuda/bin/nvcc", "cmake"), packages=("cmake",)),
        "pollex:build.packages",
        "needs: /usr/local/cuda/bin/nvcc;",
    ),
    "port, a unit": (
        NANO | {"port": ["8080 612 nginx /system.slice/nginx.service"]},
        Needs(ports=(SERVER,)),
        "pollex:server.port",
        "nginx (process 612 of nginx.service)",
    ),
    "port, unseen": (
        NANO | {"port": ["8080 ?"]},
        Needs(ports=(SERVER,)),
        "pollex:server.port",
        "another process",
    ),
}


@pytest.mark.parametrize(("facts", "needs", "setting", "text"), TABLE.values(), ids=TABLE.keys())
def test_each_problem_names_its_setting(facts: dict[str, list[str]], needs: Needs, setting: str, text: str) -> None:
    """If this fails, a person is told that something is wrong, but not what to change."""
    (problem,) = preflight.judge(facts, needs)
    assert problem.setting == setting
    assert text in problem.text


READY = {
    "nothing asked": (NANO, Needs()),
    "everything there": (NANO, Needs(architecture="aarch64", disk_mb=20000, memory_mb=3956)),
    "disk held by an earlier build": (NANO | {"ownMb": ["15000"]}, Needs(disk_mb=30000)),
    "compilers will be installed": (
        NANO | {"missing": ["cmake"], "uninstalled": ["cmake"]},
        Needs(commands=("cmake",), packages=("cmake",)),
    ),
    "port held by our own unit": (
        NANO | {"port": ["8080 700 llama-server /system.slice/llama-server.service"]},
        Needs(ports=(SERVER,)),
    ),
    "root without sudo": (NANO | {"uid": ["0"], "sudo": ["missing"]}, Needs(sudo=False)),
}


@pytest.mark.parametrize(("facts", "needs"), READY.values(), ids=READY.keys())
def test_a_host_that_is_ready_is_not_refused(facts: dict[str, list[str]], needs: Needs) -> None:
    """If this fails, a second `up`, or a fresh board that only lacks packages, is turned away."""
    assert preflight.judge(facts, needs) == []


def test_all_problems_come_at_once() -> None:
    """If this fails, a person mends one thing after the other, with a failed `up` for each."""
    needs = Needs(architecture="x86_64", disk_mb=30000, memory_mb=8000, sudo=False)
    report = str(NotReady("alice@nano", preflight.judge(NANO, needs)))
    assert report.splitlines()[0] == "alice@nano has 4 problems; nothing was changed on it"
    assert [line.split(":")[1] for line in report.splitlines()[1:]] == [
        "host.architecture",
        "host.minDiskMb",
        "host.minMemoryMb",
        "host.sudo",
    ]


def gather(needs: Needs, path: str | None = None) -> preflight.Facts:
    """The facts of this machine, from the script as it is sent to a host."""
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    ran = subprocess.run(
        ["sh", "-s"], input=preflight.script(needs), env=environment, text=True, capture_output=True, check=True
    )
    assert ran.stderr == ""
    return preflight.parse("Welcome to this host!\n" + ran.stdout)


def test_the_script_sees_this_machine() -> None:
    """If this fails, hosts are judged by facts that are not theirs."""
    facts = gather(Needs())
    assert preflight.first(facts, "architecture") == platform.machine()
    assert preflight.first(facts, "uid") == str(os.getuid())
    assert preflight.shown(facts)["cores"] == os.cpu_count()
    assert int(preflight.first(facts, "freeMb")) > 0


def test_the_script_finds_what_is_missing() -> None:
    """If this fails, a missing compiler is found out after the source was fetched, or not named."""
    needs = Needs(commands=("sh", "no-such-command", "/no/such/nvcc"), users={"no-such-user": "x"})
    facts = gather(Needs(commands=needs.commands, packages=("no-such-package",), users=needs.users))
    assert facts["missing"] == ["no-such-command", "/no/such/nvcc"]
    assert facts["uninstalled"] == ["no-such-package"]
    assert facts["nouser"] == ["no-such-user"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_script_sees_who_holds_a_port(address: str) -> None:
    """If this fails, llama-server restarts forever against a port that somebody else has."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = str(server.getsockname()[1])
        (held,) = gather(Needs(ports=(replace(SERVER, port=int(port)),), sudo=False))["port"]
    assert held.startswith(f"{port} {os.getpid()} {Path('/proc/self/comm').read_text().strip()}")


def test_the_script_asks_for_no_password(tmp_path: Path) -> None:
    """If this fails, the preflight waits for a password that nobody can type, or misses that sudo needs one."""
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\n[ \"$1\" = -n ] || sleep 60\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    facts = gather(Needs(), path=f"{tmp_path}:{os.environ['PATH']}")
    (problem,) = [p for p in preflight.judge(facts, Needs()) if p.setting == "pollex:host.sudo"]
    assert "a password is required" in problem.text


def test_half_an_answer_is_no_verdict() -> None:
    """If this fails, a login whose shell ends early passes as a host that has no problem."""
    with pytest.raises(HostError, match="did not come to its end"):
        preflight.parse("pollex architecture=aarch64\n")
