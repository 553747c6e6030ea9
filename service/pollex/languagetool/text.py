"""A text as clients send it, plain or with markup between, and where its words stand in what they sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Part:
    """Text, or markup that stands between it."""

    sent: str
    """As it stands in what the client sent."""
    read: str
    """As it is read: the text itself; of markup what it is interpreted as."""
    markup: bool = False


class Annotated:
    """A text with markup, in which clients count UTF-16 code units as Java does, and everything here code points."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = tuple(parts)
        self.sent = "".join(part.sent for part in self._parts)
        self.read = "".join(part.read for part in self._parts)

    @classmethod
    def plain(cls, text: str) -> Annotated:
        """A text without markup."""
        return cls([Part(text, text)])

    @cached_property
    def _at(self) -> list[int | None]:
        """Of each code point that is read: its place in what was sent, in code points; None where it is no text."""
        places: list[int | None] = []
        at = 0
        for part in self._parts:
            places += [None] * len(part.read) if part.markup else range(at, at + len(part.sent))
            at += len(part.sent)
        return places

    @cached_property
    def _units(self) -> list[int]:
        """Of each code point that was sent, and of the end: its place in UTF-16 code units."""
        return [0, *accumulate(1 + (ord(letter) > _PLANE) for letter in self.sent)]

    def units(self, start: int, end: int) -> int:
        """UTF-16 code units of what was sent between two code points of it."""
        return self._units[end] - self._units[start]

    def within(self, start: int, end: int) -> tuple[int, int] | None:
        """Where something that is read stands in what was sent, in code points.

        None where markup stands in it, or where it is not text that somebody wrote.
        """
        places = self._at[start:end]
        if not places or None in places:
            return None
        first, last = places[0], places[-1]
        assert first is not None  # noqa: S101 - see above
        assert last is not None  # noqa: S101
        return (first, last + 1) if last - first == end - start - 1 else None

    def around(self, start: int, end: int) -> tuple[int, int]:
        """Where something that is read begins and ends in what was sent, in UTF-16 units, markup within included."""
        places = [place for place in self._at[start:end] if place is not None]
        return (self._units[places[0]], self._units[places[-1] + 1]) if places else (0, 0)


def common(one: str, other: str) -> int:
    """How many characters two texts both begin with."""
    least = min(len(one), len(other))
    return next((at for at in range(least) if one[at] != other[at]), least)


_PLANE = 0xFFFF
"""The last code point that is one unit in UTF-16."""

_ENDS = re.compile(r"(?:(?<=[.!?…])[\"'”’)\]]*\s+|\n\s*\n\s*|(?<=[。！？])[」』”’）]*\s*)")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a text begin and end, without the white space around them."""
    at = 0
    for match in [*_ENDS.finditer(text), None]:
        end = len(text) if match is None else match.end()
        part = text[at:end]
        if part.strip():
            yield at + len(part) - len(part.lstrip()), at + len(part.rstrip())
        at = end
