"""What a file of answers may say, so that a script is asked nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, SecretStr

from infra.core.report import ConfigError, Problem, validated
from infra.core.settings import Line, Value


class Answers(Value):
    """The answers to what the wizard asks; each can be left out where it will not be asked."""

    fingerprint: Annotated[Line | None, Field(description="what the host's key must have: SHA256:…")] = None
    login_password: Annotated[
        SecretStr | None, Field(description="the login's password on the host, where no key of yours is let in yet")
    ] = None
    sudo_password: Annotated[
        SecretStr | None, Field(description="what sudo asks for there, where it asks; null: the login's password")
    ] = None

    @property
    def login(self) -> str | None:
        """The login's password."""
        return self.login_password.get_secret_value() if self.login_password else None

    @property
    def sudo(self) -> str | None:
        """The password that sudo asks for: on most hosts the login's own."""
        return self.sudo_password.get_secret_value() if self.sudo_password else self.login


def read(file: Path) -> Answers:
    """The answers in a file.

    Raises:
        ConfigError: something in it is wrong, or others may read the passwords in it.
        OSError: it cannot be read.
    """
    try:
        values = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        # where, and nothing of the line itself, which may be a password
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "it"
        raise ConfigError(str(file), [Problem(place, "not YAML", "write `name: value` lines")]) from None
    if not isinstance(values, dict):
        raise ConfigError(str(file), [Problem("it", "no answers", "write `name: value` lines")])
    answers = validated(Answers, values, file=str(file))
    if answers.sudo is not None and file.stat().st_mode & 0o077:
        raise ConfigError(str(file), [Problem("its mode", f"{file.stat().st_mode & 0o777:o}", f"chmod 600 {file}")])
    return answers
