"""Host keys as people have them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.core import hostkeys
from infra.kinds import table
from infra.kinds.host.spec import HostStack
from tests.infra.test_spec import problems

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4yN5GmgIWkh1mvSyXPoNWbwm4DYcuxM9ktrM3M0v9L"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEu4Xj5JYVKDN4hmNOHdm2SJ1sOTEEkCq2dWqyYfFMd3"


def made(folder: Path, kind: str) -> str:
    """A public key of that kind."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "me@here", "-f", folder / kind], check=True)
    return (folder / f"{kind}.pub").read_text().strip()


def hashed(folder: Path, *lines: str) -> str:
    """The lines as a `known_hosts` whose names OpenSSH has hashed."""
    file = folder / "known_hosts"
    file.write_text("".join(f"{line}\n" for line in lines))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, stderr=subprocess.DEVNULL)
    text = file.read_text()
    assert "|1|" in text
    return text


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"{KEY} root@jetson",
        f"jetson.local {KEY}",
        f"# jetson.local:22 SSH-2.0-OpenSSH_7.6p1\njetson.local {KEY}\n",
        f"[192.168.1.9]:2222 {KEY}",
        f"other.local {OTHER}\njetson.local,192.168.1.9 {KEY}",
        f"*.local,!other.local {KEY}\nother.local {OTHER}",
        f"@revoked jetson.local {OTHER}\njetson.local {KEY}",
    ],
    ids=["plain", "comment", "keyscan", "keyscan with its remark", "one key", "known_hosts", "patterns", "revoked"],
)
def test_what_tools_print_is_taken(text: str) -> None:
    """If this fails, the line that the documents say to paste is refused."""
    assert hostkeys.choose(text, "jetson.local") == KEY


def test_hashed_names_are_found(tmp_path: Path) -> None:
    """If this fails, nobody on Debian or Ubuntu can name their own known_hosts."""
    text = hashed(tmp_path, f"other.local {OTHER}", f"jetson.local {KEY}", f"[jetson.local]:2222 {OTHER}")
    assert hostkeys.choose(text, "jetson.local") == KEY
    assert hostkeys.choose(text, "jetson.local", 2222) == OTHER
    with pytest.raises(ValueError, match=r"no key of third\.local: `ssh-keyscan -t ed25519 third\.local`"):
        hostkeys.choose(text, "third.local")


@pytest.mark.parametrize(("address", "port"), [("fe80::1%eth0", 22), ("fe80::1%eth0", 2222), ("::1", 22)])
def test_addresses_of_ipv6_are_found(tmp_path: Path, address: str, port: int) -> None:
    """If this fails, a board in a network without IPv4 cannot be pinned by what the tools print."""
    name = address if port == hostkeys.SSH_PORT else f"[{address}]:{port}"
    lines = f"other.local {OTHER}", f"{name} {KEY}"
    assert hostkeys.choose("\n".join(lines), address, port) == KEY
    assert hostkeys.choose(hashed(tmp_path, *lines), address, port) == KEY


def test_of_several_kinds_the_best_is_taken(tmp_path: Path) -> None:
    """If this fails, the whole output of ssh-keyscan pins a key that commands cannot check."""
    rsa, ecdsa = made(tmp_path, "rsa"), made(tmp_path, "ecdsa")
    assert hostkeys.choose(f"jetson.local {rsa}\njetson.local {ecdsa}\njetson.local {KEY}", "jetson.local") == KEY
    assert ecdsa.startswith(hostkeys.choose(f"jetson.local {rsa}\njetson.local {ecdsa}", "jetson.local"))


def test_what_cannot_be_pinned_is_refused(tmp_path: Path) -> None:
    """If this fails, a key passes the preflight and fails in the first command, or an impostor's is taken."""
    for text, said in {
        f"jetson.local {made(tmp_path, 'rsa')}": "kind ssh-rsa, which commands .* ssh-keygen -A",
        f"jetson.local {KEY}\njetson.local {OTHER}": "several ssh-ed25519 keys for jetson.local",
        KEY[:-5]: "not a public key line",
        "": "not a public key line",
        "-----BEGIN OPENSSH PRIVATE KEY-----": "not a public key line",
    }.items():
        with pytest.raises(ValueError, match=said):
            hostkeys.choose(text, "jetson.local")


def test_the_setting_that_holds_it_is_named(values: dict[str, Any]) -> None:
    """If this fails, a person mends another setting than the one that is wrong."""
    jump = {"address": "gate", "user": "me"}
    values["host"] |= {"hostKey": KEY[:-5], "proxyJump": {**jump, "hostKey": "ssh-ed25519 AAAA"}}
    assert "pollex:host.proxyJump.hostKey" in problems(values)
    values["host"]["proxyJump"]["hostKey"] = OTHER
    assert "pollex:host.hostKey" in problems(values)
    values["host"] |= {"hostKey": f"jetson.local {KEY}", "proxyJump": {**jump, "hostKey": f"gate {OTHER}"}}
    assert isinstance(table.parse(values, file="x"), HostStack)
