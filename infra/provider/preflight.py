"""The preflight's verdict: from the facts that preflight.sh printed to everything that is wrong. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.provider.problems import HostError, Problem
from infra.provider.wire import LOCAL

_SCRIPT: Final = Path(__file__).with_name("preflight.sh")


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that must be free."""

    port: int
    unit: str
    """The one unit that may hold it."""
    setting: str
    """The setting that chooses it, for the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a host must have; what is left out is not checked."""

    architecture: str | None = None
    """As `uname -m` says it."""
    disk_mb: int = 0
    """Free on the file system of /opt; what /opt/pollex already holds counts as free."""
    memory_mb: int = 0
    commands: tuple[str, ...] = ()
    """Commands that must be there; one that is not named by its path may come with `packages`."""
    packages: tuple[str, ...] = ()
    """apt packages that will be installed; while some are not, a command may be missing where there is apt-get."""
    ports: tuple[Port, ...] = ()
    brings_python: bool = True
    """Whether an interpreter for the tools is brought along where the host's own is missing or too old."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Accounts that must exist, each with the setting that names it."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Programs of the board that must be there, each with the setting that calls it."""
    memory: Mapping[str, int] = field(default_factory=dict)
    """MB that must be in memory at the same time, by the settings that decide them; the model's is `pollex:model`."""
    spare_mb: int = 0
    """MB besides the memory that serve as well."""
    sudo: bool = field(default=True, metadata=LOCAL)
    """Whether commands run through `sudo -n`."""

    @classmethod
    def parse(cls, inputs: Mapping[str, Any], *, sudo: bool) -> Needs:
        """The inverse of `wire.plain`."""
        return cls(
            architecture=inputs.get("architecture"),
            disk_mb=int(inputs.get("diskMb", 0)),
            memory_mb=int(inputs.get("memoryMb", 0)),
            commands=tuple(inputs.get("commands", ())),
            packages=tuple(inputs.get("packages", ())),
            ports=tuple(Port(int(port["port"]), port["unit"], port["setting"]) for port in inputs.get("ports", ())),
            brings_python=inputs.get("bringsPython", True),
            users=inputs.get("users", {}),
            programs=inputs.get("programs", {}),
            memory={setting: int(size) for setting, size in inputs.get("memory", {}).items()},
            spare_mb=int(inputs.get("spareMb", 0)),
            sudo=sudo,
        )


Facts = Mapping[str, Sequence[str]]
"""What preflight.sh found: each name with its values, in the order printed."""


def script(needs: Needs) -> str:
    """What `sh -s` on the host is fed: the questions, then preflight.sh."""
    questions = {
        "sudo": "yes" if needs.sudo else "",
        "commands": "\n".join(needs.commands),
        "packages": "\n".join(needs.packages),
        "ports": "\n".join(str(port.port) for port in needs.ports),
        "users": "\n".join(needs.users),
        "programs": "\n".join(needs.programs),
    }
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in questions.items()]
    return "".join(lines) + _SCRIPT.read_text()


def parse(output: str) -> Facts:
    """The facts in the output of preflight.sh; lines that a login script printed are passed over.

    Raises:
        HostError: the output is not complete.
    """
    facts: dict[str, list[str]] = {}
    for line in output.splitlines():
        name, equals, value = line.removeprefix("pollex ").partition("=")
        if line.startswith("pollex ") and equals and value:
            facts.setdefault(name, []).append(value)
    if "end" not in facts:
        raise HostError("the preflight did not come to its end on the host: is the login's shell restricted?")
    return facts


def shown(facts: Facts) -> dict[str, str | int]:
    """The facts that a Host has as output."""
    texts: dict[str, str | int] = {name: first(facts, name) for name in ("architecture", "os", "kernel", "machine")}
    return texts | {name: int(first(facts, name) or 0) for name in ("cores", "memoryMb")}


def first(facts: Facts, name: str) -> str:
    """The value of a fact, empty when the host said nothing about it."""
    return next(iter(facts.get(name, ())), "")


def judge(facts: Facts, needs: Needs) -> list[Problem]:
    """Everything that keeps the host from taking what is declared; an empty list means that it is ready."""
    return [
        *_machine(facts, needs),
        *_rights(facts, needs),
        *_software(facts, needs),
        *_python(facts, needs),
        *_ports(facts, needs),
    ]


