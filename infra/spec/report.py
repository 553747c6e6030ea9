"""From plain values to a stack, or to one report of everything that is wrong with them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.spec.dev import DevStack
from infra.spec.host import HostStack
from infra.spec.image import ImageStack
from infra.spec.values import NAMESPACE, REFERENCE

Stack = HostStack | ImageStack | DevStack
"""What a stack file can declare."""

KINDS: Mapping[str, type[Stack]] = {"host": HostStack, "image": ImageStack, "dev": DevStack}
"""`pollex:kind`, and what it declares."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a stack file."""

    key: str
    """Full key, such as `pollex:host.port`."""
    value: str
    """What stands there, or `missing`."""
    remedy: str
    """What would be right."""


class ConfigError(Exception):
    """All problems of a stack file, in one report."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__(self.report())

    def report(self) -> str:
        """The report as shown: one line a problem, columns aligned."""
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        keys = max(len(problem.key) for problem in self.problems)
        values = max(len(problem.value) for problem in self.problems)
        lines = [f"  {p.key:<{keys}}  {p.value:<{values}}  {p.remedy}" for p in self.problems]
        return "\n".join([f"{self.file} has {count}", *lines, f"every setting: {REFERENCE} · nothing was contacted"])


def parse(raw: Mapping[str, object], *, file: str) -> Stack:
    """The declared stack, from plain values keyed without the namespace.

    Args:
        raw: the stack file's values, such as `{"kind": "host", "host": {…}}`; lists are lists, secrets are strings.
        file: the stack file's path, for the report.

    Raises:
        ConfigError: something is missing, unknown or wrong; all of it is in the report.
    """
    kind = raw.get("kind")
    declared = KINDS.get(kind) if isinstance(kind, str) else None
    if declared is None:
        shown = "missing" if kind is None else _shown(["kind"], kind)
        raise ConfigError(file, [Problem(_key(["kind"]), shown, f"what the stack declares: {' or '.join(KINDS)}")])
    try:
        return declared.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        problems = [_problem(declared, details) for details in error.errors()]
    raise ConfigError(file, problems)


def _problem(declared: type[BaseModel], details: ErrorDetails) -> Problem:
    location = [str(part) for part in details["loc"]]
    if details["type"] == "value_error" and "|" in details["msg"]:
        name, value, remedy = details["msg"].removeprefix("Value error, ").split("|", 2)
        return Problem(_key([*location, name]), value, remedy)
    names, field = _walk(declared, location)
    if details["type"] == "extra_forbidden":
        return Problem(_key(location), _shown(location, details["input"]), _unknown(location[-1], names))
    if details["type"] == "missing":
        return Problem(_key(location), "missing", field)
    wrong = _WRONG.get(details["type"]) or details["msg"].removeprefix("Value error, ").replace(
        "Input should", "should"
    )
    return Problem(_key(location), _shown(location, details["input"]), f"{wrong}: {field}" if field else wrong)


_WRONG = {
    "string_pattern_mismatch": "is not of the right form",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "bool_type": "is neither true nor false",
    "string_type": "is not a text",
    "tuple_type": "is not a list",
    "model_type": "is not a group of settings",
    "model_attributes_type": "is not a group of settings",
}
"""Pydantic's error types in words that fit into the report; every other message stands as pydantic words it."""


_SECRET = ("privatekey", "apikey", "password", "token")
"""How the names of secret settings end; a test compares them with the types."""


def _key(location: Sequence[str]) -> str:
    first, *rest = location
    return ".".join([f"{NAMESPACE}:{first}", *rest])


def is_secret(location: Sequence[str]) -> bool:
    """Whether the setting there, or one of the groups around it, is a secret by its name."""
    return any(part.lower().endswith(_SECRET) for part in location)


def _shown(location: Sequence[str], value: object) -> str:
    if is_secret(location):
        return "***"
    text = json.dumps(value, ensure_ascii=False)
    limit = 48
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"is not a setting; did you mean {near[0]}?" if near else f"is not a setting; there are: {', '.join(known)}"


def _walk(declared: type[BaseModel], location: Sequence[str]) -> tuple[list[str], str]:
    """The names that the innermost group of `location` knows, and the description of the setting it ends at."""
    group = declared
    description = ""
    for part in location:
        fields = {field.alias or name: field for name, field in group.model_fields.items()}
        field = fields.get(part)
        if field is None:
            continue
        description = field.description or ""
        group = group_of(field.annotation) or group
    return [field.alias or name for name, field in group.model_fields.items()], description


def group_of(annotation: Any) -> type[BaseModel] | None:
    """The group of settings that a field's annotation holds, if it is one."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
