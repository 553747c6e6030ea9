"""A stand-in for a Jetson Nano: real systemd and sshd in a container, with an address and ports of its own.

    python -m sandbox.board {up,down,start,stop,kill,reboot,status,wait,ssh} [NAME] | list

Nothing here knows what the board is used for. A board is a folder `.sandbox/boards/<name>/` of the checkout:

    index                  the third number of its address, 10.213.<index>.2
    id_ed25519             the key that manu and root accept; id_ed25519.pub beside it
    ssh_host_ed25519_key   its own key; ssh_host_ed25519_key.pub is the text to pin
    known_hosts            the same for ssh(1)
    base -> …              the root file system it started from
    upper/ work/ root/     what it changed since (overlayfs)
    disk.img               its /opt, if that was limited
    console.log            everything it said on its console
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sandbox.board.claims import RESERVED, claim, release
from sandbox.board.disk import furnish
from sandbox.board.guest import POWEROFF, REBOOT, Guest
from sandbox.board.network import Network
from sandbox.debian.rootfs import Machine, Release, rootfs
from sandbox.images import emulation
from sandbox.machine import CHECKOUT, SandboxError, bring, require
from sandbox.serving import NEVER

HOME: Final = CHECKOUT / ".sandbox"
"""Everything the sandbox makes in this checkout."""

DEFAULT: Final = "sandbox"
"""The board that the stack file of the same name refers to; its index is always 0."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")


