"""`python -m infra.board HOST`: the steps, each of which can be repeated; `--undo` takes back what they did."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from getpass import getpass
from pathlib import Path
from typing import Final

from infra import ROOT
from infra.board import facts, stack
from infra.core import hostkeys, stackfile

SCRIPT: Final = Path(__file__).with_name("board.sh")
CMAKE: Final = ("3.27.9", "d8306b6e4442496dc1d87e3e64394ebbf02c04f1c6324a1a37cad3695f7d835a")
"""Version, and SHA-256 of PyPI's wheel for aarch64 and glibc 2.17"""
PASSWORD: Final = "POLLEX_SUDO_PASSWORD"  # noqa: S105 - a variable's name
"""The environment variable that answers for the sudo password, for scripts."""


class StopError(Exception):
    """It cannot go on; the text says why and what to do."""


class Board:
    """A host as OpenSSH reaches it: with the aliases, jumps, ports and keys of ~/.ssh/config."""

    def __init__(self, host: str, key: Path, folder: Path) -> None:
        """One connection is shared by everything, so a password is asked once; `folder` is private and short-lived."""
        self.host = host
        self._known = folder / "known_hosts"
        self._ssh = ["ssh", "-o", f"UserKnownHostsFile={self._known}", "-o", "GlobalKnownHostsFile=/dev/null"]
        self._ssh += ["-i", str(key), "-o", "HashKnownHosts=no", "-o", "ConnectTimeout=10", "-o", "UpdateHostKeys=no"]
        self._ssh += ["-o", f"HostKeyAlgorithms={','.join(hostkeys.KINDS)}"]
        self._shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%C", "-o", "ControlPersist=120"]
        said = subprocess.run(["ssh", "-G", host], check=True, capture_output=True, text=True).stdout
        self.config = dict(reversed([line.split(" ", 1) for line in said.splitlines() if " " in line]))

    def key(self) -> tuple[str, str]:
        """The host's key, as it shows it now, and its fingerprint; nothing is trusted yet.

        Raises:
            StopError: it does not answer.
        """
        self._known.write_text("")
        none = ["-o", "StrictHostKeyChecking=accept-new", "-o", "PreferredAuthentications=none", "-o", "BatchMode=yes"]
        said = subprocess.run([*self._ssh, *none, self.host, "true"], capture_output=True, text=True, check=False)
        if not (text := self._known.read_text()):
            raise StopError(f"{self.host} does not answer by SSH: {said.stderr.strip().splitlines()[-1:]}")
        line = hostkeys.choose(text.splitlines()[-1], self.config["hostname"], int(self.config["port"]))
        shown = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, check=True, capture_output=True, text=True)
        return line, shown.stdout.split()[1]

    def opens(self) -> bool:
        """Whether the host lets the key in, and not only a connection that is open already."""
        only = ["-o", "IdentitiesOnly=yes", "-o", "ControlPath=none", "-o", "BatchMode=yes"]
        command = [*self._ssh, *only, "-o", "StrictHostKeyChecking=yes", self.host, "true"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0

    def run(
        self, command: Sequence[str], data: bytes = b"", *, ask: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command there, whatever the login's shell; `ask` lets OpenSSH ask for a password itself."""
        batch = ["-o", f"BatchMode={'no' if ask else 'yes'}", "-o", "StrictHostKeyChecking=yes"]
        return subprocess.run(
            [*self._ssh, *self._shared, *batch, self.host, shlex.join(command)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=None if ask else subprocess.PIPE,
            check=False,
        )

    def script(self, *arguments: str, root: str | None = None, data: bytes = b"") -> bytes:
        """Run board.sh there; `root` is the sudo password, empty where none is asked, None for the login itself.

        Raises:
            StopError: it failed.
        """
        command = ["sh", "-c", SCRIPT.read_text(), "board.sh", *arguments]
        if root is not None and self.config["user"] != "root":
            command = ["sudo", *(["-k", "-S", "-p", ""] if root else ["-n"]), *command]
            data = (f"{root}\n".encode() if root else b"") + data
        done = self.run(command, data)
        if done.returncode:
            why = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
            raise StopError(f"`{arguments[0]}` failed on {self.host}: {'; '.join(why)}")
        return done.stdout


def main(arguments: Sequence[str]) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="make board", description="prepare a host for `pulumi up`")
    parser.add_argument("host", help="name, alias or USER@NAME, as you would give it to ssh")
    parser.add_argument("--stack", default="jetson", help="the stack that serves on it (jetson)")
    parser.add_argument("--fingerprint", help="what the host's key must have, SHA256:…, instead of a question")
    parser.add_argument("--key", default="~/.ssh/id_ed25519", help="your private key; made if it is not there")
    parser.add_argument("--yes", action="store_true", help="ask nothing: needs --fingerprint")
    parser.add_argument("--no-preview", action="store_true", help="end before `pulumi preview`")
    parser.add_argument("--undo", action="store_true", help="take sudoers file, CMake and key away from the host again")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pollex-board-") as folder:
        try:
            board = Board(given.host, Path(given.key).expanduser(), Path(folder))
            _undo(board, given) if given.undo else _prepare(board, given)
        except (StopError, ValueError) as error:
            print(f"pollex: {error}", file=sys.stderr)
            return 1
    return 0


def _prepare(board: Board, given: argparse.Namespace) -> None:
    file = ROOT / "stacks" / f"Pulumi.{given.stack}.yaml"
    if not file.exists():
        raise StopError(f"there is no {file.relative_to(ROOT)}: copy the one that is nearest, and name it with STACK=…")
    line = _met(board, given)
    key = Path(given.key).expanduser()
    _let_in(board, key, given)
    seen = facts.parse(board.script("look").decode(errors="replace"))
    for name in ("machine", "os", "jetpack", "architecture", "memoryMb", "freeMb", "power", "cmake"):
        print(f"  {name}: {seen.get(name, 'none')}")
    wanted = stackfile.values(file)["host"]
    assert isinstance(wanted, dict)  # noqa: S101 - a stack of this kind
    if problems := facts.in_the_way(seen, wanted):
        raise StopError("\n  ".join([f"{board.host} cannot take {given.stack}; nothing was changed on it:", *problems]))
    root = _root(board, seen, given)
    wrong = facts.clock_error(seen, time.time())
    if wrong:
        print(f"the clock is {abs(wrong) // 86400} days {abs(wrong) % 86400 // 60} min wrong: set from this machine's")
    board.script("prepare", seen["user"], str(int(time.time())) if wrong else "", root=root)
    if facts.needs_cmake(seen):
        print(f"bringing CMake {CMAKE[0]}: the host's is {seen.get('cmake', 'missing')}")
        board.script("cmake", CMAKE[0], root="", data=cmake())
    settings = {("host", "user"): seen["user"], ("server", "user"): seen["user"]}
    settings |= {("host", "address"): board.config["hostname"], ("host", "port"): board.config["port"]}
    settings |= {("host", "privateKeyFile"): str(key), ("host", "hostKeyFile"): str(_pinned(given.stack, line))}
    file.write_text(stack.changed(file.read_text(), settings))
    print(f"wrote {file.relative_to(ROOT)}; `git diff stacks` shows what changed")
    if board.config.get("proxyjump"):
        print(f"you reach it through {board.config['proxyjump']}: declare that in pollex:host.proxyJump too")
    if not given.no_preview:
        subprocess.run([ROOT / ".toolchain/bin/pulumi", "preview", "--stack", given.stack], check=False, cwd=ROOT)
    print(f"ready: pulumi up --stack {given.stack}    (undo: make board HOST={given.host} UNDO=1)")


def _met(board: Board, given: argparse.Namespace) -> str:
    """The host's key, once somebody has said that it is the host's.

    Raises:
        StopError: it is another, or nobody says so.
    """
    line, fingerprint = board.key()
    print(f"{board.host} shows the key {line.split()[0]} {fingerprint}")
    print("  compare it with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    if given.fingerprint is not None and given.fingerprint != fingerprint:
        raise StopError(f"expected {given.fingerprint}: this is another machine, or it was set up anew")
    if given.fingerprint is None and (given.yes or not _agreed("is that the same?")):
        raise StopError("the key was not confirmed; nothing was done. With --yes, say --fingerprint SHA256:…")
    return line


def _agreed(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def _let_in(board: Board, key: Path, given: argparse.Namespace) -> None:
    """See to it that the key is let in; OpenSSH asks for the login's password, once, where it is not."""
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    if board.opens():
        return
    if given.yes:
        raise StopError(f"{board.host} lets no key of yours in: ssh-copy-id -i {key}.pub {board.host}")
    public = key.with_name(f"{key.name}.pub").read_text().strip()
    add = 'umask 077; cd; mkdir -p .ssh; f=.ssh/authorized_keys; grep -qxF "$1" $f 2>/dev/null || echo "$1" >>$f'
    if board.run(["sh", "-c", add, "add", public], ask=True).returncode:
        raise StopError(f"{board.host} lets neither a key nor a password in")


def _root(board: Board, seen: facts.Facts, given: argparse.Namespace) -> str:
    """The sudo password, tried once so that a wrong one changes nothing; empty where none is asked."""
    if "root" in seen:
        return ""
    password = os.environ.get(PASSWORD, "")
    if not password and not given.yes:
        password = getpass(f"sudo password of {seen['user']} on {board.host} (used once, not kept): ")
    if not password:
        raise StopError(f"sudo asks for a password there: without --yes it is asked, or give it in {PASSWORD}")
    if board.run(["sudo", "-k", "-S", "-p", "", "true"], f"{password}\n".encode()).returncode:
        raise StopError(f"{board.host} does not take that password for sudo")
    return password


def cmake() -> bytes:
    """CMake for aarch64 as tar.gz with bin/ and share/: PyPI's wheel by its hash, unpacked and not installed.

    Raises:
        StopError: it could not be had.
    """
    version, sha256 = CMAKE
    with tempfile.TemporaryDirectory(prefix="pollex-cmake-") as folder:
        wanted = Path(folder, "cmake.txt")
        wanted.write_text(f"cmake=={version} --hash=sha256:{sha256}\n")
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--python-platform", "aarch64-manylinux_2_17", "--target", f"{folder}/to"]
        done = subprocess.run([*command, "-r", wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StopError(f"CMake {version} could not be had: {done.stderr.strip()}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in ("bin", "share"):
                archive.add(Path(folder, "to/cmake/data", name), name)
    return buffer.getvalue()


def _pinned(name: str, line: str) -> Path:
    """Keep the host's key in a file of the stack; a passphrase for secrets is made where there is none yet."""
    own = Path("~/.config/pollex").expanduser()
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = own / "passphrase"
    if not passphrase.exists():
        with os.fdopen(os.open(passphrase, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
            new.write(os.urandom(24).hex() + "\n")
    file = own / f"{name}.pub"
    file.write_text(line + "\n")
    return file


def _undo(board: Board, given: argparse.Namespace) -> None:
    """Take sudoers file and CMake away, and last the key; the stack file is git's to restore."""
    _met(board, given)
    board.script("undo", root="")
    public = Path(given.key).expanduser().with_name(f"{Path(given.key).name}.pub").read_text().strip()
    drop = 'umask 077; cd; f=.ssh/authorized_keys; [ -f $f ] || exit 0; grep -vxF "$1" $f >$f.new; cat $f.new >$f'
    drop += "; rm -f $f.new"
    board.run(["sh", "-c", drop, "drop", public])
    print(f"undone on {board.host}; here: git checkout stacks/Pulumi.{given.stack}.yaml")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
