"""The page of all settings, made from their types: `python -m pollex.reference > docs/reference/service.md`."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from pollex.settings import PREFIX, REFERENCE, Decoding, Settings

TARGET = REFERENCE
"""Where the page is committed."""

_INTRO = f"""# Settings of the service

Made from `service/pollex/settings.py` by `python -m pollex.reference`. Each setting is a key of the YAML file
(`--config FILE`, or `{PREFIX}CONFIG`) or an environment variable: `{PREFIX}` and the key in capitals, which wins.
In a variable, lists are separated by commas and mappings are JSON; an empty one counts as unset.
All wrong settings are reported at once, and nothing is served until they are right.
"""
_DECODING = """
## Decoding options

    decoding:
      qwen2.5:1.5b-gpu: {temperature: 0, repeat_penalty: 1.0}
"""
_KINDS = {
    "array": "list",
    "ipv4network": "network",
    "ipv6network": "network",
    "object": "mapping",
    "password": "secret text",
    "uri": "address",
}
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_INTRO, *_table(Settings), _DECODING, *_table(Decoding), ""])


def _table(type_: type[BaseModel]) -> list[str]:
    schemas = type_.model_json_schema()["properties"]
    rows = [
        f"| `{name}` | {_kind(schemas[name])} | {_default(schemas[name])} | {field.description} |"
        for name, field in type_.model_fields.items()
    ]
    return ["| setting | type | default | what it is |", "|---|---|---|---|", *rows]


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return "" if default in (None, "", [], {}) else f"`{json.dumps(default)}`"


def _kind(schema: dict[str, Any]) -> str:
    """A setting's type in words, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(option) for option in schema["anyOf"] if option.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if (kind := schema.get("format", schema["type"])) in _KINDS:
        return _KINDS[kind] + (f" of {_kind(schema['items'])}s" if kind == "array" else "")
    bounds = {
        "at least": schema.get("minimum"),
        "above": schema.get("exclusiveMinimum"),
        "at most": schema.get("maximum"),
    }
    return ", ".join(
        [_WORDS[schema["type"]], *(f"{word} {value:g}" for word, value in bounds.items() if value is not None)]
    )


if __name__ == "__main__":
    print(page(), end="")
