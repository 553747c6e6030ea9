"""Waiting for what a running verb does, however long that takes on a busy machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import AnyStr


def wait_for(happens: Callable[[], object], verb: subprocess.Popen[AnyStr]) -> None:
    """Come back when it has happened; a verb that ends without it fails the test."""
    while not happens():
        ended = verb.poll() is not None
        assert not ended or happens(), f"it ended with {verb.returncode} before that happened"
        time.sleep(0.02)
