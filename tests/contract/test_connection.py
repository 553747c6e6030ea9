"""The `connection` input through the real engine: keys, agents, passwords, proxies, retries."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from pulumi_command import remote

from infra.core import hostkeys
from sandbox.plugins.command.testing import Sshd, keypair
from sandbox.serving import NEVER, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.plugins.command.testing import Result, Workshop


def greeting(**connections: Any) -> Callable[[], None]:
    """A program with one Command for each connection."""

    def program() -> None:
        for name, connection in connections.items():
            remote.Command(name, create="echo hello", connection=connection)

    return program


def outcome(result: Result, name: str) -> str:
    """Why a resource failed, or nothing."""
    return " ".join(result.told(name, "error"))


def test_host_key(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, a password is typed into, and commands are run on, whatever answers at the address."""
    other = keypair(tmp_path / "other").with_suffix(".pub").read_text()
    result = workshop.up(
        greeting(
            right=sshd.connection(),
            unchecked=sshd.connection(host_key=None),
            wrong=sshd.connection(host_key=other),
            broken=sshd.connection(host_key="ssh-ed25519 not-a-key", dial_error_limit=10),
        )
    )
    assert set(workshop.state()) == {"right", "unchecked"}
    assert "after 0 failed attempts: " in outcome(result, "wrong")
    assert "failed to parse host key: " in outcome(result, "broken")
    assert result.shown("broken") == [], "what cannot work is not repeated"


def test_kinds_of_host_keys(workshop: Workshop, tmp_path: Path) -> None:
    """If this fails, a key that can be pinned fails in the first command, or one that could be used is refused."""
    with contextlib.ExitStack() as stack:
        kinds = ("ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-3072")
        servers = {kind: stack.enter_context(Sshd.running(tmp_path / kind, kind)) for kind in kinds}
        result = workshop.up(greeting(**{kind: server.connection() for kind, server in servers.items()}))
        pinnable = set()
        for kind, server in servers.items():
            with contextlib.suppress(ValueError):
                hostkeys.choose(server.host_key, "127.0.0.1", server.port)
                pinnable.add(kind)
    assert set(workshop.state()) == pinnable == {kind for kind in kinds if kind != "rsa-3072"}
    assert outcome(result, "rsa-3072")
    assert "no matching host key type found. Their offer: ssh-rsa" in servers["rsa-3072"].log, "SHA-1, that is"


