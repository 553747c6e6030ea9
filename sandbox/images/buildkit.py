"""BuildKit's daemon as a process of this one, for a `with` block."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.kinds.image.buildx import BuildRequest
from infra.toolchain.once import locked
from sandbox.images import tools
from sandbox.images.build import Built, build
from sandbox.images.mounts import release
from sandbox.machine import CHECKOUT, SandboxError
from sandbox.serving import NEVER


class BuildKit:
    """One daemon with its own cache, and a buildx that talks to nothing else.

    >>> with BuildKit(folder) as kit:
    ...     kit.build(request, print)
    """

    name = "pollex"
    """Of the builder that stands for the daemon."""

    def __init__(self, folder: Path, programs: tools.Tools | None = None) -> None:
        """Nothing is started yet.

        Args:
            folder: for cache and log; a daemon that is started there again finds its cache.
            programs: where buildkitd and buildx are; built if need be.
        """
        self.folder = folder
        self.log = folder / "buildkitd.log"
        self._tools = programs or tools.ensure()
        self._socket: Path | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._claim = ExitStack()

    @property
    def buildx(self) -> list[str]:
        """In place of `docker buildx`."""
        return [str(self._tools.buildx)]

    @property
    def environment(self) -> dict[str, str]:
        """In which buildx knows the builder and no docker daemon."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "BUILDX_"))}
        return {**kept, "DOCKER_CONFIG": str(tools.plugins(self._tools, self.folder / "docker"))}

    def build(
        self, request: BuildRequest, say: Callable[[str], None], extra: Sequence[str] = (), folder: Path = CHECKOUT
    ) -> Built:
        """Build and push, as `sandbox.images.build.build` says.

        Raises:
            BuildError: it failed.
        """
        return build(
            request,
            program=self.buildx,
            builder=self.name,
            folder=folder,
            environment=self.environment,
            say=say,
            extra=extra,
        )

    def __enter__(self) -> Self:
        """Start the daemon and wait until it answers; another one with this cache is waited for.

        Raises:
            SandboxError: it does not; holds the end of its log.
        """
        tools.command("runc", "runc")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim.enter_context(locked(self.folder, "an image with this BuildKit"))
        self._tidy_up()
        # in a folder of its own, because its whole name may only have 107 bytes
        self._socket = Path(tempfile.mkdtemp(prefix="pollex-kit-")) / "buildkitd.sock"
        command = [
            *(str(self._tools.buildkitd), "--addr", f"unix://{self._socket}", "--root", str(self.folder / "root")),
            # the machine's own network: a source mirror on loopback is reached, and no bridge has to be made
            *("--oci-worker-net=host", "--allow-insecure-entitlement=network.host"),
        ]
        # what it mounts while it works: one that is killed leaves it mounted, and `release` looks below the folder
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._daemon = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "TMPDIR": str(scratch)}
            )
        self._pid.write_text(str(self._daemon.pid))
        try:
            self._wait()
            self._register()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the daemon; its cache stays."""
        if self._daemon is not None:
            self._daemon.terminate()
            try:
                self._daemon.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._daemon.pid, signal.SIGKILL)
                self._daemon.wait()
            self._daemon = None
        self._pid.unlink(missing_ok=True)
        release(self.folder)
        shutil.rmtree(self.folder / "docker", ignore_errors=True)
        if self._socket is not None:
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        self._claim.close()

    @property
    def _pid(self) -> Path:
        """Holds the daemon's number for as long as it runs."""
        return self.folder / "buildkitd.pid"

    def _tidy_up(self) -> None:
        """Take away what a killed owner has left: a daemon, which would hold the cache for ever, and its name."""
        if (left := self._orphan()) is not None:
            os.killpg(left, signal.SIGKILL)
            while self._orphan() is not None:
                time.sleep(0.05)
        release(self.folder)
        shutil.rmtree(self.folder / "docker", ignore_errors=True)

    def _orphan(self) -> int | None:
        """Its number; that of a daemon which ended may be somebody else's by now."""
        try:
            left = int(self._pid.read_text())
            command = Path(f"/proc/{left}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return left if str(self.folder).encode() in command else None

    def _wait(self) -> None:
        deadline = time.monotonic() + NEVER
        while self._socket is None or not self._socket.exists():
            if self._daemon is None or self._daemon.poll() is not None or time.monotonic() > deadline:
                told = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                raise SandboxError(f"buildkitd did not start in {self.folder}\n{told}")
            time.sleep(0.05)

    def _register(self) -> None:
        """Let buildx know the daemon by name; it is told the address once and then kept in DOCKER_CONFIG."""
        create = [*self.buildx, "create", "--name", self.name, "--driver", "remote", f"unix://{self._socket}"]
        done = subprocess.run(create, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SandboxError(f"{' '.join(create)}: {done.stderr.strip()}")
