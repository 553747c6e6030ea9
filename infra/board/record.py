"""What the wizard keeps on the operator's machine, below ~/.config/pollex."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.board.stack import Settings, taken_back


def _own() -> Path:
    folder = Path("~/.config/pollex").expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def passphrase() -> None:
    """See that there is a passphrase for the secrets of stacks."""
    file = _own() / "passphrase"
    if not file.exists():
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
            new.write(os.urandom(24).hex() + "\n")


def key_file(stack: str) -> Path:
    """Where the key of a stack's host is pinned; it need not be there."""
    return _own() / f"{stack}.pub"


@dataclass(frozen=True, slots=True)
class Record:
    """What was written into a stack file, and what stood there before."""

    written: Settings
    former: Settings
    """None where nothing stood there."""

    @classmethod
    def read(cls, stack: str) -> Record:
        """The stack's record, empty where there is none."""
        file = _file(stack)
        if not file.exists():
            return cls({}, {})
        kept = json.loads(file.read_text())
        return cls(_parsed(kept["written"]), _parsed(kept["former"]))

    def then(self, settings: Settings, now: Settings) -> Record:
        """The record once `settings` are written too; what this one wrote is no former value."""
        still = taken_back(self.written, self.former, now)
        return Record(settings, {key: still.get(key, now.get(key)) for key in settings})

    def keep(self, stack: str) -> None:
        """Write it down."""
        kept = {name: _spelt(value) for name, value in (("written", self.written), ("former", self.former))}
        _file(stack).write_text(json.dumps(kept, indent=1) + "\n")


def forget(stack: str) -> None:
    """Take the record and the pinned key away."""
    for file in (_file(stack), key_file(stack)):
        file.unlink(missing_ok=True)


def _file(stack: str) -> Path:
    return _own() / f"{stack}.board.json"


def _spelt(settings: Settings) -> dict[str, object]:
    return {".".join(key): value for key, value in settings.items()}


def _parsed(kept: Mapping[str, object]) -> Settings:
    parts = ((key.partition("."), value) for key, value in kept.items())
    return {(group, name): value for (group, _, name), value in parts}
