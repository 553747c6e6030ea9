"""Where an address leads: to this machine, into the own network, or out into the world."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

_PRIVATE_ENDINGS = (".localhost", ".local", ".lan", ".home", ".internal", ".home.arpa")
"""RFC 6761, 6762, 8375, ICANN's `.internal`, and what routers give out."""


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The host as an address, or None if it is a name."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_private(host: str) -> bool:
    """Whether a host is surely not in the public Internet; only its name or address is looked at."""
    address = literal(host)
    if address is not None:
        return address.is_private or address.is_loopback or address.is_link_local
    name = host.rstrip(".").lower()
    return "." not in name or name.endswith(_PRIVATE_ENDINGS)


def is_this_machine(host: str) -> bool:
    """Whether a name or an address leads to the machine that this runs on."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = literal(host)
    if address is not None:
        return _is_own(str(address))
    try:
        resolved = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(_is_own(str(entry[4][0])) for entry in resolved)


def _is_own(text: str) -> bool:
    address = literal(text)
    if address is None:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the protocol's name
    # What would be sent to an address of this machine, the kernel sends from that address. Nothing is sent here.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return literal(str(probe.getsockname()[0])) == address
    except OSError:
        return False
