"""The README's picture of LibreOffice: a word that it marks, and what it suggests.

    python -m tests.languagetool.picture FILE

A real LibreOffice on an X display of its own, the service, and the sandbox's model behind it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.programs import built
from sandbox import fetch, machine
from sandbox.source import CARRIED
from tests.languagetool.office import PATIENCE, driven
from tests.service.conftest import Llama, Service
from tests.service.test_llama import SETTINGS

TEXT = "She go to the libary yesterday and forgeted her umbrela."
SCRIPT = Path(__file__).parent / "shown.py"


@contextmanager
def display(width: int, height: int) -> Iterator[str]:
    """An X display that nobody sees."""
    ours, theirs = os.pipe()
    screen = ["-screen", "0", f"{width}x{height}x24"]
    server = subprocess.Popen(["Xvfb", "-displayfd", str(theirs), *screen], pass_fds=[theirs])
    os.close(theirs)
    try:
        with os.fdopen(ours) as told:
            yield f":{int(told.readline())}"
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Write the picture to the file that is named."""
    machine.bring("Xvfb", "maim", "soffice", "xdotool")
    llama = Llama(built(CARRIED, (), "llama-server") / "llama-server", fetch.fetch(fetch.MODEL))
    with tempfile.TemporaryDirectory() as folder, display(1000, 560) as seen:
        home = Path(folder)
        service = None
        try:
            llama.begin()
            service = Service(home / "log", llamacpp_url=llama.url, check_seconds=PATIENCE, **SETTINGS).wait()
            asked = {"text": TEXT, "language": "en-US"}
            httpx.post(f"{service.url}/v2/check", data=asked, timeout=PATIENCE).raise_for_status()
            words = [TEXT, "libary", "library", sys.argv[1]]
            driven(home / "office", SCRIPT, *words, display=seen, BaseURL=f"{service.url}/v2")
        finally:
            if service is not None:
                service.stop()
            llama.end()


if __name__ == "__main__":
    main()
