"""Changes single settings in a stack file's text, and leaves its comments alone. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

Settings = Mapping[tuple[str, str], str]
"""Group and name, such as ("host", "address"), to the value."""


def changed(text: str, settings: Settings) -> str:
    """The text with these settings.

    Raises:
        ValueError: a group is not there.
    """
    for (group, name), value in settings.items():
        head = re.search(rf"^  pollex:{group}:\n", text, re.MULTILINE)
        if head is None:
            raise ValueError(f"the stack file has no group pollex:{group}")
        body = re.match(r"(?:(?:    .*| *)\n)*", text[head.end() :])
        old = body[0] if body else ""
        written = value if re.fullmatch(r"[A-Za-z~/][\w./~@-]*|[0-9]+", value) else json.dumps(value)
        line = re.compile(rf"^    {name}: *(?:\"[^\"]*\"|[^\s#]+)( +#.*)?$", re.MULTILINE)
        if found := line.search(old):
            new = f"{old[: found.start()]}    {name}: {written}{found[1] or ''}{old[found.end() :]}"
        else:
            new = f"    {name}: {written}\n{old}"
        text = text[: head.end()] + new + text[head.end() + len(old) :]
    return text
