"""An HTTP server for bytes that are identified elsewhere: the cache's `mirror/` folder, with Range requests.

python -m sandbox.mirror --bind ADDRESS [--port 8470] [--directory DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from infra.core import signing
from infra.hosttools.pollex_host import entry
from infra.hosttools.pollex_host.entry import Entry
from infra.toolchain.once import cache, made
from sandbox.machine import CHECKOUT, SandboxError
from sandbox.serving import NEVER

if TYPE_CHECKING:
    from types import TracebackType

PORT = 8470
"""Stands in the sandbox's stack file."""

KEY = Path(__file__).with_name("cache-key.pem")
"""Signs what stand-in boards have built; it is public, as all keys of the sandbox."""


def directory() -> Path:
    """Where `sandbox.fetch` puts files and the mirror takes them from; there afterwards, if only empty."""
    folder = cache() / "mirror"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep(item: str, write: Callable[[IO[bytes]], object], shelf: str = "store") -> Path:
    """A finished build as a cache has it, signed with the sandbox's key; made unless it is there.

    Args:
        item: its name in the store, `<key>-<name>`.
        write: writes what `pollex-host pack` would.
        shelf: the folder that the substituter serves.
    """
    archive = directory() / shelf / f"{item}{entry.ARCHIVE}"

    def make(part: Path) -> None:
        with part.open("wb") as stream:
            write(stream)

    made(archive, make)
    vouch(archive)
    return archive


def vouch(archive: Path, private_key: str = "", kind: str = "build") -> None:
    """Sign an archive, `<key>-<name>.tar.gz`, unless it was.

    Args:
        archive: what is believed from then on.
        private_key: whose signature that is; the sandbox's, which everybody has, if none is given.
        kind: of the manifest that asks for it.
    """
    key, _, name = archive.name.removesuffix(entry.ARCHIVE).partition("-")

    def make(part: Path) -> None:
        with archive.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        said = Entry(kind=kind, name=name, key=key, sha256=digest, size=archive.stat().st_size)
        beside = signing.vouched(said, private_key or KEY.read_text())
        # the entry last: one that is there is signed
        place(entry.SIGNATURE).write_bytes(beside[entry.SIGNATURE])
        part.write_bytes(beside[entry.ENTRY])

    def place(suffix: str) -> Path:
        return archive.with_name(f"{key}-{name}{suffix}")

    made(place(entry.ENTRY), make)


def substituters(url: str, private_key: str = "") -> list[dict[str, str]]:
    """The setting of a stack that believes what is signed so; arguments as for `vouch`."""
    return [{"url": url, "publicKey": signing.public_key(private_key or KEY.read_text())}]


class Mirror:
    """A mirror in this process, for a `with` block.

    >>> with Mirror(folder) as mirror:
    ...     fetch(mirror.url + "/model.gguf")
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1", port: int = 0) -> None:
        """Bind at once, so that `url` is known; port 0 takes a free one.

        Raises:
            SandboxError: there is no such folder, the address is not this machine's, or the port is in use.
        """
        self._server = _server(folder)
        self._socket = _listen(address, port)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.url = "http://{}:{}".format(*self._socket.getsockname())

    def __enter__(self) -> Self:
        """Serve; connections made before this waited in the socket's queue."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what is being served, and close the port."""
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def start(address: str, run: Path, port: int = PORT) -> str:
    """Serve the cache's mirror folder in the background, unless it already is; returns the URL.

    Args:
        address: to listen on.
        run: folder for `mirror.pid` and `mirror.log`.
        port: to listen on.

    Raises:
        SandboxError: it does not answer; holds its log.
    """
    if _running(run) is None:
        serve = [sys.executable, "-m", "sandbox.mirror", "--bind", address, "--port", str(port), "--run", str(run)]
        with (run / "mirror.log").open("wb") as log:
            # --fork leaves it to PID 1, so that it outlives whoever started it.
            command = ["setsid", "--fork", *serve]
            subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        _wait_until_running(run)
    return f"http://{address}:{port}"


def stop(run: Path) -> None:
    """End the background mirror, if there is one, and remove its files."""
    patient_until = time.monotonic() + 5
    while (pid := _running(run)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if time.monotonic() < patient_until else signal.SIGKILL)
        time.sleep(0.05)
    for name in ("mirror.pid", "mirror.log"):
        (run / name).unlink(missing_ok=True)


def _running(run: Path) -> int | None:
    """The background mirror's process; a number that by now belongs to another program does not count."""
    try:
        pid = int((run / "mirror.pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if b"sandbox.mirror" in arguments else None


def _wait_until_running(run: Path) -> None:
    """Return when it has noted its number, which it does once the port is open; it is silent unless it failed."""
    log = run / "mirror.log"
    deadline = time.monotonic() + NEVER
    while _running(run) is None:
        if log.stat().st_size or time.monotonic() > deadline:
            raise SandboxError(f"the mirror did not start\n{log.read_text(errors='replace').strip()}")
        time.sleep(0.05)


def _listen(address: str, port: int) -> socket.socket:
    """A bound socket, which also comes back after a restart while old connections linger."""
    try:
        return socket.create_server((address, port))
    except OSError as error:
        raise SandboxError(f"the mirror cannot listen on {address}:{port}: {error.strerror or error}") from error


def _server(folder: Path) -> uvicorn.Server:
    """Files only, quiet unless something goes wrong."""
    if not folder.is_dir():
        raise SandboxError(f"the mirror cannot serve {folder}: no such folder")
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))])
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.mirror", description="Serve files over HTTP, with resume.")
    parser.add_argument("--bind", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--directory", type=Path, default=directory(), metavar="DIR")
    parser.add_argument("--run", type=Path, metavar="DIR", help="where to note the process's number")
    options = parser.parse_args()
    try:
        server = _server(options.directory)
        listener = _listen(options.bind, options.port)
    except SandboxError as error:
        sys.exit(f"error: {error}")
    if options.run is not None:
        (options.run / "mirror.pid").write_text(f"{os.getpid()}\n")
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
