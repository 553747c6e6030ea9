"""A host as OpenSSH reaches it: with the aliases, jumps, ports and keys of ~/.ssh/config."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from infra.core import hostkeys

SCRIPT: Final = Path(__file__).with_name("board.sh")
_EVAL: Final = 'eval "$(echo $0 | base64 -d)"'
"""Runs a script that came as base64: no quote or backslash in it is left for the login's shell, be it fish or csh."""


class StopError(Exception):
    """It cannot go on; the text says why and what to do."""


class Board:
    """One host, over one connection that everything shares, so that a password is asked once."""

    def __init__(self, host: str, key: Path | None, folder: Path, *, password: str | None = None) -> None:
        """Nothing is contacted yet.

        Args:
            host: as it would be given to ssh.
            key: the private key to log in with; None takes the one that OpenSSH would, or else ~/.ssh/id_ed25519.
            folder: private and short-lived.
            password: the login's, where a key is to be let in; None lets OpenSSH ask.

        Raises:
            StopError: OpenSSH cannot read its configuration.
        """
        self.host = host
        done = subprocess.run(["ssh", "-G", host], check=False, capture_output=True, text=True)
        if done.returncode:
            raise StopError(f"ssh does not know what to do with {host}: {done.stderr.strip()}")
        said = [line.split(" ", 1) for line in done.stdout.splitlines() if " " in line]
        self.config = dict(reversed(said))
        self.own_key = key or _first(value for name, value in said if name == "identityfile")
        self._known = folder / "known_hosts"
        self._environment = dict(os.environ)
        self._ssh = ["ssh", "-o", f"UserKnownHostsFile={self._known}", "-o", "GlobalKnownHostsFile=/dev/null"]
        self._ssh += ["-i", str(self.own_key), "-o", "HashKnownHosts=no", "-o", "ConnectTimeout=10"]
        self._ssh += ["-o", f"HostKeyAlgorithms={','.join(hostkeys.KINDS)}", "-o", "UpdateHostKeys=no"]
        self._shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%C", "-o", "ControlPersist=120"]
        if password is not None:
            self._answer(folder, password)

    def _answer(self, folder: Path, password: str) -> None:
        """Have OpenSSH ask a program that knows the answer."""
        (folder / "password").write_text(f"{password}\n")
        asked = folder / "askpass"
        asked.write_text(f"#!/bin/sh\ncat {shlex.quote(str(folder / 'password'))}\n")
        asked.chmod(0o700)
        self._environment |= {"SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force"}
        self._ssh += ["-o", "NumberOfPasswordPrompts=1"]

    @property
    def public_key(self) -> str:
        """The line of the key that logs in."""
        return self.own_key.with_name(f"{self.own_key.name}.pub").read_text().strip()

    def encrypted(self) -> bool:
        """Whether the key has a passphrase, so that only an agent, or who knows it, can log in with it."""
        asked = ["ssh-keygen", "-y", "-P", "", "-f", str(self.own_key)]
        return subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0

    def host_key(self) -> tuple[str, str]:
        """The host's key, as it shows it now, and its fingerprint; nothing is trusted yet.

        Raises:
            StopError: it does not answer, or has no key that can be pinned.
        """
        self._known.write_text("")
        none = ["-o", "StrictHostKeyChecking=accept-new", "-o", "PreferredAuthentications=none", "-o", "BatchMode=yes"]
        # a connection that the operator keeps open shows no key, and may lead to what stood there before
        none += ["-o", "ControlPath=none"]
        said = subprocess.run([*self._ssh, *none, self.host, "true"], capture_output=True, text=True, check=False)
        if not (text := self._known.read_text()):
            why = (said.stderr.strip().splitlines() or ["no reason was given"])[-1]
            more = "; `sudo ssh-keygen -A` there makes one of the kind ed25519" if "host key type" in why else ""
            raise StopError(f"{self.host} does not answer by SSH: {why}{more}")
        line = hostkeys.choose(text.splitlines()[-1], self.config["hostname"], int(self.config["port"]))
        return line, fingerprint(line)

    def known(self) -> set[str]:
        """The lines that the operator's own known_hosts has for this host."""
        name, port = self.config["hostname"], int(self.config["port"])
        name = self.config.get("hostkeyalias", name if port == hostkeys.SSH_PORT else f"[{name}]:{port}")
        found = set()
        for file in self.config.get("userknownhostsfile", "").split():
            asked = ["ssh-keygen", "-F", name, "-f", str(Path(file).expanduser())]
            said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
            found |= {" ".join(line.split()[1:3]) for line in said.splitlines() if not line.startswith(("#", "@"))}
        return found

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
            env=self._environment,
            check=False,
        )

    def script(self, *arguments: str, root: str | None = None, data: bytes = b"", ask: bool = False) -> bytes:
        """Run board.sh there; `root` is the sudo password, empty where none is asked, None for the login itself.

        Raises:
            StopError: it failed.
        """
        text = base64.b64encode(SCRIPT.read_bytes()).decode()
        command = ["sh", "-c", _EVAL, text, *arguments]
        if root is not None and self.config["user"] != "root":
            command = ["sudo", *(["-k", "-S", "-p", ""] if root else ["-n"]), *command]
            data = (f"{root}\n".encode() if root else b"") + data
        done = self.run(command, data, ask=ask)
        if done.returncode:
            why = (done.stderr or b"").decode(errors="replace").strip().splitlines()[-3:]
            raise StopError(": ".join([f"`{arguments[0]}` failed on {self.host}", *(["; ".join(why)] if why else [])]))
        return done.stdout


def fingerprint(line: str) -> str:
    """`SHA256:…` of a public key line."""
    shown = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def _first(files: Iterable[str]) -> Path:
    """The first of the keys that OpenSSH would use which is there with its public half."""
    for file in files:
        path = Path(file).expanduser()
        if path.exists() and path.with_name(f"{path.name}.pub").exists():
            return path
    return Path("~/.ssh/id_ed25519").expanduser()
