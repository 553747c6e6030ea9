"""What is declared of a host, on its way to the plugin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.provider.connection import Connection
from infra.provider.preflight import Needs, Port
from infra.provider.wire import plain

ports = st.integers(1, 65535)
words = st.text(min_size=1)
direct = st.builds(
    Connection,
    address=words,
    port=ports,
    user=words,
    host_key=words | st.none(),
    private_key=words | st.none(),
    private_key_password=words | st.none(),
    proxy=st.none(),
)
needs = st.builds(
    Needs,
    architecture=words | st.none(),
    disk_mb=ports,
    memory_mb=ports,
    commands=st.lists(words).map(tuple),
    packages=st.lists(words).map(tuple),
    ports=st.lists(st.builds(Port, ports, words, words)).map(tuple),
    users=st.dictionaries(words, words),
    programs=st.dictionaries(words, words),
    memory=st.dictionaries(words, ports),
    spare_mb=ports,
)


@given(direct, direct | st.none())
def test_a_connection_arrives_as_it_was_declared(to: Connection, proxy: Connection | None) -> None:
    """If this fails, the plugin logs in to another machine than the stack names, or as somebody else."""
    declared = Connection(
        address=to.address,
        port=to.port,
        user=to.user,
        host_key=to.host_key,
        private_key=to.private_key,
        private_key_password=to.private_key_password,
        proxy=proxy,
    )
    arrived = Connection.parse(plain(declared))
    assert plain(arrived) == plain(declared)
    assert arrived.proxy is None or arrived.proxy.settings == "pollex:host.proxyJump"


@given(needs)
def test_needs_arrive_as_they_were_declared(declared: Needs) -> None:
    """If this fails, the preflight passes over something that the stack asks of the host."""
    assert Needs.parse(plain(declared), sudo=declared.sudo) == declared


def test_what_is_secret_is_marked_wherever_it_stands() -> None:
    """If this fails, a private key stands in clear in the stack's state."""
    jump = Connection(address="jump", private_key="KEY", private_key_password="WORD")
    wire = plain(Connection(address="board", private_key="KEY", private_key_password="WORD", proxy=jump), lambda _: "*")
    assert wire == {
        "address": "board",
        "port": 22,
        "user": "root",
        "privateKey": "*",
        "privateKeyPassword": "*",
        "proxy": {"address": "jump", "port": 22, "user": "root", "privateKey": "*", "privateKeyPassword": "*"},
    }
