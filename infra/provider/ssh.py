"""One SSH connection to a host, and errors that name the setting to change.

Nothing is read from ~/.ssh: what decides about a connection is what the stack declares.
"""

from __future__ import annotations

import asyncio
import codecs
import errno
import io
import os
import socket
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Final

import asyncssh

from infra.provider.connection import Connection
from infra.provider.engine import Log
from infra.provider.problems import Lost, Problem, Unreachable

DIAL_S: Final = 5.0
"""Seconds until something must accept the TCP connection: a wrong address is told while one still looks."""
LOGIN_S: Final = 30.0
"""Seconds from there to the end of the login: a board that compiles on all cores is slow, not absent."""
KEEPALIVE_S: Final = 15
"""Seconds of silence until the host is asked whether it is still there; three misses end the connection."""
LINE_LIMIT: Final = 2_000
"""Characters of a line that are passed on; what is longer is cut."""
TAIL_LINES: Final = 30
"""Lines of a failed command's stderr that its error shows."""

_PRIVATE_KEY: Final = "pollex:host.privateKeyFile"
"""The setting of the private key, which a machine in between shares with the host."""

_BEGIN: Final = "pollex-begins-here"
"""The line after which a command's own output begins: a login's start files may print before it, up to no line end."""

_CHUNK: Final = 1 << 18

Keys = Sequence[asyncssh.SSHKey] | Sequence[asyncssh.SSHKeyPair]


@dataclass(frozen=True, slots=True)
class Completed:
    """How a remote command ended."""

    status: int
    stdout: str
    tail: tuple[str, ...]
    """The last lines of stderr."""


class Session:
    """An open connection to a host."""

    def __init__(self, to: Connection, connection: asyncssh.SSHClientConnection, first: str) -> None:
        self._to = to
        self._connection = connection
        self.first = first
        """The numeric address of the first machine on the way, where the name led to."""

    @property
    def closed(self) -> bool:
        """Whether the connection is known to have ended, on whichever side."""
        return self._connection.is_closed()

    async def run(self, command: str, *, stdin: str | bytes | IO[bytes] = "", log: Log | None = None) -> Completed:
        """Run a command to its end; each line of its stderr is passed to `log` as it comes.

        Of a file its content is stdin.

        What the login's start files print to stdout is not the command's, and left out.

        Being cancelled ends the channel at once; what runs on the host is left to itself.

        Raises:
            Lost: the connection broke before the command ended.
        """
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        output: list[str] = []

        def error_line(line: str) -> None:
            tail.append(line)
            if log is not None:
                log(line)

        async def talk(process: asyncssh.SSHClientProcess[bytes]) -> None:
            await asyncio.gather(
                _feed(process.stdin, stdin),
                _lines(process.stdout, output.append, limit=None),
                _lines(process.stderr, error_line, limit=LINE_LIMIT),
            )

        status = await self._ended(command, talk)
        own = output[output.index(_BEGIN) + 1 :] if _BEGIN in output else output
        return Completed(status, "\n".join(own), tuple(tail))

    async def fetch(self, command: str, to: IO[bytes]) -> Completed:
        """Run a command to its end, and write its stdout, which may be large, to a file.

        Raises:
            Lost: the connection broke before the command ended.
        """
        tail: deque[str] = deque(maxlen=TAIL_LINES)

        async def talk(process: asyncssh.SSHClientProcess[bytes]) -> None:
            process.stdin.write_eof()
            await asyncio.gather(_bytes(process.stdout, to), _lines(process.stderr, tail.append, limit=LINE_LIMIT))

        return Completed(await self._ended(command, talk), "", tuple(tail))

    async def _ended(self, command: str, talk: Callable[[asyncssh.SSHClientProcess[bytes]], Awaitable[None]]) -> int:
        """The exit status of a command, with which `talk` exchanges what there is until its streams end."""
        try:
            process = await self._connection.create_process(f"echo; echo {_BEGIN}; {command}", encoding=None)
            try:
                await talk(process)
                await process.wait_closed()
            finally:
                process.close()
        except (OSError, asyncssh.Error) as error:
            raise self._lost(str(error)) from error
        if process.exit_status is None:
            raise self._lost("before the command ended")
        return process.exit_status

    def _lost(self, reason: str) -> Lost:
        return Lost(f"the connection to {self._to} was lost ({reason}); `pulumi up` again goes on from what is there")


@asynccontextmanager
async def connect(to: Connection) -> AsyncIterator[Session]:
    """A session with a host, closed at the end.

    Raises:
        Unreachable: no login was possible; names the one setting to change.
    """
    async with AsyncExitStack() as stack:
        tunnel = None if to.proxy is None else await _open(to.proxy, stack)
        connection = await _open(to, stack, tunnel)
        first: str = (tunnel or connection).get_extra_info("peername")[0]
        yield Session(to, connection, first)


