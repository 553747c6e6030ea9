"""Proxies: which way a text goes, and what is said when one is in the way."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from pollex import proxies
from pollex.hosts import is_this_machine
from tests.cli.conftest import Answer, Pollex, Scripted

Script = Callable[..., Scripted]

ELSEWHERE = "http://board.example:8090"
FINE = Answer.json(200, {"polished": "x", "model": "m", "elapsed_ms": 1})
PROXY = "http://somebody:topsecret@127.0.0.1:1"


def own_address() -> str:
    """The address from which this machine talks to others; the loopback where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "sub.localhost", "[::1]", "own", "name"])
def test_nothing_for_this_machine_goes_to_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """If this fails, a company's proxy reads the text and the key that were meant for the own machine."""
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    named = {"own": own_address(), "name": socket.gethostname()}.get(host, host)
    assert proxies.choose(f"http://{named}:8090") is None


def test_the_command_goes_around(pollex: Pollex, scripted: Script) -> None:
    """If this fails, the same is true of the function and not of the command."""
    proxy, service = (
        scripted(Answer.json(200, [])),
        scripted(Answer.json(200, {"polished": "x", "model": "m", "elapsed_ms": 1})),
    )
    url = service.url.replace("127.0.0.1", "localhost")
    variables = {"http_proxy": proxy.url, "all_proxy": proxy.url, "POLLEX_API_KEY": "secret"}
    done = pollex.at(url)("polish", "-m", "m", stdin=b"text", env=variables)
    assert (done.returncode, done.stdout) == (0, b"x"), done.stderr
    assert (proxy.asked, len(service.asked)) == ([], 1)


def test_others_are_reached_through_it(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a service outside cannot be reached from a network that has a proxy."""
    proxy = scripted(FINE)
    done = pollex.at(ELSEWHERE)("polish", "-m", "m", stdin=b"text", env={"http_proxy": proxy.url})
    assert (done.returncode, done.stdout) == (0, b"x"), done.stderr
    assert proxy.asked[0].path == f"{ELSEWHERE}/api/polish"


@pytest.mark.parametrize(
    ("answer", "status"), [(None, 5), (Answer(407, b"<h1>Who are you?</h1>"), 1), (Answer(200, b"<h1>Log in</h1>"), 1)]
)
def test_a_proxy_that_fails_is_named(pollex: Pollex, scripted: Script, answer: Answer | None, status: int) -> None:
    """If this fails, somebody looks for the fault in a service that was never asked, or reads the proxy's password."""
    address = PROXY if answer is None else scripted(answer).url.replace("//", "//somebody:topsecret@")
    done = pollex.at(ELSEWHERE)("models", env={"http_proxy": address})
    assert done.returncode == status
    shown = done.stderr.decode()
    assert f"through the proxy {address.replace('somebody:topsecret@', '')} (from http_proxy)" in shown
    assert "topsecret" not in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "proxy",
    ["socks5://h:1080", "socks5h://h:1", "socks4://h", "ftp://h", "http://", "http://h:port", "http://[::1", "x://y"],
)
def test_proxies_that_cannot_be_used(pollex: Pollex, proxy: str) -> None:
    """If this fails, a variable of another program ends this one in a traceback."""
    for variable, kind in (("http_proxy", "http"), ("ALL_PROXY", "all")):
        done = pollex.at(ELSEWHERE)("polish", "-m", "m", stdin=b"text", env={variable: proxy})
        assert (done.returncode, done.stdout) == (2, b"")
        assert f"unset {kind}_proxy, or add board.example to no_proxy" in done.stderr.decode()
        assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("excepted", "host"),
    [
        ("board.example", "board.example"),
        (".example", "board.example"),
        ("example", "board.example"),
        ("board.example:8090", "board.example"),
        ("*", "board.example"),
        ("192.0.2.0/24", "192.0.2.7"),
        ("a, 192.0.2.7", "192.0.2.7"),
        ("2001:db8::/32", "[2001:db8::7]"),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, excepted: str, host: str) -> None:
    """If this fails, what is to be reached directly goes to the proxy all the same."""
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    monkeypatch.setenv("no_proxy", "")
    assert proxies.choose(f"http://{host}:8090") is not None
    monkeypatch.setenv("no_proxy", excepted)
    assert proxies.choose(f"http://{host}:8090") is None


def test_others_are_not_this_machine() -> None:
    """If this fails, every proxy is gone around."""
    assert not any(map(is_this_machine, ["192.0.2.1", "board.invalid", "2001:db8::1", ""]))
