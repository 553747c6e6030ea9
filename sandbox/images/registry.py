"""Debian's docker-registry on loopback: where images are pushed when no other registry may or can be used."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import bcrypt

from sandbox.images.tools import command
from sandbox.machine import SandboxError
from sandbox.serving import NEVER, free_port, listens


class Registry:
    """A registry process, for a `with` block; what was pushed lies in its folder and outlives it."""

    def __init__(self, folder: Path, *, port: int = 0, login: tuple[str, str] | None = None) -> None:
        """Choose the port, so that `address` is known.

        Args:
            folder: for data, configuration and log.
            port: to listen on; 0 takes a free one.
            login: the one user and token that are let in; None lets everybody in.
        """
        self.folder = folder
        self.log = folder / "registry.log"
        self._login = login
        self._port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, as it stands before an image's name."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            SandboxError: it does not; holds the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.json"
        config.write_text(json.dumps(self._config()))  # JSON is YAML
        with self.log.open("wb") as log:
            serve = [command("docker-registry", "docker-registry"), "serve", str(config)]
            self._process = subprocess.Popen(serve, stdout=log, stderr=log)
        deadline = time.monotonic() + NEVER
        while not listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                told = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
                raise SandboxError(f"docker-registry did not start at {self.address}\n{told}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _config(self) -> dict[str, object]:
        config: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
            # without a fixed secret the registry says at every start that it made one up
            "http": {"addr": self.address, "secret": secrets.token_hex()},
        }
        if self._login is not None:
            user, token = self._login
            hashed = bcrypt.hashpw(token.encode(), bcrypt.gensalt(4)).decode()
            (self.folder / "htpasswd").write_text(f"{user}:{hashed}\n")
            config["auth"] = {"htpasswd": {"realm": "sandbox", "path": str(self.folder / "htpasswd")}}
        return config