async def _open(
    to: Connection, stack: AsyncExitStack, tunnel: asyncssh.SSHClientConnection | None = None
) -> asyncssh.SSHClientConnection:
    """Connect, through the machine in between where there is one; `stack` closes everything."""
    keys = await _client_keys(to, stack)
    connection = await _login(to, keys, tunnel)
    stack.callback(connection.abort)
    return connection


async def _feed(stdin: asyncssh.SSHWriter[bytes], given: str | bytes | IO[bytes]) -> None:
    """Write all of stdin; a command that ends without reading it is not an error here."""
    data = given.encode() if isinstance(given, str) else given
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        while chunk := file.read(_CHUNK):
            stdin.write(chunk)
            await stdin.drain()
        stdin.write_eof()
    except OSError:
        return


async def _bytes(stream: asyncssh.SSHReader[bytes], to: IO[bytes]) -> None:
    """Write what comes after the line at which a command's own output begins."""
    before: bytes | None = b""
    begun = f"{_BEGIN}\n".encode()
    while chunk := await stream.read(_CHUNK):
        if before is not None:
            before += chunk
            if begun not in before:
                continue
            chunk, before = before.partition(begun)[2], None
        to.write(chunk)


async def _lines(stream: asyncssh.SSHReader[bytes], take: Callable[[str], None], *, limit: int | None) -> None:
    """Split a stream at line ends and carriage returns; an endless line costs no more memory than `limit`."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    rest = ""
    while chunk := await stream.read(65536):
        *lines, rest = (rest + decode(chunk)).replace("\r", "\n").split("\n")
        for line in lines:
            if line.strip():
                take(_cut(line, limit))
        if limit is not None:
            rest = rest[: limit + 1]
    if rest.strip():
        take(_cut(rest, limit))


def _cut(line: str, limit: int | None) -> str:
    return line if limit is None or len(line) <= limit else line[:limit] + "…"


class _Client(asyncssh.SSHClient):
    """Watches a login: gives a host that was reached more time, and compares its key with the pinned one."""

    def __init__(self, pinned: asyncssh.SSHKey | None, deadline: asyncio.Timeout) -> None:
        self.pinned = pinned
        self.deadline = deadline
        self.reached = False
        self.offered: asyncssh.SSHKey | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:  # noqa: ARG002 - asyncssh's signature
        self.reached = True
        self.deadline.reschedule(asyncio.get_running_loop().time() + LOGIN_S)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002 - asyncssh's signature
        self.offered = key
        return self.pinned is not None and key.public_data == self.pinned.public_data


async def _login(
    to: Connection, keys: Keys, tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    pinned = _host_key(to)
    deadline = asyncio.timeout(DIAL_S)
    client = _Client(pinned, deadline)
    try:
        async with deadline:
            return await asyncssh.connect(
                to.address,
                to.port,
                username=to.user,
                client_keys=keys,
                agent_path=None,
                preferred_auth=("publickey",),
                client_factory=lambda: client,
                known_hosts=([], [], []),
                server_host_key_algs=_algorithms(pinned),
                config=None,
                tunnel=tunnel or (),
                keepalive_interval=KEEPALIVE_S,
            )
    except (OSError, asyncssh.Error) as error:
        raise _explain(to, error, client, keys) from error


def _host_key(to: Connection) -> asyncssh.SSHKey | None:
    if to.host_key is None:
        return None
    try:
        return asyncssh.import_public_key(to.host_key)
    except asyncssh.KeyImportError as error:
        raise _refuse(
            to, f"{to.settings}.hostKey", f"{to.host_key!r} is not a public key line such as 'ssh-ed25519 AAAA…'"
        ) from error


def _algorithms(pinned: asyncssh.SSHKey | None) -> list[str]:
    """Host key algorithms, the pinned key's first: a host with several keys must show that one."""
    known = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
    known += ["rsa-sha2-512", "rsa-sha2-256"]
    first = [name for name in known if pinned is not None and name.encode() in pinned.sig_algorithms]
    return first + [name for name in known if name not in first]


