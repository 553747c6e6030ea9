"""Writes docs/reference/jetpack.md to stdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from infra import ROOT
from infra.core import stackfile
from infra.jetpack import table, used
from infra.kinds import table as kinds
from infra.kinds.host import plan
from infra.kinds.host.spec import HostStack

_STACK: Final = ROOT / "stacks/Pulumi.jetson.yaml"

_INTRO: Final = """# What a Jetson's own software is too old for

JetPack 4.6, the last for a Nano, is made from Ubuntu 18.04. This page is made by `make docs` from what the units, shell
scripts and tools that go to a board use of the programs there (`infra/jetpack/used.py` reads it out of them) and from
`infra/jetpack/table.py`, which says since when there is such a thing. What JetPack lacks and nothing here answers fails
the tests.

No registry carries these versions, so nothing was run on them. What runs in `make test` is the oldest userland that
Debian still serves, Debian 11 (`tests/e2e/test_oldest.py`).

"""


def units() -> list[str]:
    """The units of the stack for a Jetson."""
    stack = kinds.parse(stackfile.values(_STACK), file=str(_STACK))
    assert isinstance(stack, HostStack)  # noqa: S101 - what `pollex:kind` there says
    return [text for name, text in plan.files(stack).items() if name.endswith(".service")]


def page(features: Iterable[used.Feature]) -> str:
    """The whole page as Markdown."""
    found = sorted(features)
    lines = ["| what is newer | since | JetPack has | what happens there |", "|---|---|---|---|", *_lacking(found), ""]
    lines += [
        "## What is used",
        "",
        "| program | JetPack 4.6 | Debian 11 | used, by the version that has it | looked up in |",
    ]
    lines += ["|---|---|---|---|---|", *_all(found)]
    return _INTRO + "\n".join(lines) + "\n"


def _lacking(found: list[used.Feature]) -> Iterator[str]:
    versions = table.known()
    for name, feature in found:
        program = table.PROGRAMS[name]
        if table.newer(versions[name, feature], program.jetpack):
            since = versions[name, feature]
            yield f"| {name}: `{feature}` | {since} | {program.jetpack} | {program.instead[feature]} |"


def _all(found: list[used.Feature]) -> Iterator[str]:
    versions = table.known()
    for name, program in table.PROGRAMS.items():
        parts = []
        for version in program.since:
            features = [f"`{feature}`" for one, feature in found if one == name and versions[one, feature] == version]
            if features:
                parts.append((f"**{version}** " if version else "") + " ".join(features))
        yield f"| {name} | {program.jetpack} | {program.oldest} | {', '.join(parts)} | {program.source} |"


if __name__ == "__main__":
    print(page(used.everything(units())), end="")
