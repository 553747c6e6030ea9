"""Web addresses of what listens on a machine. Pure."""

from __future__ import annotations

_HTTPS = 443


def local_url(host: str, port: int) -> str:
    """Where programs on the machine itself reach what listens at `host`."""
    wildcard = {"0.0.0.0", "::", "127.0.0.1", "localhost"}  # noqa: S104 - compared, not bound
    return web_url("localhost" if host in wildcard else host, port)


def web_url(name: str, port: int, *, tls: bool = False) -> str:
    """A web address; an IPv6 address in brackets, and the port where it is not the one that is meant without."""
    at = f"[{name}]" if ":" in name else name
    if tls:
        return f"https://{at}" if port == _HTTPS else f"https://{at}:{port}"
    return f"http://{at}:{port}"
