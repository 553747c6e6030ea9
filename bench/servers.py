"""Servers for the time of a measurement: anything that answers a URL, llama-server, the polish service."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from sandbox.serving import NEVER, PASSIVE, free_port, listens


@contextmanager
def running(
    command: Sequence[str | Path],
    url: str,
    environment: Mapping[str, str] | None = None,
    enter: Callable[[], None] | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A process, and the seconds until its URL answered with 200.

    Args:
        command: the program and its arguments.
        url: what is asked until it answers.
        environment: variables besides those of this process; what is measured decides them alone.
        enter: what the process does before it is the program, such as going to its cores.

    Raises:
        SystemExit: it did not come up; holds the end of what it said.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            preexec_fn=enter,  # noqa: PLW1509 - one thread here
        )
        try:
            while not _answers(url):
                if process.poll() is not None or time.monotonic() - started > NEVER:
                    said.seek(0)
                    end = "\n".join(said.read().decode(errors="replace").splitlines()[-10:])
                    raise SystemExit(f"error: {' '.join(map(str, command))} did not come up at {url}:\n{end}")
                time.sleep(0.005)
            yield process, time.monotonic() - started
        finally:
            process.terminate()
            process.wait()


def _answers(url: str) -> bool:
    if not listens(httpx.URL(url).port or 0):
        return False
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def llama_server(program: Path, model: Path, *options: str) -> Iterator[str]:
    """The URL of a llama-server that has loaded a model."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [program, "-m", model, "--port", str(port), "--log-disable", *options]
    with running(command, f"{url}/health", PASSIVE):
        yield url


@contextmanager
def service(ready: str = "/livez", **settings: object) -> Iterator[tuple[str, subprocess.Popen[bytes], float]]:
    """The polish service: its URL, its process, and the seconds until its path `ready` answered with 200."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    given = {"host": "127.0.0.1", "port": port, "rate_limit": 0, **settings}
    environment = {f"POLLEX_{key.upper()}": str(value) for key, value in given.items()}
    with running([sys.executable, "-m", "pollex", "serve"], f"{url}{ready}", environment) as (process, seconds):
        yield url, process, seconds


@contextmanager
def contained(program: Path, model: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """The URL of the server that the image's entrypoint becomes for a model.

    Args:
        program: the entrypoint, with a llama-server beside it as in the image's root.
        model: a GGUF file.
        settings: the container's environment.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    given = {"MODEL": str(model), "LLAMA_ARG_HOST": "127.0.0.1", "LLAMA_ARG_PORT": str(port), **settings}
    with running([program], f"{url}/health", given):
        yield url
