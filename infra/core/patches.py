"""Patch series: which changes a source gets, in which order, and what makes a patch fit to be sent to a host.

patches/README.md describes the files and their headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra import ROOT
from infra.core.derivation import sha256

FOLDER = ROOT / "patches"

FIELDS = ("Description", "Origin", "Forwarded", "Author", "Last-Update", "Applies-to")
"""What every header holds: DEP-3 (https://dep-team.pages.debian.net/deps/dep3/), and the tags a patch was made for."""

_NAME = re.compile(r"\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.patch")
_TAGS = re.compile(r"b\d+(, b\d+)*")
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_CONTENT = re.compile(r"[ +\\]|-(?!-- (a/|/dev/null))")
"""A line inside a hunk; the head of the next file is none, although it starts with a minus."""
_END_OF_HEADER = "---"


class PatchError(ValueError):
    """A series that cannot be used; the message lists everything that is wrong with it, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One patch of a series."""

    name: str
    """Of the file, `NNNN-what-it-does.patch`; the order of names is the order of application."""
    sha256: str
    """Of the whole text, 64 hex digits."""
    text: str
    """Header and diff, as `patch --strip=1` takes it."""
    description: str
    """The first line of the header's Description."""
    applies_to: tuple[str, ...]
    """Tags of the source that it was made for, e.g. `b5050`."""

    @property
    def identity(self) -> str:
        """The SHA-256 of the diff alone: the header is for people, and decides no byte of what is built."""
        _, end, diff = self.text.partition(f"\n{_END_OF_HEADER}\n")
        return sha256(diff if end else self.text)


def load(series: str, root: Path = FOLDER, *, tag: str | None = None) -> tuple[Patch, ...]:
    """The patches that `root/<series>.series` lists, in order.

    Args:
        series: name of the series, which is that of a build profile.
        root: folder of the series files and the patches.
        tag: of the source they are meant for; every patch must name it. None asks for no source in particular.

    Raises:
        PatchError: a file is missing, unlisted, malformed, or not made for this source.
    """
    names = listed(series, root)
    problems = [*_order_problems(series, names), *_unlisted(root)]
    patches = []
    for name in names:
        try:
            text = (root / name).read_bytes().decode()
        except FileNotFoundError:
            problems.append(f"{name}: {series}.series lists it, but there is no such file")
            continue
        except UnicodeDecodeError:
            problems.append(f"{name}: is not UTF-8, and so cannot be sent to a host")
            continue
        wrong = [f"{name}: {problem}" for problem in check(text)]
        problems += wrong
        if not wrong:
            patches.append(_parse(name, text))
    problems += [
        f"{patch.name}: is for {' and '.join(patch.applies_to)}, not for {tag}: "
        f"take a series or a source that match, or refresh it (patches/README.md#moving-the-pin)"
        for patch in patches
        if tag is not None and tag not in patch.applies_to
    ]
    if problems:
        raise PatchError(f"the patch series {series} in {root} is wrong\n  " + "\n  ".join(problems))
    return tuple(patches)


def listed(series: str, root: Path = FOLDER) -> tuple[str, ...]:
    """The names that a series file holds, in quilt's form: one a line, `#` starts a comment.

    Raises:
        PatchError: there is no such series.
    """
    path = root / f"{series}.series"
    if not path.is_file():
        there = ", ".join(sorted(other.stem for other in root.glob("*.series"))) or "none"
        raise PatchError(f"there is no {path}; the series in that folder: {there}")
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return tuple(line for line in lines if line)


def check(text: str) -> list[str]:
    """What is wrong with a patch's text; empty when nothing is."""
    if "\r" in text:
        return ["holds carriage returns: convert it to plain line feeds"]
    if not text.endswith("\n"):
        return ["its last line has no end: the file was cut off, or an editor took the line feed away"]
    header, separator, diff = text.partition(f"\n{_END_OF_HEADER}\n")
    if not separator:
        return [f"has no header: its fields end with a line {_END_OF_HEADER!r}, then the diff follows"]
    fields = _fields(header)
    problems = [f"its header has no {field}" for field in FIELDS if not fields.get(field)]
    if (tags := fields.get("Applies-to")) and not _TAGS.fullmatch(tags):
        problems.append(f"Applies-to: {tags!r} is not a list of tags such as 'b4980, b5050'")
    return [*problems, *_diff_problems(diff.split("\n")[:-1])]


def _parse(name: str, text: str) -> Patch:
    fields = _fields(text.partition(f"\n{_END_OF_HEADER}\n")[0])
    return Patch(
        name=name,
        sha256=sha256(text),
        text=text,
        description=fields["Description"],
        applies_to=tuple(fields["Applies-to"].split(", ")),
    )


def _fields(header: str) -> dict[str, str]:
    """First lines of the header's fields by name; the lines that go on with one start with a space."""
    pairs = (line.partition(":") for line in header.split("\n") if not line.startswith(" "))
    return {name: value.strip() for name, _, value in pairs}


def _order_problems(series: str, names: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{name}: is not named NNNN-what-it-does.patch" for name in names if not _NAME.fullmatch(name))
    yield from (f"{name}: {series}.series lists it twice" for name in sorted({n for n in names if names.count(n) > 1}))
    if list(names) != sorted(names):
        yield f"{series}.series: is not in the order of the patches' numbers"


def _unlisted(root: Path) -> Iterator[str]:
    """Patches that no series lists: forgotten in one, or left behind."""
    known = {name for path in root.glob("*.series") for name in listed(path.stem, root)}
    for path in sorted(root.glob("*.patch")):
        if path.name not in known:
            yield f"{path.name}: is in no series file: list it, or delete it"


def _diff_problems(lines: Iterable[str]) -> Iterator[str]:
    """What is wrong with a unified diff whose paths have one a/ or b/ in front."""
    old = new = ""
    removed = added = hunks = 0
    for number, line in enumerate(lines, 1):
        where = f"line {number} of the diff"
        if removed or added:
            removed -= line[:1] in {" ", "-"}
            added -= line[:1] in {" ", "+"}
            if not _CONTENT.match(line) or removed < 0 or added < 0:
                yield f"{where}: the hunk has other lines than its @@ line says"
                return
        elif line.startswith("--- "):
            old, new = line.removeprefix("--- "), ""
        elif line.startswith("+++ "):
            new = line.removeprefix("+++ ")
            yield from _path_problems(where, old, new)
            old = ""  # the next file has a line of its own
        elif (match := _HUNK.match(line)) and new:
            removed, added = (int(count) if count is not None else 1 for count in match.groups())
            hunks += 1
        elif not line.startswith("\\"):
            yield f"{where}: {line!r} belongs to no hunk or file"
            return
    if removed or added:
        yield "its last hunk is cut off"
    if not hunks:
        yield "changes nothing: there is no hunk in it"


def _path_problems(where: str, old: str, new: str) -> Iterator[str]:
    """Both names of a file must be the same path inside the tree; one may be /dev/null."""
    for name, prefix in ((old, "a/"), (new, "b/")):
        if name != "/dev/null" and not name.startswith(prefix):
            yield f"{where}: {name!r} does not start with {prefix}"
        elif name != "/dev/null" and {"", ".", ".."} & set(name.split("/")):
            yield f"{where}: {name!r} leaves the source tree"
    if "/dev/null" not in {old, new} and old[2:] != new[2:]:
        yield f"{where}: {old!r} and {new!r} are different files"
