"""Public host keys as people have them: a key line, what ssh-keyscan prints, a `known_hosts` with hashed names."""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

KINDS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
"""What may be pinned, the preferred first.

RSA is not among them. With a pinned key, pulumi-command offers that key's type as the only algorithm (`SSHConfig` in
its remote/connection.go). For RSA that is `ssh-rsa`, a signature with SHA-1: golang.org/x/crypto/ssh does not widen it
to rsa-sha2-256 and -512, and OpenSSH gives it no more since 8.8 ("no common algorithm for host key"). Without a pinned
key a command would run on whatever answers. So an RSA key is refused before anything is contacted, and on older hosts,
too, where SHA-1 would be the price.
"""

_ELSEWHERE: Final = ("ssh-rsa", "ssh-dss", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")
"""Kinds that are recognised in order to say that they will not do."""

SSH_PORT: Final = 22


@dataclass(frozen=True, slots=True)
class _Line:
    """A key with the hosts that it is said to be of."""

    hosts: str
    """Names and patterns with commas in between, or one hashed name; empty where the line names none."""
    kind: str
    blob: str
    """The key in base64."""


def choose(text: str, address: str, port: int = SSH_PORT) -> str:
    """The one key in a text that is this host's, as `KIND BASE64`.

    Lines for other hosts are passed over, unless the text holds a single key: somebody chose that one.

    Args:
        text: one or more lines, with or without hosts in front.
        address: the host, as it is logged in to.
        port: its SSH port.

    Raises:
        ValueError: there is none, or it cannot be told which; the text says what would be right.
    """
    lines = list(_lines(text))
    if len({(line.kind, line.blob) for line in lines}) > 1:
        lines = [line for line in lines if not line.hosts or _names(line.hosts, address, port)]
        if not lines:
            raise ValueError(f"holds no key of {address}: {_keyscan(address, port)} prints it")
    usable = sorted((line for line in lines if line.kind in KINDS), key=lambda line: KINDS.index(line.kind))
    if not usable and lines:
        raise ValueError(
            f"is of the kind {lines[0].kind}, which commands on the host cannot check: take the host's ed25519 key, "
            f"which {_keyscan(address, port)} prints; a host that has none makes one by `sudo ssh-keygen -A`"
        )
    if not usable:
        raise ValueError(f"is not a public key line such as 'ssh-ed25519 AAAA…': {_keyscan(address, port)} prints it")
    if len({line.blob for line in usable if line.kind == usable[0].kind}) > 1:
        raise ValueError(f"holds several {usable[0].kind} keys for {address}: leave the one that is the host's")
    return f"{usable[0].kind} {usable[0].blob}"


def _keyscan(address: str, port: int) -> str:
    return "`ssh-keyscan -t ed25519 " + ("" if port == SSH_PORT else f"-p {port} ") + f"{address}`"


def _lines(text: str) -> Iterator[_Line]:
    """The lines that hold a whole key; comments, marked lines (revoked, authorities) and others are not keys."""
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", "@")):
            continue
        hosts = "" if words[0] in (*KINDS, *_ELSEWHERE) else words.pop(0)
        if len(words) > 1 and words[0] in (*KINDS, *_ELSEWHERE) and _is_whole(*words[:2]):
            yield _Line(hosts, words[0], words[1])


def _is_whole(kind: str, blob: str) -> bool:
    """Whether the key says of itself to be of that kind, and nothing was cut off (RFC 4253, 6.6)."""
    try:
        rest = b64decode(blob, validate=True)
    except NotBase64:
        return False
    parts = list[bytes]()
    while rest:
        length = int.from_bytes(rest[:4], "big")
        part, rest = rest[4 : 4 + length], rest[4 + length :]
        if len(part) != length:
            return False
        parts.append(part)
    return len(parts) > 1 and parts[0] == kind.encode()


def _names(hosts: str, address: str, port: int) -> bool:
    """Whether the first word of a `known_hosts` line means this host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    name = address.lower() if port == SSH_PORT else f"[{address.lower()}]:{port}"
    if hosts.startswith("|1|"):
        try:
            salt, hashed = (b64decode(part) for part in hosts[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), hashed)
    patterns = hosts.lower().split(",")
    if any(pattern[:1] == "!" and fnmatchcase(name, _pattern(pattern[1:])) for pattern in patterns):
        return False
    return any(fnmatchcase(name, _pattern(pattern)) for pattern in patterns)


def _pattern(pattern: str) -> str:
    """With * and ? alone as wildcards: a bracket is part of `[HOST]:PORT`."""
    return pattern.replace("[", "[[]")
