"""Secrets that were made up for one run, and everything in which they must not be found afterwards."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from sandbox.board import Board
from sandbox.engine import Result


def made_up() -> str:
    """A secret that stands nowhere by chance, in letters that no quoting changes."""
    return f"canary{secrets.token_hex(16)}"


def forms(secret: str) -> set[bytes]:
    """A secret as it is, in hex, and in base64 wherever it begins."""
    raw = secret.encode()
    # what stands beside it decides the letters at both ends, and nothing else
    shifted = {base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)}
    return {raw, raw.hex().encode(), *shifted}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """The secrets that were made up for a run, by their names, and what was said in it."""

    secrets: Mapping[str, str]
    said: dict[str, str] = field(default_factory=dict)
    """What was said, by what it was said to."""

    @property
    def needles(self) -> set[bytes]:
        """What must not be found: each secret in all its forms."""
        return {form for secret in self.secrets.values() for form in forms(secret)}

    def heard(self, what: str, done: Result) -> None:
        """Keep everything that a run has said, to people and to programs."""
        self.said[what] = f"{done.stdout}{done.stderr}{done.events}"

    def told(self) -> dict[str, list[str]]:
        """Which secrets were said, by where."""
        found = {what: self.within(text.encode()) for what, text in self.said.items()}
        return {what: names for what, names in found.items() if names}

    def within(self, content: bytes) -> list[str]:
        """The names of the secrets that stand in some bytes."""
        return [name for name, one in self.secrets.items() if any(form in content for form in forms(one))]


class Argv(threading.Thread):
    """Looks at the command lines of all processes while a `with` block runs; those of boards are in the same kernel."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        super().__init__(daemon=True)
        self.found = set[str]()
        self.seen = 0
        self._needles = tuple(needles)
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Begin."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Until it is over."""
        while not self._over.wait(0.02):
            for process in psutil.process_iter(["cmdline"]):
                words = " ".join(process.info["cmdline"] or ())
                self.seen += bool(words)
                if any(needle in os.fsencode(words) for needle in self._needles):
                    self.found.add(words)


def in_folder(folder: Path, needles: Iterable[bytes], meant: Iterable[Path] = ()) -> list[str]:
    """The files in which one stands that is not meant for them."""
    left_out = {str(file) for file in meant}
    return [file for file in _holding(folder, ["-xtype", "f"], needles) if file not in left_out]


def changed_since(moment: Path, folder: Path, needles: Iterable[bytes]) -> list[str]:
    """As `in_folder`, of the files alone that were made or changed since another one was: some have gigabytes."""
    return _holding(folder, ["-type", "f", "-cnewer", str(moment)], needles)


def _holding(folder: Path, which: Iterable[str], needles: Iterable[bytes]) -> list[str]:
    """The files below a folder in which a needle stands; whose folder it is may still be at work."""
    searched, found = tuple(needles), list[str]()
    listed = ["find", str(folder), "-ignore_readdir_race", *which, "-print0"]
    files = subprocess.run(listed, check=True, capture_output=True).stdout.split(b"\0")
    for place in (Path(os.fsdecode(file)) for file in files if file):
        with suppress(FileNotFoundError):
            content = place.read_bytes()
            found += [str(place)] if any(needle in content for needle in searched) else []
    return found


_SEARCH = r"""
needles=$(cat)
found() { printf '%s\n' "$needles" | grep -aF -f - "$@"; }
found -rl --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev / 2>/dev/null
journalctl --no-pager -o export | found -q && echo 'the journal'
systemctl show --all '*' | found -q && echo 'what systemd shows of units'
for process in /proc/[0-9]*; do
    [ "${process#/proc/}" = "$(systemctl show -p MainPID --value pollex.service)" ] && continue
    found -q "$process/environ" 2>/dev/null && echo "the environment of $(tr '\0' ' ' <"$process/cmdline")"
done
true
"""


def on_board(board: Board, needles: Iterable[bytes]) -> list[str]:
    """Where on a board one stands: files, the journal, units, and environments but the service's own."""
    return board.run(_SEARCH, user="root", input=b"\n".join(sorted(needles))).stdout.splitlines()
