"""Sheets: the one text form in which derivations, models and generations travel to a host.

The format is described in docs/design.md; `infra/hosttools/lib.sh` unpacks it with awk.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

HEADER = "pollex-sheet 1"
_SECTION = "=== "
_NAME = re.compile(r"[A-Za-z0-9._@-]+(/[A-Za-z0-9._@-]+)*")

EnvValue = str | int | Sequence[str]
"""What a line of the `env` section can hold; a sequence becomes one item a line."""


class SheetError(ValueError):
    """A text that cannot be carried, or is not a sheet."""


def env(values: Mapping[str, EnvValue]) -> str:
    """The `env` section: assignments that a POSIX shell can source, in the order given.

    Raises:
        SheetError: an item of a list holds a newline, or a value holds a NUL.
    """
    lines = []
    for name, value in values.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            broken = [item for item in value if "\n" in item]
            if broken:
                raise SheetError(f"{name}: an item of a list must be one line, not {broken[0]!r}")
            value = "\n".join(value)  # noqa: PLW2901 - the joined form replaces the list for the one use below
        text = str(value)
        if "\0" in text:
            raise SheetError(f"{name}: a NUL byte cannot be passed to a shell")
        lines.append(f"{name}={shlex.quote(text)}\n")
    return "".join(lines)


def render(sections: Mapping[str, str]) -> str:
    """Join named sections into a sheet.

    Raises:
        SheetError: a name is not a relative path of plain characters, or a content holds a section line or a NUL.
    """
    return "".join([HEADER + "\n", *(section(name, content) for name, content in sections.items())])


def section(name: str, content: str) -> str:
    """One section of a sheet, which may be put at the end of one.

    Raises:
        SheetError: as `render`.
    """
    if not _NAME.fullmatch(name) or any(part in {".", ".."} for part in name.split("/")):
        raise SheetError(f"{name!r} is not a section name")
    if content and not content.endswith("\n"):
        raise SheetError(f"section {name}: the last line has no end")
    if "\0" in content or content.startswith(_SECTION) or f"\n{_SECTION}" in content:
        raise SheetError(f"section {name}: holds a NUL byte or a line that starts with {_SECTION!r}")
    return f"{_SECTION}{name}\n{content}"


def parse(text: str) -> dict[str, str]:
    """The sections of a sheet, the inverse of `render`.

    Raises:
        SheetError: the first line is not the header, or text stands before the first section.
    """
    header, newline, body = text.partition("\n")
    if header != HEADER or not newline:
        raise SheetError(f"not a sheet: the first line is not {HEADER!r}")
    sections: dict[str, str] = {}
    name = None
    for line in body.split("\n"):
        if line.startswith(_SECTION):
            name = line.removeprefix(_SECTION)
            sections[name] = ""
        elif name is not None:
            sections[name] += line + "\n"
        elif line:
            raise SheetError("not a sheet: text before the first section")
    if name is not None:
        sections[name] = sections[name].removesuffix("\n")
    return sections
