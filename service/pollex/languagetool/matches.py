"""From changes to matches: what clients underline, and which of their switches rules it. Pure, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pollex.languagetool import wire
from pollex.languagetool.text import Annotated, common, sentences
from pollex.words import Change, Kind, Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """How a kind of change is told to clients."""

    id: str
    description: str
    issue: str
    """Of the types that LanguageTool takes from ITS 2.0; clients choose a colour by it."""
    category: str
    category_name: str
    type: str
    short: str


RULES = {
    Kind.SPELLING: Rule(
        "POLLEX_SPELLING",
        "A word that is written wrongly",
        "misspelling",
        "TYPOS",
        "Possible Typo",
        "UnknownWord",
        "Spelling mistake",
    ),
    Kind.PUNCTUATION: Rule(
        "POLLEX_PUNCTUATION",
        "A sign that is missing, or one too many",
        "typographical",
        "PUNCTUATION",
        "Punctuation",
        "Other",
        "Punctuation",
    ),
    Kind.CAPITALS: Rule(
        "POLLEX_CAPITALS",
        "A capital that is missing, or one too many",
        "typographical",
        "CASING",
        "Capitalization",
        "Other",
        "Capitalization",
    ),
    Kind.GRAMMAR: Rule(
        "POLLEX_GRAMMAR", "Another form, or another small word", "grammar", "GRAMMAR", "Grammar", "Other", "Grammar"
    ),
    Kind.WORDING: Rule("POLLEX_WORDING", "Another word", "style", "STYLE", "Style", "Hint", "Wording"),
    Kind.DELETION: Rule(
        "POLLEX_DELETION", "Words that may go", "style", "REDUNDANCY", "Redundant Phrases", "Hint", "Shorter"
    ),
    Kind.INSERTION: Rule(
        "POLLEX_INSERTION", "Words that are missing", "omission", "SEMANTICS", "Semantics", "Hint", "Missing words"
    ),
}
"""One rule a kind; the categories are LanguageTool's own, so that a client's switches for them work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Which rules and categories a client wants to hear of."""

    disabled_rules: frozenset[str] = frozenset()
    enabled_rules: frozenset[str] = frozenset()
    disabled_categories: frozenset[str] = frozenset()
    enabled_categories: frozenset[str] = frozenset()
    enabled_only: bool = False
    picky: bool = False
    """Whether it wants what the service only offers too."""

    def allow(self, change: Change) -> bool:
        """Whether it wants to hear of this change."""
        if change.verdict is Verdict.REFUSED or (change.verdict is Verdict.OFFERED and not self.picky):
            return False
        rule = RULES[change.kind]
        enabled = rule.id in self.enabled_rules or rule.category in self.enabled_categories
        if self.enabled_only:
            return enabled
        if rule.id in self.disabled_rules:
            return False
        return rule.id in self.enabled_rules or rule.category not in self.disabled_categories


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is underlined, in code points of what is read, and the changes in it."""

    start: int
    end: int
    changes: tuple[Change, ...]

    def after(self, text: str) -> str:
        """What may stand there instead."""
        done, at = [], self.start
        for change in self.changes:
            done += [text[at : change.start], change.after]
            at = change.end
        return "".join([*done, text[at : self.end]])


def matches(text: Annotated, changes: Iterable[Change], switches: Switches) -> list[wire.Match]:
    """The matches of a text, in its order.

    Args:
        text: as the client sent it.
        changes: with places in what is read of it, in their order, not overlapping.
        switches: what the client wants to hear of.
    """
    told = (_narrowed(text, change) for change in changes if switches.allow(change))
    found = list(sentences(text.read))
    marks = [_Mark(change.start, change.end, (change,)) for change in told]
    # a word that was taken in for its neighbour's sake may go itself, so that nothing is left of both
    while (wider := list(_together(_widened(text, mark) for mark in marks))) != marks:
        marks = wider
    made = (_match(text, mark, found) for mark in marks)
    return [match for match in made if match is not None]


