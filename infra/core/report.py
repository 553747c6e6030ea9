"""From plain values to a stack, or to one report of everything that is wrong with them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.core.masking import MASK, is_secret_name, masked
from infra.core.settings import MISSING, NAMESPACE, REFERENCE, REFUSED, Refusal, Shown

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a stack file."""

    key: str
    """Full key, such as `pollex:host.port`."""
    value: str
    """What stands there, as it may be shown, or `missing`."""
    remedy: str
    """What would be right."""


class ConfigError(Exception):
    """All problems of a stack file, in one report."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        # whoever found the problem: what is shown passes here
        self.problems = tuple(Problem(p.key, masked(p.value), masked(p.remedy)) for p in problems)
        super().__init__(self.report())

    def report(self) -> str:
        """The report as shown: one line a problem, columns aligned."""
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        keys = max(len(problem.key) for problem in self.problems)
        values = max(len(problem.value) for problem in self.problems)
        lines = [f"  {p.key:<{keys}}  {p.value:<{values}}  {p.remedy}" for p in self.problems]
        return "\n".join([f"{self.file} has {count}", *lines, f"every setting: {REFERENCE} · nothing was contacted"])


def validated(declared: type[S], raw: Mapping[str, object], *, file: str) -> S:
    """The values as the declared kind of stack.

    Raises:
        ConfigError: something is missing, unknown or wrong; all of it is in the report.
    """
    try:
        return declared.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        problems = [problem(one.where, one.value, one.remedy) for one in refusals(declared, error)]
    raise ConfigError(file, problems)


def refusals(declared: type[BaseModel], error: ValidationError) -> list[Refusal]:
    """Everything that is wrong with a group, for the report or for the group around it."""
    return [one for details in error.errors() for one in _refusals(declared, details)]


def _refusals(declared: type[BaseModel], details: ErrorDetails) -> Iterator[Refusal]:
    location = [str(part) for part in details["loc"]]
    if details["type"] == REFUSED:
        carried: Sequence[Refusal] = details["ctx"]["refusals"]
        yield from (Refusal((*location, *one.where), one.value, one.remedy) for one in carried)
        return
    names, field = _walk(declared, location)
    if details["type"] == "extra_forbidden":
        # whatever it was meant to be, it may be a secret
        yield Refusal(tuple(location), Shown("unknown"), _unknown(location[-1], names))
        return
    if details["type"] == "missing":
        yield Refusal(tuple(location), MISSING, field)
        return
    wrong = _WRONG.get(details["type"]) or details["msg"].removeprefix("Value error, ").replace(
        "Input should", "should"
    )
    value = details["input"]
    if details["type"] in _GROUPS:
        yield Refusal(tuple(location), Shown(f"a {type(value).__name__}"), f"{wrong}: {field}")
        return
    yield Refusal(tuple(location), value, f"{wrong}: {field}" if field else wrong)


_GROUPS = {"model_type", "model_attributes_type", "dict_type"}
"""A whole group is not repeated: one line in a wrong place may be a secret."""

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


def full_key(location: Sequence[str]) -> str:
    """The setting there as a stack file spells it, such as `pollex:host.port`."""
    first, *rest = location
    return ".".join([f"{NAMESPACE}:{first}", *rest])


def is_secret(location: Sequence[str]) -> bool:
    """Whether the setting there, or one of the groups around it, is a secret by its name."""
    return any(is_secret_name(part) for part in location)


def problem(location: Sequence[str], value: object, remedy: str) -> Problem:
    """A problem with what stands there; MISSING says that nothing does."""
    if value is MISSING:
        stands = "missing"
    elif isinstance(value, Shown):
        stands = str(value)
    elif is_secret(location):
        stands = MASK
    else:
        text = masked(json.dumps(value, ensure_ascii=False))
        stands = text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"
    return Problem(full_key(location), stands, remedy)


_LIMIT = 48
"""Characters of a value that a report shows."""


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
