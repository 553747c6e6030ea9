"""Who may ask, and how often."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from math import ceil

from starlette.datastructures import Headers

from pollex.keys import Keys
from pollex.settings import Settings

_WINDOW = 60.0
"""Seconds over which requests are counted."""
_CLIENTS = 10_000
"""Clients remembered; beyond that the one that was silent longest is forgotten."""


class RateLimiter:
    """At most `limit` requests of a key in any minute; 0 is no limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._seen: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def retry_after(self, key: tuple[str, str]) -> int:
        """0 if the request may pass, which is then counted; else the seconds until one may."""
        if not self.limit:
            return 0
        now = time.monotonic()
        times = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        if len(self._seen) > _CLIENTS:
            self._seen.popitem(last=False)
        while times and times[0] <= now - _WINDOW:
            times.popleft()
        if len(times) >= self.limit:
            return max(1, ceil(times[0] + _WINDOW - now))
        times.append(now)
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """What is known of whoever asks."""

    welcome: bool
    """Whether the key is right, or none is needed."""
    person: str
    """Whose key it is; empty where it is nobody's own."""
    retry_after: int
    """0, or the seconds that are to pass first."""
    limit: int
    """Requests a minute that it may make; 0 is no limit."""


class Door:
    """Looks at keys, and counts: by key where there is a right one, else by address, which may ask `limit` times."""

    def __init__(self, settings: Settings, limit: int) -> None:
        self._keys = Keys(settings.api_key.get_secret_value(), settings.api_keys)
        self._by_key = RateLimiter(settings.key_rate_limit)
        self._by_address = RateLimiter(limit)

    def look(self, key: str, address: str, path: str) -> Visitor:
        """Who asks for a path; it is counted."""
        person = self._keys.whose(key)
        # Wrong keys are counted as well, or they could be tried as fast as the network carries them.
        limiter, who = (self._by_address, address) if person is None else (self._by_key, person)
        return Visitor(
            welcome=person is not None or not self._keys.wanted,
            person=person or "",
            retry_after=limiter.retry_after((who, path)),
            limit=limiter.limit,
        )


def client_address(peer: str, headers: Headers, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The client's address: what a trusted proxy says, else the peer of the connection.

    Of `X-Forwarded-For` the last address counts that no trusted proxy has: everything before it a client can invent.
    """
    if not within(peer, trusted):
        return peer
    if connecting := headers.get("cf-connecting-ip"):
        return connecting.strip() if _is_address(connecting.strip()) else peer
    chain = [part.strip() for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
    for address in reversed(chain):
        if not _is_address(address):
            return peer
        if not within(address, trusted):
            return address
    return peer


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether an address is in one of these networks; what is no address is in none."""
    if not _is_address(address):
        return False
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(mapped in network for network in networks)