def test_private_keys(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, a user with an encrypted key cannot log in, or waits for retries of a key that cannot be read."""
    authorized = sshd.folder / "id.pub"
    before = authorized.read_text()
    encrypted = keypair(tmp_path / "encrypted", passphrase="words")
    authorized.write_text(before + encrypted.with_suffix(".pub").read_text())
    stranger = keypair(tmp_path / "stranger").read_text()
    key = encrypted.read_text()
    try:
        result = workshop.up(
            greeting(
                right=sshd.connection(private_key=key, private_key_password="words"),
                wrong=sshd.connection(private_key=key, private_key_password="other", dial_error_limit=10),
                missing=sshd.connection(private_key=key, dial_error_limit=10),
            )
        )
    finally:
        authorized.write_text(before)
    assert set(workshop.state()) == {"right"}
    assert outcome(result, "wrong")
    assert outcome(result, "missing")
    assert result.shown("wrong") == result.shown("missing") == []
    # on its own: when another resource has failed, the engine may drop what is said meanwhile
    result = workshop.up(greeting(refused=sshd.connection(private_key=stranger, dial_error_limit=1)))
    assert result.shown("refused") == ["Dial 1/1 failed: retrying"]
    assert "after 1 failed attempts: " in outcome(result, "refused")


def test_agent(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, users whose key lives in an agent cannot log in, or a dead agent goes unnoticed here only."""
    path = str(tmp_path / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as agent:
        try:
            deadline = time.monotonic() + NEVER
            added = ["ssh-add", "-q", str(sshd.folder / "id")]
            while subprocess.run(added, env={"SSH_AUTH_SOCK": path}, check=False, capture_output=True).returncode:
                assert time.monotonic() < deadline, "the agent does not answer"
                time.sleep(0.1)
            workshop.environment["SSH_AUTH_SOCK"] = path
            gone = str(tmp_path / "gone")
            result = workshop.up(
                greeting(
                    named=sshd.connection(private_key=None, agent_socket_path=path),
                    inherited=sshd.connection(private_key=None),
                    dead=sshd.connection(agent_socket_path=gone, dial_error_limit=10),
                )
            )
        finally:
            agent.terminate()
    assert set(workshop.state()) == {"named", "inherited"}
    assert gone in outcome(result, "dead"), "a named agent must answer even where there is a private key"


class _Guard(asyncssh.SSHServer):
    """Accepts one password, by one method."""

    def __init__(self, method: str) -> None:
        self._method = method

    def password_auth_supported(self) -> bool:
        return self._method == "password"

    def validate_password(self, username: str, password: str) -> bool:
        return password == "open sesame"

    def kbdint_auth_supported(self) -> bool:
        return self._method == "questions"

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "", "en", [("First:", False), ("Second:", False)]

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        return list(responses) == ["open sesame", "open sesame"]


@contextlib.contextmanager
def password_server(method: str) -> Iterator[int]:
    """The port of a server that asks for a password: OpenSSH's would want a real account that has one."""
    port: list[int] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()

    def greet(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write("hello\n")
        process.exit(0)

    stop = asyncio.Event()

    async def run() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with asyncssh.listen(
            "127.0.0.1", 0, server_factory=lambda: _Guard(method), server_host_keys=[key], process_factory=greet
        ) as server:
            port.append(server.get_port())
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait(10)
    try:
        yield port[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_passwords(workshop: Workshop) -> None:
    """If this fails, a freshly flashed board, which knows only a password, cannot be reached."""
    with password_server("password") as plain, password_server("questions") as asked:
        base = {"host": "127.0.0.1", "user": "someone", "dial_error_limit": 0}
        result = workshop.up(
            greeting(
                plain=base | {"port": plain, "password": "open sesame"},
                asked=base | {"port": asked, "password": "open sesame"},
                wrong=base | {"port": plain, "password": "guess"},
                wrongly=base | {"port": asked, "password": "guess"},
                nothing=base | {"port": plain},
            )
        )
    assert set(workshop.state()) == {"plain", "asked"}
    for name in ("wrong", "wrongly", "nothing"):
        assert "after 0 failed attempts: " in outcome(result, name)
        assert "guess" not in outcome(result, name)


def test_proxy(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, a board behind a jump host cannot be reached, or is reached around it."""
    with Sshd.running(tmp_path / "proxy") as jump:
        open_port = jump.connection()
        closed = jump.connection(port=free_port())
        nowhere = sshd.connection(port=free_port(), proxy=open_port, dial_error_limit=1)
        result = workshop.up(
            greeting(through=sshd.connection(proxy=open_port), before=sshd.connection(proxy=closed), behind=nowhere)
        )
        assert set(workshop.state()) == {"through"}
        assert "proxy: after 0 failed attempts: " in outcome(result, "before")
        assert "proxy: after 1 failed attempts: " in outcome(result, "behind")
        assert result.shown("behind") == ["Dial from proxy 1/1 failed: retrying"]
        assert jump.log.count("Accepted publickey") == 2, "the connections that got through went through here"


def test_retries(workshop: Workshop, sshd: Sshd, tmp_path: Path) -> None:
    """If this fails, a board that is still booting is given up at once, or one that is gone is waited for too long."""
    server = socket.create_server(("127.0.0.1", 0))
    late = sshd.connection(port=server.getsockname()[1], dial_error_limit=-1)
    gone = sshd.connection(port=free_port(), dial_error_limit=2)

    def relay() -> None:
        with server:
            server.settimeout(NEVER)
            hung_up, _ = server.accept()
            hung_up.close()  # the board has not booted yet; it has when the next try comes
            front, _ = server.accept()
            back = socket.create_connection(("127.0.0.1", sshd.port))
            pumps = [threading.Thread(target=_pump, args=pair) for pair in ((front, back), (back, front))]
            for pump in pumps:
                pump.start()
            for pump in pumps:
                pump.join()
            front.close()
            back.close()

    boots = threading.Thread(target=relay)
    boots.start()
    result = workshop.up(greeting(late=late, gone=gone))
    boots.join()
    assert set(workshop.state()) == {"late"}
    assert result.shown("late")[0] == "Dial 1/inf failed: retrying"
    assert result.shown("gone") == ["Dial 1/2 failed: retrying", "Dial 2/2 failed: retrying"]
    assert "after 2 failed attempts: " in outcome(result, "gone")


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where a connection is neither accepted nor refused: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - the name says what it means
            filler.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_dial_timeout(workshop: Workshop, sshd: Sshd, silent_port: int) -> None:
    """If this fails, a board that is switched off holds `pulumi up` for minutes."""
    result = workshop.up(greeting(silent=sshd.connection(port=silent_port, per_dial_timeout=1)))
    # the plugin's own limit ended it, in Go's words or in ours, and not the kernel's, which comes after minutes
    assert re.search("after 0 failed attempts: .*(i/o timeout|within 1 s)", outcome(result, "silent"))
