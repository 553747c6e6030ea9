"""Connecting to a host by SSH: what a `connection` input means."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncssh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from infra.provider.engine import Log

T = TypeVar("T")

# Waits between attempts, in seconds: sdk/go/common/util/retry, which the official plugin uses with its defaults.
FIRST_WAIT, WAIT_FACTOR, LONGEST_WAIT = 0.1, 1.5, 5.0
# Go's net.Dialer does the same: a host that vanished is noticed after about 150 s, without help of its sshd.
KEEPALIVE_SECONDS, KEEPALIVE_PROBES = 15, 9


class DialError(Exception):
    """A host could not be reached or logged in to; the message tells after how many attempts, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One SSH server and how to log in to it."""

    host: str
    user: str
    port: int
    dial_error_limit: int
    """How many failed attempts are repeated; -1 is no limit."""
    per_dial_timeout: float
    """Seconds for the TCP connection of one attempt; 0 is no limit."""
    private_key: str | None = field(default=None, repr=False)
    private_key_password: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    agent_socket: str | None = None
    """Socket of the SSH agent; it is asked for keys when there is no private key."""
    host_key: str | None = None
    """The one public key accepted from the server (`ssh-ed25519 AAAA…`); without it any key is accepted."""

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Self:
        """The endpoint that checked properties declare."""
        return cls(
            host=properties["host"],
            user=properties["user"],
            port=int(properties["port"]),
            dial_error_limit=int(properties["dialErrorLimit"]),
            per_dial_timeout=properties["perDialTimeout"],
            private_key=properties.get("privateKey"),
            private_key_password=properties.get("privateKeyPassword"),
            password=properties.get("password"),
            agent_socket=properties.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK") or None,
            host_key=properties.get("hostKey"),
        )


class _Login(asyncssh.SSHClient):
    """Answers with the password, once for each method: a second question means that it was wrong."""

    def __init__(self, password: str | None) -> None:
        self._for_password = self._for_questions = password

    def password_auth_requested(self) -> str | None:
        password, self._for_password = self._for_password, None
        return password

    def kbdint_auth_requested(self) -> str | None:
        return None if self._for_questions is None else ""

    def kbdint_challenge_received(
        self,
        name: str,  # noqa: ARG002 - asyncssh passes it
        instructions: str,  # noqa: ARG002
        lang: str,  # noqa: ARG002
        prompts: Sequence[tuple[str, bool]],
    ) -> list[str] | None:
        password = self._for_questions
        if prompts:
            self._for_questions = None
        return None if password is None else [password] * len(prompts)


async def _tcp(endpoint: Endpoint) -> socket.socket:
    """A TCP connection; raises OSError."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    try:
        async with asyncio.timeout(endpoint.per_dial_timeout or None):
            for family, kind, protocol, _, address in await loop.getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_STREAM
            ):
                sock = socket.socket(family, kind, protocol)
                try:
                    sock.setblocking(False)  # noqa: FBT003 - the name says what it means
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
                    await loop.sock_connect(sock, address)
                except OSError as error:
                    sock.close()
                    failure = error
                except BaseException:
                    sock.close()
                    raise
                else:
                    return sock
    except TimeoutError:
        raise TimeoutError(
            f"no answer from {endpoint.host}:{endpoint.port} within {endpoint.per_dial_timeout:g} s"
        ) from failure
    raise failure or OSError(f"{endpoint.host} has no address")


async def _options(endpoint: Endpoint, stack: AsyncExitStack) -> dict[str, Any]:
    """What asyncssh needs to log in; raises ValueError for an unusable key, OSError for an unreachable agent.

    As in the official plugin, an agent that is named must answer even where a private key makes it superfluous.
    Nothing of the user's own SSH configuration is read.
    """
    keys: list[Any] = []
    if endpoint.private_key is not None:
        keys = [asyncssh.import_private_key(endpoint.private_key, endpoint.private_key_password)]
    if endpoint.agent_socket is not None:
        try:
            agent = await stack.enter_async_context(asyncssh.connect_agent(endpoint.agent_socket))
        except OSError as error:
            raise OSError(f"the SSH agent at {endpoint.agent_socket} cannot be reached: {error}") from error
        keys = keys or list(await agent.get_keys())
    options: dict[str, Any] = {
        "config": None,
        "username": endpoint.user,
        "client_factory": lambda: _Login(endpoint.password),
        "client_keys": keys or None,
        "agent_path": None,
        "known_hosts": None,
    }
    if endpoint.host_key is not None:
        try:
            host_key = asyncssh.import_public_key(endpoint.host_key)
        except ValueError as error:
            raise ValueError(f"failed to parse host key: {error}") from error
        options |= {"known_hosts": ([host_key], [], []), "server_host_key_algs": [host_key.get_algorithm()]}
    return options


async def _retried(what: str, limit: int, attempt: Callable[[], Awaitable[T]], status: Log) -> T:
    """The result of the first attempt that succeeds; raises DialError after `limit` repeated failures."""
    wait = FIRST_WAIT
    for failures in count(1):
        try:
            return await attempt()
        except (OSError, asyncssh.Error) as error:
            if -1 < limit < failures:
                raise DialError(f"after {failures - 1} failed attempts: {error}") from error
        status(f"{what} {failures}/{limit if limit != -1 else 'inf'} failed: retrying")
        await asyncio.sleep(min(wait, LONGEST_WAIT))
        wait *= WAIT_FACTOR
    raise AssertionError


@asynccontextmanager
async def connected(properties: Mapping[str, Any], status: Log) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """An SSH connection as a checked `connection` input describes it, through its `proxy` where it names one.

    `status` is told of every failed attempt. Raises DialError, or ValueError and OSError as `_options` does.
    """
    target = Endpoint.of(properties)
    async with AsyncExitStack() as stack:
        options = await _options(target, stack)

        async def direct(endpoint: Endpoint, options: dict[str, Any]) -> asyncssh.SSHClientConnection:
            return await asyncssh.connect(endpoint.host, endpoint.port, sock=await _tcp(endpoint), **options)

        if (declared := properties.get("proxy")) is None:
            client = await _retried("Dial", target.dial_error_limit, lambda: direct(target, options), status)
        else:
            proxy = Endpoint.of(declared)
            try:
                through = await _options(proxy, stack)
                tunnel = await _retried("Dial proxy", proxy.dial_error_limit, lambda: direct(proxy, through), status)
                stack.callback(tunnel.close)
                client = await _retried(
                    "Dial from proxy",
                    target.dial_error_limit,
                    lambda: asyncssh.connect(target.host, target.port, tunnel=tunnel, **options),
                    status,
                )
            except (DialError, ValueError, OSError) as error:
                raise DialError(f"proxy: {error}") from error
        # Closed without waiting for the other side, which may be gone.
        stack.callback(client.close)
        yield client
