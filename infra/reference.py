"""The page of all settings, made from the spec: `python -m infra.reference` writes docs/reference/config.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel

from infra.core.report import group_of
from infra.core.settings import NAMESPACE, REFERENCE
from infra.kinds import table

_INTRO = f"""# Settings of a stack

Made from `infra/kinds/` by `make docs`. Every setting stands in `stacks/Pulumi.<stack>.yaml` below `config:`, or is
set by `pulumi config set --path '{NAMESPACE}:host.address' jetson.local --stack jetson`.
A group is written as YAML. Wrong and missing settings are reported all at once, before anything is contacted.
"""


def page() -> str:
    """The whole page as Markdown."""
    lines, seen = [_INTRO], set[str]()
    for name, kind in table.KINDS.items():
        lines += [f"## A stack of kind `{name}`", "", (kind.spec.__doc__ or "").splitlines()[0], ""]
        lines += [*_table("", kind.spec, seen), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(prefix: str, group: type[BaseModel], seen: set[str]) -> list[str]:
    """A group's settings, then its groups; one that an earlier kind has too is `seen` and stands there."""
    schema = group.model_json_schema(by_alias=True)
    rows, below = [], []
    for name, field in group.model_fields.items():
        alias = field.alias or name
        key = f"{prefix}.{alias}" if prefix else f"{NAMESPACE}:{alias}"
        inner = group_of(field.annotation)
        default = "**required**" if field.is_required() else f"`{_plain(field.get_default(call_default_factory=True))}`"
        kind = _group(field.annotation) if inner else _kind(schema["properties"][alias])
        rows.append(f"| `{key}` | {kind} | {default} | {field.description} |")
        if inner and key not in seen:
            seen.add(key)
            title = (inner.__doc__ or "").splitlines()[0]
            below += ["", f"### {key}", "", title, "", *_table(key, inner, seen)]
    return [
        "| setting | type | default | what it is |",
        "|---|---|---|---|",
        *rows,
        *below,
        *([""] if not prefix else []),
    ]


def _group(annotation: Any) -> str:
    return "list of groups" if get_origin(annotation) is tuple else "group"


def _plain(value: object) -> str:
    return json.dumps(value, default=list)


_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}


def _kind(schema: dict[str, Any]) -> str:
    """A setting's type in words, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    words = "secret text" if schema.get("format") == "password" else _WORDS[schema["type"]]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{words}, {low} to {high}"
    return f"{words}, at least {low}" if low is not None else words


if __name__ == "__main__":
    target = Path(__file__).parent.parent / REFERENCE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page())
