"""Running one command on a host."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import asyncssh

from sandbox.plugins.command.connection import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from infra.provider.engine import Engine, Log

LONGEST_LINE = 64 << 10
"""Bytes; a longer line is logged in pieces of this size. (The official plugin's scanner stops here, and hangs.)"""


class CommandError(Exception):
    """The command did not run or did not succeed; the message quotes it and ends with its output."""


class Output(NamedTuple):
    """What a command wrote, each without one newline at its end."""

    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a command, as a Command's properties declare it."""

    command: str
    connection: Mapping[str, Any] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    """Variables that the server must accept."""
    previous: Mapping[str, str] = field(repr=False)
    """Variables with the output of the run before; a server that refuses one is only warned about."""
    stdin: str = field(repr=False)
    logged: frozenset[str]
    """Which of `stdout` and `stderr` are shown while the command runs."""

    @classmethod
    def of(cls, properties: Mapping[str, Any], command: str, before: Output) -> Self:
        """The run of `command` with the connection, environment, stdin and logging that the properties declare."""
        previous = {"PULUMI_COMMAND_STDOUT": before.stdout, "PULUMI_COMMAND_STDERR": before.stderr}
        wanted = properties.get("addPreviousOutputInEnv", True)
        logging = properties.get("logging", "stdoutAndStderr")
        return cls(
            command=command,
            connection=properties["connection"],
            environment=properties.get("environment", {}),
            previous={name: value for name, value in previous.items() if wanted and value},
            stdin=properties.get("stdin", ""),
            logged=frozenset({"stdout", "stderr"} if logging == "stdoutAndStderr" else {logging}),
        )


class Lines:
    """Cuts a stream of bytes into lines, and lines that are too long into pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from self._pieces(line)
        while len(self._rest) > LONGEST_LINE:
            yield self._text(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]

    def end(self) -> Iterator[str]:
        """What is left of a last line without a newline."""
        if self._rest:
            yield from self._pieces(self._rest)

    def _pieces(self, line: bytes) -> Iterator[str]:
        for start in range(0, len(line) or 1, LONGEST_LINE):
            yield self._text(line[start : start + LONGEST_LINE])

    @staticmethod
    def _text(line: bytes) -> str:
        return line.removesuffix(b"\r").decode(errors="replace")


class _Session(asyncssh.SSHClientSession[bytes]):
    """Collects a command's output and exit, and asks for its environment before it starts."""

    def __init__(self, run: Run, show: Log, refused: Callable[[str], None]) -> None:
        self.stdout, self.stderr, self.both = bytearray(), bytearray(), bytearray()
        self.ended = asyncio.Event()
        self.status: int | None = None
        self.signal: str | None = None
        self._run, self._show, self._refused, self._lines = run, show, refused, Lines()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        # asyncssh sends variables without asking for an answer, so that one which the server refuses would be
        # missing silently. Here each is asked for, and the command only starts when it was granted.
        ask = chan._make_request  # noqa: SLF001 - there is no public way to see a refusal

        async def environment_first(request: bytes, *args: bytes) -> bool | None:
            for name, value in {**self._run.environment, **self._run.previous}.items():
                if not await ask(b"env", _packed(name), _packed(value)):
                    self._refused(name)
            return await ask(request, *args)

        chan._make_request = environment_first  # type: ignore[method-assign]  # noqa: SLF001

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        name, stream = ("stderr", self.stderr) if datatype == asyncssh.EXTENDED_DATA_STDERR else ("stdout", self.stdout)
        stream += data
        self.both += data
        if name in self._run.logged:
            self._show_all(self._lines.feed(data))

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def exit_signal_received(
        self,
        signal: str,
        core_dumped: bool,  # noqa: ARG002, FBT001 - asyncssh passes it
        msg: str,  # noqa: ARG002
        lang: str,  # noqa: ARG002
    ) -> None:
        self.signal = signal

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a lost connection shows in the missing status
        self._show_all(self._lines.end())
        self.ended.set()

    def _show_all(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._show(line)

    def failure(self) -> str | None:
        """Why the command did not succeed, in the words of Go's SSH library."""
        if self.signal is not None:
            number = getattr(signal, f"SIG{self.signal}", 0)
            return f"Process exited with status {128 + number} from signal {self.signal}"
        if self.status is None:
            return "wait: remote command exited without exit status or exit signal"
        return f"Process exited with status {self.status}" if self.status else None


def _packed(value: str) -> bytes:
    """A string as SSH sends it: its length in four bytes, then its UTF-8 (RFC 4251, section 5)."""
    data = value.encode()
    return len(data).to_bytes(4) + data


def quoted(value: str) -> str:
    r"""The string as Go's `%q` writes it: in double quotes, with `\n`, `\x00`, `\u2028` for what cannot be printed."""
    names = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
    names |= {"\\": r"\\", '"': r"\""}

    def escaped(character: str) -> str:
        code = ord(character)
        if character in names:
            return names[character]
        if character.isprintable():
            return character
        if code < 0x80:  # noqa: PLR2004 - the end of ASCII
            return f"\\x{code:02x}"
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - the end of the first plane

    return f'"{"".join(map(escaped, value))}"'


def _decoded(name: str, data: bytes) -> str:
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"the command succeeded, but its {name} cannot be stored: invalid UTF-8 at byte {error.start}; "
            f"let the command write text, or send {name} elsewhere"
        ) from error


async def run(what: Run, urn: str, engine: Engine) -> Output:
    """Runs the command and returns its output, while its lines appear in the resource's row of the display.

    Raises CommandError when it fails, and what `connected` raises. When the calling task is cancelled the
    connection is closed at once; the command on the host is not killed and ends when it next writes.
    """

    def refused(name: str) -> None:
        fatal = name in what.environment
        (engine.error if fatal else engine.warning)(urn)(
            f"Unable to set '{name}'. This only works if your SSH server is configured to accept these variables via "
            "AcceptEnv. Alternatively, if a Bash-like shell runs the command on the remote host, you could prefix the "
            "command itself with the variables in the form 'VAR=value command'"
        )
        if fatal:
            raise CommandError(f'could not set environment variable "{name}": ssh: setenv failed')

    session = _Session(what, engine.status(urn), refused)
    async with connected(what.connection, engine.status(urn)) as client:
        channel, _ = await client.create_session(lambda: session, what.command, encoding=None)
        with suppress(BrokenPipeError):  # a command may end without reading what it is given
            channel.write(what.stdin.encode())
            channel.write_eof()
        await session.ended.wait()
    if (failure := session.failure()) is not None:
        raise CommandError(f"{failure}: running {quoted(what.command)}:\n{session.both.decode(errors='replace')}")
    return Output(_decoded("stdout", bytes(session.stdout)), _decoded("stderr", bytes(session.stderr)))