class Board:
    """A board that exists in this checkout, on or off."""

    user: Final = "manu"
    """The login with sudo; root accepts the same key."""

    def __init__(self, name: str) -> None:
        """Refer to a board by its name.

        Raises:
            SandboxError: there is none of that name.
        """
        self.name = name
        self.folder = _folder(name)
        if not (self.folder / "index").is_file():
            raise SandboxError(f"there is no board {name}; make it with: python -m sandbox.board up {name}")
        index = int((self.folder / "index").read_text())
        self.guest = Guest(index)
        self.network = Network(index)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        index: int | None = None,
        disk_mb: int | None = None,
        emulated: Machine | None = None,
        debian: Release | None = None,
    ) -> Board:
        """Make a board: fresh keys, an empty disk, a network. It is still off.

        Args:
            name: letters, digits and hyphens; also its hostname.
            index: third number of its address, 0 to 250; None takes the first free one.
            disk_mb: size of its /opt in MiB, which is else as large as the machine's own disk.
            emulated: another kind of machine than this one, whose programs are run by QEMU; many times slower.
            debian: the release, another one than usual.

        Raises:
            SandboxError: the machine cannot carry boards, or not of that kind, or name or index are in use.
        """
        require()
        folder = _folder(name)
        if (folder / "index").exists():
            raise SandboxError(f"the board {name} exists already, in {folder}")
        if emulated is not None:
            bring("qemu-aarch64-static", "update-binfmts")
            emulation.require("arm64")
        base = rootfs(emulated, debian)
        folder.mkdir(parents=True, exist_ok=True)
        _empty(folder)  # half of one, left by a killed run
        number = claim(folder, RESERVED if name == DEFAULT else index)
        try:
            furnish(folder, base=base, hostname=name, address=Network(number).address, disk_mb=disk_mb)
            (folder / "index").write_text(f"{number}\n")
        except BaseException:
            release(folder, number)
            shutil.rmtree(folder)
            raise
        return cls(name)

    @classmethod
    @contextmanager
    def temporary(
        cls,
        name: str,
        *,
        disk_mb: int | None = None,
        emulated: Machine | None = None,
        debian: Release | None = None,
    ) -> Iterator[Board]:
        """A board for the length of a `with` block, ready to log in; one left by a killed run makes way."""
        destroy(name)
        board = cls.create(name, disk_mb=disk_mb, emulated=emulated, debian=debian)
        try:
            board.start()
            board.wait_ready()
            yield board
        finally:
            board.destroy()

    @property
    def address(self) -> str:
        """Where the board answers, on the usual ports."""
        return self.network.address

    @property
    def gateway(self) -> str:
        """This machine, as the board sees it."""
        return self.network.gateway

    @property
    def private_key(self) -> Path:
        """What manu and root log in with (OpenSSH, without passphrase)."""
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> Path:
        """File with the one line to pin: `ssh-ed25519 AAAA…`."""
        return self.folder / "ssh_host_ed25519_key.pub"

    def state(self) -> str:
        """`on`, `off`, or `crashed` when a part of it was killed (it may even answer, but a reboot would end it)."""
        if not self.guest.processes():
            return "off"
        return "on" if self.guest.supervised() else "crashed"

    def start(self) -> None:
        """Power on; returns before the board answers. A crashed board is cleared away first.

        Raises:
            SandboxError: another checkout's board of the same index runs.
        """
        if self.state() == "on":
            return
        if not (self.folder / "base").exists():
            raise SandboxError(f"the root file system of the board {self.name} is gone from the cache: down, then up")
        claim(self.folder, self.network.index)
        self.guest.boot(self.folder, self.name)

    def stop(self, seconds: float = NEVER) -> None:
        """Shut down in order; a board that does not manage within `seconds` loses its power."""
        if self.guest.init() is not None:
            self.guest.ask(POWEROFF)
            self.guest.wait_off(seconds)
        self.guest.kill()

    def kill(self) -> None:
        """Cut the power."""
        self.guest.kill()

    def reboot(self) -> None:
        """Restart in order, and wait until the board answers again.

        Raises:
            SandboxError: it is off, or did not come back.
        """
        former = self.guest.init()
        self.guest.ask(REBOOT)
        deadline = time.monotonic() + NEVER  # systemd gives each service up to 90 s to stop
        while self.guest.init() in {None, former}:
            if not self.guest.processes() or time.monotonic() > deadline:
                raise self._trouble("did not come back from a reboot")
            time.sleep(0.05)
        self.wait_ready()

    def cut_power(self) -> None:
        """Take the power away, as `kill` does, and bring it back; wait until the board answers again.

        Raises:
            SandboxError: it did not come back.
        """
        self.kill()
        self.start()
        self.wait_ready()

    def flash(self) -> Board:
        """Make it anew, as one of the usual kind, and wait until it answers: another disk, and other keys.

        It keeps its address all the while, which another board would be given otherwise.
        """
        self.kill()
        (self.folder / "index").unlink()
        board = Board.create(self.name, index=self.network.index)
        board.start()
        board.wait_ready()
        return board

    def destroy(self) -> None:
        """Leave nothing of it on the machine."""
        destroy(self.name)

    def run(
        self,
        command: str,
        *,
        input: bytes | None = None,  # noqa: A002 - as in subprocess.run
        check: bool = True,
        user: str = "manu",
        timeout: float | None = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the board over SSH.

        Args:
            command: for the login shell of `user`.
            input: standard input; None is an empty one.
            check: whether an exit status other than 0 raises.
            user: manu or root.
            timeout: seconds until subprocess.TimeoutExpired; None waits for ever.

        Raises:
            SandboxError: `check` and the status is not 0 (255: no connection); holds what it wrote.
        """
        done = subprocess.run(
            [*self.ssh(user), command], input=input or b"", capture_output=True, timeout=timeout, check=False
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode != 0:
            told = "\n".join((out + err).strip().splitlines()[-20:])
            raise SandboxError(f"{self.name}: {command}: exit status {done.returncode}\n{told}")
        return subprocess.CompletedProcess(command, done.returncode, out, err)

    def ssh(self, user: str = "manu") -> list[str]:
        """Words of the command line that logs in, to which a command can be added."""
        options = {
            "IdentityFile": self.private_key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "BatchMode": "yes",
            # a board that is off refuses at once; this is for the whole handshake with one that compiles on all cores
            "ConnectTimeout": "60",
            "LogLevel": "ERROR",
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", "-F", "none", *flags, f"{user}@{self.address}"]

    def wait_ready(self, timeout: float = NEVER) -> None:
        """Wait until manu can log in and systemd has started what it wanted to start (well or not).

        Raises:
            SandboxError: not within `timeout` seconds, or the board went off; holds the end of its console.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                # Exit status 1 with "degraded" is a finished boot as well.
                answer = self.run("systemctl is-system-running --wait", check=False, timeout=timeout)
                if answer.stdout.strip() in {"running", "degraded"}:
                    return
            if not self.guest.processes():
                raise self._trouble("went off while booting")
            time.sleep(0.1)
        raise self._trouble(f"does not answer after {timeout:.0f} s")

    def _trouble(self, what: str) -> SandboxError:
        """An error that shows the console."""
        console = self.folder / "console.log"
        said = console.read_text(errors="replace").splitlines()[-15:] if console.exists() else []
        return SandboxError("\n".join([f"the board {self.name} {what}; {console} ends with", *said]))


def destroy(name: str) -> None:
    """Take a board of this checkout away, however much of it is there."""
    folder = _folder(name)
    index = folder / "index"
    release(folder, int(index.read_text()) if index.is_file() else None)
    if folder.exists():
        shutil.rmtree(folder)
    for parent in (folder.parent, HOME):
        with suppress(OSError):  # not there, or not empty
            parent.rmdir()


def _empty(folder: Path) -> None:
    """Take away what is in a folder, and leave the folder itself: a claim whose folder is gone is nobody's."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _folder(name: str) -> Path:
    """Where a board of this checkout lives.

    Raises:
        SandboxError: the name could not be a hostname.
    """
    if not _NAME.fullmatch(name):
        raise SandboxError(f"{name!r} is not a name for a board: lower-case letters, digits and hyphens, up to 42")
    return HOME / "boards" / name