async def _client_keys(to: Connection, stack: AsyncExitStack) -> Keys:
    """The declared private key, or else every key of the agent, which stays open as long as `stack`."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if to.private_key is not None:
        key = _private_key(to, to.private_key)
        if path:
            await _agent_answers(to, path)
        return [key]
    if not path:
        raise _refuse_key(to, "missing, and no ssh-agent runs (SSH_AUTH_SOCK is not set): name a key file")
    try:
        agent = await asyncssh.connect_agent(path)
    except OSError as error:
        raise _refuse_key(to, f"missing, and no ssh-agent answers at {path}: name a key file") from error
    stack.callback(agent.close)
    keys = await agent.get_keys()
    if not keys:
        raise _refuse_key(to, f"missing, and the ssh-agent at {path} holds no key: ssh-add one, or name a key file")
    return keys


async def _agent_answers(to: Connection, path: str) -> None:
    """pulumi-command asks an agent that is named even where a key is declared, and fails where none answers."""
    try:
        (await asyncssh.connect_agent(path)).close()
    except OSError as error:
        text = f"no ssh-agent answers at {path} ({error.strerror or error}), and commands would fail on that"
        raise _refuse(to, "SSH_AUTH_SOCK", f"{text} although a key is declared: `unset SSH_AUTH_SOCK`") from error


def _private_key(to: Connection, text: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(text, to.private_key_password)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        if to.private_key_password is not None:
            raise _refuse(to, "pollex:privateKeyPassword", f"does not open the key of {_PRIVATE_KEY}") from error
        if "passphrase" in str(error).lower():
            raise _refuse(
                to, "pollex:privateKeyPassword", f"missing: the key of {_PRIVATE_KEY} is encrypted"
            ) from error
        raise _refuse_key(to, "is not a private key in OpenSSH or PEM form") from error


def _refuse(to: Connection, setting: str, text: str) -> Unreachable:
    return Unreachable(str(to), [Problem(setting, text)])


def _refuse_key(to: Connection, text: str) -> Unreachable:
    return _refuse(to, _PRIVATE_KEY, text)


def _explain(to: Connection, error: Exception, client: _Client, keys: Keys) -> Unreachable:
    """Which setting is to blame for a login that failed."""
    setting, text = _login_problem(to, error, client, keys) if client.reached else _dial_problem(to, error)
    return _refuse(to, f"{to.settings}.{setting}", text)


def _dial_problem(to: Connection, error: Exception) -> tuple[str, str]:
    """Setting and text for a host that did not accept a connection."""
    match error:
        case asyncssh.ChannelOpenError():
            return "address", f"{to.proxy} cannot reach {to.address} port {to.port}: {error.reason}"
        case socket.gaierror():
            return "address", f"the name {to.address} does not resolve: {error.strerror}"
        case OSError() if _refuses(error):
            return "port", f"{to.address} refuses connections on port {to.port}: does sshd listen there?"
        case TimeoutError():
            return "address", f"nothing answers at {to.address} port {to.port} within {DIAL_S:.0f} s"
        case _:
            return "address", f"{to.address} cannot be reached: {getattr(error, 'strerror', None) or error}"


def _login_problem(to: Connection, error: Exception, client: _Client, keys: Keys) -> tuple[str, str]:
    """Setting and text for a host that was reached and did not let us in."""
    match error:
        case asyncssh.HostKeyNotVerifiable() if client.offered is not None:
            return "hostKey", _foreign_key(to, client.offered, client.pinned)
        case asyncssh.PermissionDenied():
            return "user", _refused(to, keys)
        case TimeoutError():
            return "port", f"port {to.port} is open, but no login was possible within {LOGIN_S:.0f} s"
        case _:
            return "port", f"what answers on port {to.port} does not complete an SSH login: {error}"


def _refuses(error: OSError) -> bool:
    """Whether a connection was refused; a name with several addresses has all their errors in one text."""
    return isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error)


def _foreign_key(to: Connection, offered: asyncssh.SSHKey, pinned: asyncssh.SSHKey | None) -> str:
    line = offered.export_public_key().decode().strip()
    algorithm = offered.algorithm.decode()
    if pinned is None:
        found = f"no host key is pinned; {to.address} offers {algorithm} {_fingerprint(offered)}"
    else:
        expected = f"{pinned.algorithm.decode()} {_fingerprint(pinned)}"
        found = f"expected {expected}, but {to.address} offers {algorithm} {_fingerprint(offered)}"
    return (
        f"{found}\n"
        f"    see it yourself: ssh-keyscan -p {to.port} {to.address} | ssh-keygen -lf -\n"
        f"    if that is your board: pulumi config set --path '{to.settings}.hostKey' '{line}'\n"
        f"    if that is declared already: `pulumi up` without --refresh; a refresh asks with the key in the state"
    )


def _refused(to: Connection, keys: Keys) -> str:
    tried = ", ".join(f"{key.algorithm.decode()} {_fingerprint(key)}" for key in keys)
    source = f"the key of {_PRIVATE_KEY}" if to.private_key is not None else "the keys of the ssh-agent"
    return (
        f"{to.user} was refused at {to.address}; tried by public key, with {source}: {tried}\n"
        f"    put the public key into {to.user}'s ~/.ssh/authorized_keys there, or declare another user or key"
    )


def _fingerprint(key: asyncssh.SSHKey | asyncssh.SSHKeyPair) -> str:
    """The fingerprint as ssh-keygen -l shows it."""
    return "SHA256:" + b64encode(sha256(key.public_data).digest()).decode().rstrip("=")
