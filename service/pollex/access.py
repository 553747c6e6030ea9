"""Who may ask, and how often."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from math import ceil

from starlette.datastructures import Headers

_WINDOW = 60.0
"""Seconds over which requests are counted."""
_CLIENTS = 10_000
"""Clients remembered; beyond that the one that was silent longest is forgotten."""


class RateLimiter:
    """At most `limit` requests of a key in any minute; 0 is no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def retry_after(self, key: tuple[str, str]) -> int:
        """0 if the request may pass, which is then counted; else the seconds until one may."""
        if not self._limit:
            return 0
        now = time.monotonic()
        times = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        if len(self._seen) > _CLIENTS:
            self._seen.popitem(last=False)
        while times and times[0] <= now - _WINDOW:
            times.popleft()
        if len(times) >= self._limit:
            return max(1, ceil(times[0] + _WINDOW - now))
        times.append(now)
        return 0


def key_is_right(given: str, expected: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    # Header values arrive as Latin-1, whatever they are.
    return hmac.compare_digest(given.encode("latin-1"), expected.encode())


def client_address(peer: str, headers: Headers, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The client's address: what a trusted proxy says, else the peer of the connection.

    Of `X-Forwarded-For` the last address counts that no trusted proxy has: everything before it a client can invent.
    """
    if not _within(peer, trusted):
        return peer
    if connecting := headers.get("cf-connecting-ip"):
        return connecting.strip() if _is_address(connecting.strip()) else peer
    chain = [part.strip() for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
    for address in reversed(chain):
        if not _is_address(address):
            return peer
        if not _within(address, trusted):
            return address
    return peer


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    if not _is_address(address):
        return False
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(mapped in network for network in networks)
