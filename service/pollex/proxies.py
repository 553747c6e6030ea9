"""Which proxy leads to an address, by the variables that every program reads (`http_proxy`, `no_proxy`…).

What is on this machine is reached without one, whatever the variables say: a proxy elsewhere cannot reach it, and has
no business with what is sent there.
"""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from pollex.hosts import is_this_machine, literal

SCHEMES = ("http", "https")


class ProxyError(Exception):
    """A variable names a proxy that cannot be used; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it."""

    url: str
    variable: str

    def __str__(self) -> str:
        """Its address without the password that it may hold, and where it comes from."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} (from {self.variable})"


def choose(url: str) -> Proxy | None:
    """The proxy for an address, or None where none is to be used.

    Raises:
        ProxyError: it is of a kind that this program does not speak, or no address.
    """
    parts = urlsplit(url)
    named = urllib.request.getproxies()
    kind = parts.scheme if named.get(parts.scheme) else "all"
    address, host = named.get(kind), parts.hostname
    if not address or not host or _excepted(host, parts.port, named) or is_this_machine(host):
        return None
    proxy = Proxy(address if "://" in address else f"http://{address}", f"{kind}_proxy")
    try:
        scheme, usable = urlsplit(proxy.url).scheme, bool(urlsplit(proxy.url).hostname)
        _ = urlsplit(proxy.url).port
    except ValueError:
        scheme, usable = "", False
    remedy = f"unset {proxy.variable}, or add {host} to no_proxy"
    if not usable:
        raise ProxyError(f"{proxy.variable} names no address of a proxy; {remedy}")
    if scheme not in SCHEMES:
        kinds = " and ".join(f"{kind}://" for kind in SCHEMES)
        raise ProxyError(f"{proxy} leads to {host}, and only {kinds} proxies can be used; {remedy}")
    return proxy


def _excepted(host: str, port: int | None, named: dict[str, str]) -> bool:
    """Whether `no_proxy` names the host: as itself, as a part of a domain, or as an address in a network."""
    shown = f"{host}:{port}" if port is not None else host
    if urllib.request.proxy_bypass_environment(shown, named):  # type: ignore[attr-defined]  # undocumented, used by everybody
        return True
    address = literal(host)
    return address is not None and any(
        address in network for network in map(_network, named.get("no", "").split(",")) if network is not None
    )


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip().strip("[]"), strict=False)
    except ValueError:
        return None
