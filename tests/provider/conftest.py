"""A real sshd to log in to."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.serving import free_port, listens
from tests.waiting import wait_for

HERE = Path(__file__).parent


def keygen(file: Path, *options: str) -> str:
    """Make a key pair and return the public line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file), *options], check=True)
    return file.with_name(file.name + ".pub").read_text().strip()


@dataclass
class Machine:
    """A host: sshd on the loopback, in a mount namespace with a /opt of its own."""

    folder: Path
    port: int
    host_key: str
    private_key: str
    sshd: subprocess.Popen[bytes] = field(repr=False)

    @property
    def opt(self) -> Path:
        """The host's /opt, seen from here."""
        return Path(f"/proc/{self.sshd.pid}/root/opt")

    def connection(self, **changes: Any) -> dict[str, Any]:
        """The `connection` input that leads here, with some values changed."""
        values = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "hostKey": self.host_key,
            "privateKey": self.private_key,
        }
        return {name: value for name, value in {**values, **changes}.items() if value is not None}


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One host for all tests of the provider."""
    folder = tmp_path_factory.mktemp("machine")
    if os.geteuid() != 0 or not Path("/usr/sbin/sshd").exists():
        pytest.fail("these tests need root and sshd: run as root, after `apt-get install openssh-server`")
    host_key = keygen(folder / "host")
    (folder / "authorized").write_text(keygen(folder / "login"))
    port = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n"
    )
    log = (folder / "sshd.log").open("wb")
    sshd = subprocess.Popen(["unshare", "--mount", "sh", HERE / "machine.sh", folder / "sshd_config"], stderr=log)
    try:
        wait_for(partial(listens, port), sshd)
        yield Machine(folder, port, host_key, (folder / "login").read_text(), sshd)
    finally:
        sshd.terminate()
        sshd.wait()
        log.close()
