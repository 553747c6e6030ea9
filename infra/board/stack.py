"""Changes single settings in a stack file's text, and leaves its comments alone. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import yaml

Settings = Mapping[tuple[str, str], object]
"""Group and name, such as ("host", "address"), to the value; None takes the setting out."""


def changed(text: str, settings: Settings) -> str:
    """The text with these settings; those that were not there come first in their group.

    Raises:
        ValueError: a group is not there.
    """
    for (group, name), value in reversed(list(settings.items())):
        head = re.search(rf"^  pollex:{group}:\n", text, re.MULTILINE)
        if head is None:
            raise ValueError(f"the stack file has no group pollex:{group}")
        body = re.match(r"(?:(?:    .*| *)\n)*", text[head.end() :])
        old = body[0] if body else ""
        line = re.compile(rf"^    {name}: *(?:\{{.*\}}|\"[^\"]*\"|[^\s#]+)( +#.*)?\n", re.MULTILINE)
        found = line.search(old)
        place = found.start() if found else 0
        rest = old[found.end() :] if found else old
        new = "" if value is None else f"    {name}: {_written(value)}{(found and found[1]) or ''}\n"
        text = text[: head.end()] + old[:place] + new + rest + text[head.end() + len(old) :]
    return text


def _written(value: object) -> str:
    """Plain where YAML reads that as the same text, else as JSON, which is YAML too."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w./~@-]+", value) and yaml.safe_load(value) == value
    return str(value) if plain else json.dumps(value)


def taken_back(written: Settings, former: Settings, now: Settings) -> dict[tuple[str, str], object]:
    """What restores the former values of those settings that are still as they were written."""
    return {key: former.get(key) for key, value in written.items() if now.get(key) == value}