def _machine(facts: Facts, needs: Needs) -> Iterator[Problem]:
    architecture = first(facts, "architecture")
    if needs.architecture is not None and architecture != needs.architecture:
        yield Problem("pollex:host.architecture", f"is {needs.architecture}, but the host is {architecture}")
    free, own = (int(first(facts, name) or 0) for name in ("freeMb", "ownMb"))
    if free + own < needs.disk_mb:
        where = f"{free} MB are free on {first(facts, 'mount')}, which holds /opt"
        held = f", and /opt/pollex has {own} MB" if own else ""
        yield Problem(
            "pollex:host.minDiskMb", f"{needs.disk_mb} MB are needed, but {where}{held}: make room, or lower it"
        )
    memory = int(first(facts, "memoryMb") or 0)
    if memory < needs.memory_mb:
        yield Problem(
            "pollex:host.minMemoryMb", f"{needs.memory_mb} MB are needed, but the host has {memory} MB of memory"
        )
    yield from _budget(memory, needs)
    if not first(facts, "systemd"):
        yield Problem(
            "pollex:host.address", f"the host there does not run systemd (its first process is {first(facts, 'init')})"
        )


def _budget(memory: int, needs: Needs) -> Iterator[Problem]:
    """What the server takes at least, against what there is, with the setting that is best changed."""
    total, there = sum(needs.memory.values()), memory + needs.spare_mb
    if total <= there:
        return
    parts = ", ".join(f"{setting} {size}" for setting, size in needs.memory.items())
    has = f"{memory} MB" + (f" and {needs.spare_mb} MB of swap" if needs.spare_mb else "")
    others = {setting: size for setting, size in needs.memory.items() if setting != _MODEL}
    setting, remedy = _MODEL, "take a smaller file of it"
    if needs.memory.get(_MODEL, 0) < there:
        setting, remedy = max(others, key=others.__getitem__), "lower it"
    told = f"the server needs at least {total} MB of memory ({parts}), and the host has {has}"
    yield Problem(setting, f"{told}: {remedy}")


_MODEL: Final = "pollex:model"


def _rights(facts: Facts, needs: Needs) -> Iterator[Problem]:
    user, sudo = first(facts, "user"), first(facts, "sudo")
    if needs.sudo and sudo != "yes":
        line = f"{user} ALL=(root) NOPASSWD: ALL"
        remedy = f"`make board HOST=…` prepares it, or on the host `sudo visudo -f /etc/sudoers.d/pollex` with: {line}"
        if sudo == "missing":
            remedy = "install sudo on the host" + (", or set it to false" if first(facts, "uid") == "0" else "")
        reason = f" ({sudo.removeprefix('no: ')})" if sudo.startswith("no: ") else ""
        yield Problem("pollex:host.sudo", f"{user} cannot run commands as root without a password{reason}; {remedy}")
    if not needs.sudo and first(facts, "uid") != "0":
        yield Problem(
            "pollex:host.sudo", f"is false, but {user} is not root: set it to true, or pollex:host.user to root"
        )
    for name in facts.get("nouser", ()):
        yield Problem(
            needs.users[name], f"the host has no user {name}: `sudo useradd --system {name}` there, or name another"
        )


def _software(facts: Facts, needs: Needs) -> Iterator[Problem]:
    apt = first(facts, "apt")
    installable = bool(apt and facts.get("uninstalled"))
    # a command that is named by its path is not expected from a package
    missing = [name for name in facts.get("missing", ()) if name.startswith("/") or not installable]
    if missing:
        remedy = "install them" if needs.packages else "name the packages that bring them, or install them"
        if not apt:
            remedy = "the host has no apt-get, so install them by hand"
        yield Problem(
            "pollex:build.packages", f"the host lacks commands that the build needs: {', '.join(missing)}; {remedy}"
        )
    for name in facts.get("noprogram", ()):
        yield Problem(needs.programs[name], f"the host has no {name}, which JetPack brings: leave this setting out")


OLDEST_PYTHON: Final = (3, 9)
"""What pollex-host runs on."""


def _python(facts: Facts, needs: Needs) -> Iterator[Problem]:
    version = first(facts, "python")
    new_enough = version and tuple(int(part) for part in version.split(".")) >= OLDEST_PYTHON
    comes = needs.brings_python or (not version and first(facts, "apt"))
    if not new_enough and not comes:
        has = f"its python3 is {version}" if version else "it has none"
        yield Problem(
            "pollex:polish.python.url",
            f"the tools on the host need Python 3.9 or newer, and {has}: declare one to be brought along "
            "(url and sha256), or install one",
        )


def _ports(facts: Facts, needs: Needs) -> Iterator[Problem]:
    wanted = {str(port.port): port for port in needs.ports}
    for held in facts.get("port", ()):
        number, pid, *rest = held.split(" ", 3)
        name, group = (*rest, "", "")[:2]
        unit = group.rpartition("/")[2]
        port = wanted[number]
        if port.unit == unit:
            continue
        who = "another process"
        if name:
            who = f"{name} (process {pid}{f' of {unit}' if unit.endswith('.service') else ''})"
        yield Problem(port.setting, f"port {number} on the host is in use by {who}: stop it, or choose another")
