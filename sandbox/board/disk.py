"""What a fresh board's disk holds beyond the common root file system: its name, its keys, its /opt."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from sandbox.machine import run
from sandbox.serving import PASSIVE

_TRUSTED = Path("etc/ssl/certs/ca-certificates.crt")


def furnish(folder: Path, *, base: Path, hostname: str, address: str, disk_mb: int | None) -> None:
    """Fill a board's empty folder with what `boot.sh` mounts and what others read.

    Args:
        folder: of the board.
        base: the common root file system, which stays as it is.
        hostname: of the board.
        address: under which its host key is known.
        disk_mb: size of a separate file system for /opt, in MiB.
    """
    (folder / "base").symlink_to(base)
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    etc = folder / "upper" / "etc"
    (etc / "ssh").mkdir(parents=True)
    (etc / "hostname").write_text(f"{hostname}\n")
    # The machine's own entries may be what makes the package registries reachable.
    (etc / "hosts").write_text(Path("/etc/hosts").read_text() + f"127.0.1.1 {hostname}\n")
    # Given, because systemd takes an empty one for a first boot and resets which units are enabled.
    (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (etc / "systemd" / "system.conf.d").mkdir(parents=True)
    passive = "".join(f"DefaultEnvironment={name}={value}\n" for name, value in PASSIVE.items())
    (etc / "systemd" / "system.conf.d" / "shared-cores.conf").write_text(f"[Manager]\n{passive}")
    _trust(folder / "upper")
    _keys(folder, etc / "ssh", address)
    if disk_mb is not None:
        _image(folder / "disk.img", disk_mb)


def _trust(root: Path) -> None:
    """Trust the authorities that this machine trusts today; an inspecting proxy's may change while the base lasts."""
    if (Path("/") / _TRUSTED).is_file():
        (root / _TRUSTED).parent.mkdir(parents=True)
        shutil.copyfile(Path("/") / _TRUSTED, root / _TRUSTED)


def _keys(folder: Path, ssh: Path, address: str) -> None:
    """A key to log in with and a key of the host, both fresh."""
    for name in ("id_ed25519", "ssh_host_ed25519_key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name])
        # ssh-keygen leaves the blank before an empty comment.
        public = folder / f"{name}.pub"
        public.write_text(public.read_text().strip() + "\n")
    shutil.copyfile(folder / "id_ed25519.pub", ssh / "board_keys")
    host_key = ssh / "ssh_host_ed25519_key"
    shutil.copyfile(folder / "ssh_host_ed25519_key", host_key)
    host_key.chmod(0o600)
    (folder / "known_hosts").write_text(f"{address} {(folder / 'ssh_host_ed25519_key.pub').read_text()}")


def _image(path: Path, size_mb: int) -> None:
    """An empty ext4 in a sparse file; without a journal, and none of it kept back for root, so that `df` is plain."""
    with path.open("wb") as image:
        image.truncate(size_mb << 20)
    run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", path])
