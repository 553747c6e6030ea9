"""Whose address counts, and how often it may ask."""

from __future__ import annotations

import hmac
from ipaddress import ip_network

import pytest
from starlette.datastructures import Headers

from pollex import keys
from pollex.access import RateLimiter, client_address
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
    assert keys.Keys("key", {}).whose(given) == ("" if right else None)
    assert keys.Keys("other", {"ana": keys.hashed("key")}).whose(given) == ("ana" if right else None)


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, how long an answer takes tells a stranger whose key, or how much of one, was right."""
    compared = list[bytes]()
    real = hmac.compare_digest

    def compare(given: bytes, known: bytes) -> bool:
        compared.append(known)
        return real(given, known)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    known = keys.Keys("shared", {"ana": keys.hashed("a"), "ben": keys.hashed("b")})
    for given in ("a", "b", "shared", "wrong"):
        known.whose(given)
    assert len(compared) == 4 * 3
    assert {len(one) for one in compared} == {32}


@pytest.fixture
def people() -> dict[str, str]:
    """A key of each."""
    return {name: keys.new() for name in ("ana", "ben")}


@pytest.mark.parametrize("door", ["api", "LanguageTool's"])
def test_people_are_named(client: Client, people: dict[str, str], caplog: pytest.LogCaptureFixture, door: str) -> None:
    """If this fails, nobody can say whose key is misused, or the log gives the keys away."""
    caplog.set_level("INFO")
    api = client(api_key="shared", api_keys={name: keys.hashed(key) for name, key in people.items()})

    def ask(key: str) -> int:
        if door == "api":
            return api.post(
                "/api/polish", json={"text": "x", "model_id": "mock"}, headers={"X-API-Key": key}
            ).status_code
        form = {"text": "x", "language": "en", "username": "me", "apiKey": key}
        return api.post("/v2/check", data=form).status_code

    assert [ask(people["ana"]), ask(people["ana"]), ask(people["ben"]), ask("shared")] == [200] * 4
    assert ask(keys.new()) in (401, 403)
    logged = [getattr(record, "person", None) for record in caplog.records if record.name == "pollex.request"]
    assert logged == ["ana", "ana", "ben", None, None]
    counted = api.get("/metrics").text
    assert 'pollex_person_requests_total{person="ana"} 2.0' in counted
    assert 'pollex_person_requests_total{person="ben"} 1.0' in counted
    assert not [key for key in people.values() if key in f"{counted}{[vars(record) for record in caplog.records]}"]


def test_a_line_that_is_taken_out(client: Client, people: dict[str, str]) -> None:
    """If this fails, a lost laptop goes on polishing, or everybody else's key is lost with it."""
    hashes = {name: keys.hashed(key) for name, key in people.items()}
    api = client(api_keys={"ben": hashes["ben"]})
    statuses = [api.get("/api/models", headers={"X-API-Key": key}).status_code for key in people.values()]
    assert statuses == [401, 200]
    assert api.get("/api/models").status_code == 401


def test_a_person_may_be_limited(client: Client, people: dict[str, str]) -> None:
    """If this fails, one script with a good key keeps the boards from everybody else."""
    api = client(key_rate_limit=2, api_keys={name: keys.hashed(key) for name, key in people.items()})

    def asked(name: str) -> int:
        return api.get("/api/models", headers={"X-API-Key": people[name]}).status_code

    assert [asked("ana") for _ in range(3)] == [200, 200, 429]
    assert asked("ben") == 200
    form = {"text": "x", "language": "en", "username": "me", "apiKey": people["ana"]}
    assert [api.post("/v2/check", data=form).status_code for _ in range(3)] == [200, 200, 429]
