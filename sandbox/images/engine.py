"""Debian's Docker engine as a process of this one, and the containers that run on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.images.mounts import release
from sandbox.images.tools import command
from sandbox.machine import SandboxError
from sandbox.serving import NEVER

_NETWORK = "pollex"


@dataclass(frozen=True, slots=True)
class Container:
    """One container, running or not."""

    docker: Docker
    name: str

    @property
    def state(self) -> dict[str, Any]:
        """`Status`, `ExitCode`, `Health`, `Pid` and more, as `docker inspect` gives them."""
        found: dict[str, Any] = self._inspect()["State"]
        return found

    @property
    def url(self) -> str:
        """Where its port 8080 is published."""
        return f"http://127.0.0.1:{self._inspect()['NetworkSettings']['Ports']['8080/tcp'][0]['HostPort']}"

    @property
    def logs(self) -> str:
        """Everything that it said."""
        done = self.docker.run("logs", self.name)
        return done.stdout + done.stderr

    def health(self) -> str:
        """`starting`, `healthy` or `unhealthy`."""
        return str(self.state["Health"]["Status"])

    def wait_healthy(self, seconds: float) -> float:
        """Wait for its health check, and return the seconds since it was started.

        Raises:
            SandboxError: it ended, or took longer.
        """
        began = time.monotonic()
        while self.health() != "healthy":
            if self.state["Status"] != "running" or time.monotonic() - began > seconds:
                raise SandboxError(f"{self.name} is not healthy: {json.dumps(self.state)}\n{self.logs}")
            time.sleep(0.1)
        return time.monotonic() - began

    def wait(self, seconds: float) -> int:
        """Wait until it ends; its exit status.

        Raises:
            SandboxError: it went on.
        """
        try:
            return int(self.docker.run("wait", self.name, timeout=seconds).stdout)
        except subprocess.TimeoutExpired:
            raise SandboxError(f"{self.name} did not end within {seconds} s\n{self.logs}") from None

    def stop(self, seconds: int = 30) -> tuple[int, float]:
        """Stop it as `docker stop` does; exit status and seconds taken."""
        began = time.monotonic()
        self.docker.run("stop", "--time", str(seconds), self.name)
        return int(self.state["ExitCode"]), time.monotonic() - began

    def _inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker.run("inspect", self.name).stdout)[0]
        return found


class Docker:
    """An engine with its own images, containers and socket; it changes nothing of the machine's firewall."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet; `folder` takes images, logs and the socket."""
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self.log = folder / "dockerd.log"
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, with a network on which ports can be published.

        Raises:
            SandboxError: it does not answer; holds the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        serve = [
            *(command("dockerd", "docker.io"), "--host", self.host, "--data-root", str(self.folder / "data")),
            *("--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "docker.pid")),
            *("--iptables=false", "--ip-forward=false", "--bridge=none"),
        ]
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        with self.log.open("wb") as log:
            self._daemon = subprocess.Popen(serve, stdout=log, stderr=log, env={**os.environ, "PATH": path})
        try:
            self._wait()
            self.run("network", "create", _NETWORK)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, with everything that ran on it."""
        if self._daemon is None:
            return
        if self._daemon.poll() is None:
            running = self.run("ps", "--all", "--quiet", check=False).stdout.split()
            if running:
                self.run("rm", "--force", "--volumes", *running, check=False)
            self.run("network", "rm", _NETWORK, check=False)
        self._daemon.terminate()
        self._daemon.wait()
        self._daemon = None
        release(self.folder)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)

    def run(
        self, *arguments: str, check: bool = True, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`docker …` on this engine.

        Raises:
            SandboxError: `check` is set and it failed.
            subprocess.TimeoutExpired: it took longer than `timeout` seconds.
        """
        words = [command("docker", "docker.io"), "--host", self.host, *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout)
        if check and done.returncode:
            raise SandboxError(f"docker {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr.strip()}")
        return done

    @contextmanager
    def container(
        self,
        image: str,
        *arguments: str,
        models: Path,
        environment: Mapping[str, str],
        options: Sequence[str] = (),
    ) -> Iterator[Container]:
        """A container as the README starts it: read-only root, models mounted, its port on a free one of loopback.

        Its health is asked for every second, because this engine does not know the image's own pace for the start.

        Args:
            image: reference by digest.
            arguments: for the image's entry point.
            models: folder that becomes /models.
            environment: of the container.
            options: further options of `docker run`.
        """
        name = self.run(
            *("run", "--detach", "--read-only", "--network", _NETWORK, "--publish", "127.0.0.1::8080"),
            *("--volume", f"{models}:/models:ro", "--health-interval=1s"),
            *(word for item in environment.items() for word in ("--env", "=".join(item))),
            *options,
            image,
            *arguments,
        ).stdout.strip()
        try:
            yield Container(self, name[:12])
        finally:
            self.run("rm", "--force", "--volumes", name, check=False)

    def _wait(self) -> None:
        deadline = time.monotonic() + NEVER
        while self.run("version", check=False).returncode:
            if self._daemon is None or self._daemon.poll() is not None or time.monotonic() > deadline:
                told = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                raise SandboxError(f"dockerd did not start in {self.folder}\n{told}")
            time.sleep(0.2)
