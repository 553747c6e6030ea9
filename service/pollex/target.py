"""Which service a command talks to: from flags, else the environment, else the user's configuration file."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pollex.exits import Exit, PollexError

if TYPE_CHECKING:
    from pollex.client import Client, Wishes

PORT = 8090
"""The one that a service listens on unless it is told another."""
DEFAULT_URL = f"http://localhost:{PORT}"
TIMEOUT_SECONDS = 150.0
"""How long a service may stay silent: more than the 120 s after which it gives up by itself."""
KEY_VARIABLE = "POLLEX_API_KEY"

FILE_KEYS: Mapping[str, str] = {
    "url": "address of the service",
    "model": "the model to ask for; without it the service's first",
    "mode": "what texts are to become; without it the service's default",
    "api_key": "the key that goes with `url`; the file must then be readable by its owner alone",
    "api_key_file": "a file that holds that key; relative to the configuration file",
}
"""The keys of the configuration file and what they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A service as a command was told of it."""

    url: str
    timeout: float
    """Seconds that it may stay silent."""
    model: str | None = None
    mode: str | None = None
    api_key: str | None = field(default=None, repr=False)

    def connect(self, url: str | None = None) -> Client:
        """A client of it, or of the service at `url` with the same key."""
        # httpx takes longer to import than the rest of a command to run
        from pollex.client import Client  # noqa: PLC0415

        return Client(url or self.url, api_key=self.api_key, timeout=self.timeout)

    def wishes(self, mode: str | None, keep: Sequence[str], *, quoted: bool) -> Wishes:
        """What a text is to become, and what of it is to stay: as a command was told, and as it always is."""
        from pollex.client import Wishes  # noqa: PLC0415 - as above

        return Wishes(mode or self.mode, tuple(dict.fromkeys([*keep, *_always_kept()])), quoted)


def _folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "pollex"


def config_file() -> Path:
    """Where the user's configuration file is looked for."""
    return _folder() / "config.toml"


def keep_file() -> Path:
    """Where the words stand that the user always wants to keep: one a line; a line that begins with `#` is a remark."""
    return _folder() / "keep.txt"


def _always_kept() -> list[str]:
    path = keep_file()
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise PollexError(Exit.USAGE, f"{path} cannot be read: {error}") from None
    return [word for word in map(str.strip, lines) if word and not word.startswith("#")]


def resolve(*, url: str | None, api_key_file: str | None, timeout: float) -> Target:
    """The service that flags, environment and file name.

    The file's key goes to the file's address only: a service named elsewhere never sees it.
    """
    path = config_file()
    file = _read(path)
    chosen = url or file.get("url") or DEFAULT_URL
    key: str | None = None
    if api_key_file is not None:
        key = _key_in(Path(api_key_file))
    elif os.environ.get(KEY_VARIABLE):
        key = os.environ[KEY_VARIABLE]
    elif chosen == file.get("url", DEFAULT_URL):
        key = file.get("api_key")
        if "api_key_file" in file:
            key = _key_in(path.parent / Path(file["api_key_file"]).expanduser())
    return Target(url=chosen, timeout=timeout, model=file.get("model"), mode=file.get("mode"), api_key=key)


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            values = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PollexError(Exit.USAGE, f"{path} cannot be read: {error}") from None
    wrong = [f"{key}: unknown; there are {', '.join(FILE_KEYS)}" for key in values if key not in FILE_KEYS]
    wrong += [f"{key} = {value!r}: is not text" for key, value in values.items() if not isinstance(value, str)]
    if "api_key" in values and mode & (stat.S_IRWXG | stat.S_IRWXO):
        wrong.append(f"api_key: others can read the file; chmod 600 {path}")
    if wrong:
        raise PollexError(Exit.USAGE, f"{path} is wrong", "\n  ".join(wrong))
    return values


def _key_in(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise PollexError(Exit.USAGE, f"the API key cannot be read: {error}") from None
