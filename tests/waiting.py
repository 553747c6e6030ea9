"""Waiting for what a process does or says, however long that takes on a busy machine."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import AnyStr

import pytest

from sandbox.serving import NEVER


def wait_until(true: Callable[[], object], seconds: float = NEVER, what: str = "it") -> float:
    """Seconds until something became true; only what would never come fails here, however busy the machine is."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > seconds:
            pytest.fail(f"{what} did not come within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - started


def wait_for(happens: Callable[[], object], verb: subprocess.Popen[AnyStr]) -> None:
    """Come back when it has happened; a verb that ends without it fails the test."""
    while not happens():
        if verb.poll() is not None and not happens():
            pytest.fail(f"it ended with {verb.returncode} before that happened:\n{verb.communicate()[0]!s}")
        time.sleep(0.02)


def read_until(pattern: str, output: Iterable[str] | None) -> list[str]:
    """The lines that a run under way says up to the first one that matches; one that ends without it fails the test."""
    assert output is not None, "the output is no pipe"
    seen = []
    for line in output:
        seen.append(line)
        if re.search(pattern, line):
            return seen
    pytest.fail(f"no line matches {pattern!r}:\n{''.join(seen)}")
