"""A stack's application configuration in the forms that its readers understand.

It comes from the stack output `appConfig`: `{"pollex": {setting: value}, "mimir": {variable: value}}`, where `mimir` is
there only if the stack serves embeddings.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from pollex.exits import Exit, PollexError

AppConfig = Mapping[str, Mapping[str, Any]]

# what a shell, systemd's EnvironmentFile and docker's --env-file all read the same without quotes
_PLAIN = re.compile(r"[\w@%+=:,./-]*", re.ASCII)


def read(stack: str, directory: str) -> AppConfig:
    """The stack's `appConfig`, asked of `pulumi` in `directory`."""
    command = ["pulumi", "stack", "output", "appConfig", "--json", "--stack", stack, "--non-interactive"]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        remedy = "in a checkout of the project: . ./activate"
        raise PollexError(Exit.CONFIG, "pulumi is not on PATH, or there is no such directory", remedy) from None
    except OSError as error:
        raise PollexError(Exit.CONFIG, f"pulumi cannot be run in {directory}: {error}") from None
    if done.returncode != 0:
        raise PollexError(
            Exit.CONFIG, f"the outputs of stack {stack} cannot be read", done.stderr.strip().replace("\n", "\n  ")
        )
    try:
        config = json.loads(done.stdout)
    except ValueError:
        config = None
    if not isinstance(config, dict) or not all(isinstance(part, dict) for part in config.values()):
        remedy = f"has it been declared? pulumi up --stack {stack}"
        raise PollexError(Exit.CONFIG, f"stack {stack} has no output appConfig", remedy)
    return config


def _part(config: AppConfig, name: str, remedy: str) -> Mapping[str, Any]:
    if not config.get(name):
        raise PollexError(Exit.CONFIG, f"the stack's appConfig has nothing for {name}", remedy)
    return config[name]


def pollex_yaml(config: AppConfig) -> str:
    """The YAML file that the service and the original Go program read."""
    import yaml  # noqa: PLC0415 - only here

    settings = dict(_part(config, "pollex", "does the stack declare a llama-server?"))
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def pollex_env(config: AppConfig) -> str:
    """The same settings as `POLLEX_…` variables, which win over the file."""
    settings = _part(config, "pollex", "does the stack declare a llama-server?")
    return _lines({f"POLLEX_{name.upper()}": value for name, value in settings.items()})


def mimir_env(config: AppConfig) -> str:
    """The `.env` of Mimir."""
    return _lines(_part(config, "mimir", "Mimir wants embeddings: the stack must declare a server for them"))


def as_json(config: AppConfig) -> str:
    """The whole output."""
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Callable[[AppConfig], str]] = {
    "pollex-yaml": pollex_yaml,
    "pollex-env": pollex_env,
    "mimir-env": mimir_env,
    "json": as_json,
}


def _lines(variables: Mapping[str, Any]) -> str:
    return "".join(f"{name}={_word(name, value)}\n" for name, value in variables.items())


def _word(name: str, value: Any) -> str:
    """A value that every reader of an env file takes for the same text."""
    word = value if isinstance(value, str) else json.dumps(value)
    if _PLAIN.fullmatch(word):
        return word
    # inside double quotes these mean something to a shell, or to systemd, and there is no common way to say them
    if re.search(r"[\"\\$`\n\r]", word):
        raise PollexError(Exit.CONFIG, f"{name}={word!r} cannot be written in an env file", "use --format pollex-yaml")
    return f'"{word}"'