def _narrowed(text: Annotated, change: Change) -> Change:
    """Where markup stands in a change: without what is the same at both its ends, so that it may stay outside."""
    if not change.before or text.within(change.start, change.end):
        return change
    before, after = change.before, change.after
    head = common(before, after)
    tail = common(before[head:][::-1], after[head:][::-1])
    return replace(
        change,
        start=change.start + head,
        end=change.end - tail,
        before=before[head : len(before) - tail],
        after=after[head : len(after) - tail],
    )


def _widened(text: Annotated, mark: _Mark) -> _Mark:
    """Changes as something that can be underlined: at least a word, with something in its place."""
    if text.read[mark.start : mark.end].strip() and mark.after(text.read).strip():
        return mark
    near, far = max(0, mark.start - _WORD), mark.end + _WORD
    for last, first in _NEIGHBOURS:
        if (word := last.search(text.read, near, mark.start)) and text.within(word.start(), mark.end):
            return replace(mark, start=word.start())
        if (word := first.match(text.read, mark.end, far)) and text.within(mark.start, word.end()):
            return replace(mark, end=word.end())
    return mark


_NEIGHBOURS = tuple(
    (re.compile(rf"\S+{between}*\Z"), re.compile(rf"{between}*\S+")) for between in (r"[^\S\r\n]", r"\s")
)
"""The word before and the one after, of the same line, else of another."""
_WORD = 80
"""Characters of a word that is underlined for its neighbour's sake; of a longer one only so many."""


def _together(marks: Iterable[_Mark]) -> Iterator[_Mark]:
    """Marks that share a word as one."""
    last: _Mark | None = None
    for mark in marks:
        if last is not None and mark.start < last.end:
            start, end = min(last.start, mark.start), max(last.end, mark.end)
            last = _Mark(start, end, (*last.changes, *mark.changes))
            continue
        if last is not None:
            yield last
        last = mark
    if last is not None:
        yield last


def _trimmed(mark: _Mark, text: str) -> tuple[int, int, str]:
    """Where it begins and ends and what may stand there, without the white space that both have at an end."""
    before, after = text[mark.start : mark.end], mark.after(text)
    head = _shared(before, after)
    before, after = before[head:], after[head:]
    tail = _shared(before[::-1], after[::-1])
    return mark.start + head, mark.end - tail, after[: len(after) - tail]


def _shared(one: str, other: str) -> int:
    """White space that both begin with; some of each is left."""
    same = one[: common(one, other)]
    return min(len(same) - len(same.lstrip()), max(0, len(one) - 1))


_AROUND = 40
"""Characters of context on each side, as LanguageTool gives them."""


def _match(text: Annotated, mark: _Mark, found: Sequence[tuple[int, int]]) -> wire.Match | None:
    first, last, after = _trimmed(mark, text.read)
    place = text.within(first, last)
    if place is None:
        return None  # markup stands in it
    start, end = place
    change = mark.changes[0]
    own = RULES[change.kind]
    return wire.Match(
        message=_message(text.sent[start:end], after, change),
        shortMessage=own.short,
        replacements=[wire.Replacement(value=after)],
        offset=text.units(0, start),
        length=text.units(start, end),
        context=_context(text, start, end),
        sentence=next((text.read[a:b] for a, b in found if a <= first < b), ""),
        type=wire.Type(typeName=own.type),
        rule=wire.Rule(
            id=own.id,
            description=own.description,
            issueType=own.issue,
            category=wire.Category(id=own.category, name=own.category_name),
        ),
    )


def _message(before: str, after: str, change: Change) -> str:
    said = f"{RULES[change.kind].description}: “{after.strip()}” instead of “{before.strip()}”."
    return said if change.verdict is Verdict.TAKEN else f"{said} {change.message}"


def _context(text: Annotated, start: int, end: int) -> wire.Context:
    first, last = max(0, start - _AROUND), min(len(text.sent), end + _AROUND)
    head = "..." if first else ""
    tail = "..." if last < len(text.sent) else ""
    around = re.sub(r"[\r\n\t]", " ", text.sent[first:last])
    return wire.Context(
        text=f"{head}{around}{tail}", offset=len(head) + text.units(first, start), length=text.units(start, end)
    )


def ranges(text: Annotated) -> list[tuple[int, int]]:
    """Where the sentences stand in what was sent."""
    return [text.around(start, end) for start, end in sentences(text.read)]
