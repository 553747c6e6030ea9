"""A real llama-server that embeds, for as long as a `with` block."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from sandbox.serving import NEVER, PASSIVE, free_port


@contextmanager
def serving(binary: Path, model: Path, *options: str) -> Iterator[str]:
    """Its base URL, once it is healthy.

    Raises:
        AssertionError: it did not become healthy, or ended before the block did; with the last lines it wrote.
    """
    port = free_port()
    command = [str(binary), "-m", str(model), "--port", str(port), "--embeddings", "--threads", "2", *options]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | PASSIVE) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + NEVER
            while not _healthy(url):
                assert process.poll() is None, f"it did not start:\n{_tail(log)}"
                assert time.monotonic() < deadline, f"it is not healthy after {NEVER} s:\n{_tail(log)}"
                time.sleep(0.1)
            yield url
        except httpx.TransportError as lost:
            raise AssertionError(f"it broke off an answer ({lost}):\n{_tail(log)}") from lost
        finally:
            process.kill()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.TransportError:
        return False


def _tail(log: IO[str]) -> str:
    log.seek(0)
    return "".join(log.readlines()[-20:])
