"""Whose address counts, and how often it may ask."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from starlette.datastructures import Headers

from pollex.access import RateLimiter, client_address, key_is_right
from tests.service.conftest import Client

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("192.0.2.1", {}, "192.0.2.1"),
        ("192.0.2.1", {"cf-connecting-ip": "203.0.113.9"}, "192.0.2.1"),
        ("192.0.2.1", {"x-forwarded-for": "203.0.113.9"}, "192.0.2.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"cf-connecting-ip": "203.0.113.9"}, "203.0.113.9"),
        ("::ffff:10.0.0.1", {"cf-connecting-ip": "203.0.113.9"}, "203.0.113.9"),
        ("fd00::1", {"cf-connecting-ip": "2001:db8::1"}, "2001:db8::1"),
        ("10.0.0.1", {"cf-connecting-ip": "everybody"}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "198.51.100.7, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"),
        ("10.0.0.1", {"x-forwarded-for": "nonsense"}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.2"}, "10.0.0.1"),
        ("local", {"cf-connecting-ip": "203.0.113.9"}, "local"),
    ],
)
def test_client_address(peer: str, headers: dict[str, str], address: str) -> None:
    """If this fails, a client invents addresses to escape the limit, or all of a proxy's clients share one."""
    assert client_address(peer, Headers(headers), TRUSTED) == address


def test_invented_addresses(client: Client) -> None:
    """If this fails, one header lifts the limit for everybody who knows it."""
    api = client(rate_limit=1)
    statuses = [api.get("/api/models", headers={"Cf-Connecting-Ip": f"203.0.113.{n}"}).status_code for n in range(2)]
    assert statuses == [200, 429]


def test_the_window_slides(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, whoever met the limit once is kept out for longer than a minute, or not at all."""
    now = 0.0
    monkeypatch.setattr("pollex.access.time.monotonic", lambda: now)
    limiter, key = RateLimiter(2), ("192.0.2.1", "/api/polish")
    assert limiter.retry_after(key) == 0
    now = 30.0
    assert limiter.retry_after(key) == 0
    assert limiter.retry_after(key) == 30
    assert limiter.retry_after(("192.0.2.2", "/api/polish")) == 0
    now = 60.5
    assert limiter.retry_after(key) == 0
    assert limiter.retry_after(key) == 30


def test_memory_is_bounded() -> None:
    """If this fails, a botnet fills the board's memory with addresses."""
    limiter = RateLimiter(1)
    for number in range(10_050):
        limiter.retry_after((str(number), "/"))
    assert len(limiter._seen) == 10_000


@pytest.mark.parametrize(
    ("given", "right"), [("key", True), ("kez", False), ("", False), ("ke", False), ("keyy", False), ("\xe9", False)]
)
def test_keys(given: str, right: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, a part of a key, or none, is taken for the key."""
    assert key_is_right(given, "key") is right
