"""What docs/reference/pollex-host.md says of the host's tools, from the tools themselves.

The page is prose with tables in it; `python -m infra.kinds.host.reference` writes the tables anew.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from infra.hosttools.pollex_host import cli, manifest
from infra.hosttools.pollex_host.errors import Exit
from infra.hosttools.pollex_host.say import camel

PAGE = "docs/reference/pollex-host.md"
_TABLE = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_PARTS = (
    *manifest.KINDS.values(),
    *(manifest.Source, manifest.Patch, manifest.Proof, manifest.Substituter),
    *(manifest.Unit, manifest.Link, manifest.File, manifest.Gate, manifest.Serves, manifest.Setting),
)
"""Every record of a manifest, the kinds first."""
_WORDS = {"str": "text", "int": "number", "bool": "true or false", "Mapping[str, str]": "object of texts"}


def page(text: str) -> str:
    """The page with its tables as they should be."""
    tables = {"verbs": _verbs, "statuses": _statuses, "manifests": _manifests}
    return _TABLE.sub(lambda found: found[1] + "\n".join(tables[found[2]]()) + "\n" + found[3], text)


def _verbs() -> Iterator[str]:
    yield from ("| verb | does |", "|---|---|")
    for verb, (_, arguments, does) in cli.VERBS.items():
        yield f"| `{f'{verb} {arguments}'.rstrip()}` | {does} |"


def _statuses() -> Iterator[str]:
    yield from ("| status | meaning |", "|---|---|")
    for status in Exit:
        yield f"| {status.value} | {status.meaning} |"


def _manifests() -> Iterator[str]:
    for part in _PARTS:
        kind = f' Says `"kind": "{part.kind}"`.' if hasattr(part, "kind") else ""
        yield from ("", f"### {part.__name__}", "", _paragraph(part.__doc__ or "") + kind, "")
        yield from ("| field | holds | |", "|---|---|---|")
        about = _said_of_fields(part)
        for each in fields(part):
            yield f"| `{camel(each.name)}` | {_holds(str(each.type))} | {about.get(each.name, '')} |"
    yield ""


def _holds(annotation: str) -> str:
    """A field's type in words."""
    if annotation.endswith(" | None"):
        return f"{_holds(annotation.removesuffix(' | None'))} or null"
    if annotation.startswith("tuple["):
        inner = _holds(annotation.removeprefix("tuple[").partition(",")[0])
        return f"list of {inner}s" if inner in {"text", "number"} else f"list of {inner}"
    return _WORDS.get(annotation, f"[{annotation}](#{annotation.lower()})")


def _said_of_fields(part: type) -> dict[str, str]:
    """The text below each field, its bases' first."""
    said: dict[str, str] = {}
    for base in reversed(part.__mro__[:-1]):
        (body,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(body, ast.ClassDef)  # noqa: S101 - the source of a class
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                said[field.target.id] = _paragraph(str(ast.literal_eval(text.value)))
    return said


def _paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split()).replace("|", "\\|")


if __name__ == "__main__":
    target = Path(__file__).parents[3] / PAGE
    target.write_text(page(target.read_text()))
