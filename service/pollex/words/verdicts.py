"""What becomes of one change: its kind, and whether it is taken, offered or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pollex.words.align import Edit, joined
from pollex.words.changes import Change, Kind, Reason, Verdict
from pollex.words.faithful import QUESTIONS, Part, scripts
from pollex.words.options import Options
from pollex.words.relations import (
    ASKING,
    NUMBERS,
    SMALL,
    Relation,
    inflected,
    negates,
    opposite,
    persons,
    relation,
    small,
)
from pollex.words.tokens import Sort, Token

_MARKS = frozenset("\"'“”„«»‘’`")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change before its verdict."""

    part: Part
    edit: Edit
    start: int
    end: int
    before: str
    after: str
    gone: Sequence[Token]
    come: Sequence[Token]
    lines: bool
    """Whether it would join, split or bring lines."""

    def beginning(self, start: int) -> Proposal:
        """The same with its first blanks left to what stands before."""
        return replace(self, start=start, before=self.before[start - self.start :])


_LEAST = frozenset({Kind.SPELLING, Kind.PUNCTUATION, Kind.CAPITALS, Kind.GRAMMAR})
_TAKES = {
    "correct": _LEAST,
    "polish": _LEAST | {Kind.WORDING},
    "shorten": _LEAST | {Kind.WORDING, Kind.DELETION},
    "formal": _LEAST | {Kind.WORDING, Kind.INSERTION},
    "plain": _LEAST | {Kind.WORDING, Kind.DELETION},
}
"""The kinds of change that a mode is for."""


def verdicts(run: Sequence[Proposal], options: Options, odds: Sequence[float | None]) -> list[Change]:
    """The changes that the proposals of a run are; between two of a run nothing of the author's stayed.

    What only makes sense beside words that come or go shares their verdict: signs, capitals, and everything that was
    put in the place of something protected.
    """
    changes = [verdict(proposal, options, odd) for proposal, odd in zip(run, odds, strict=True)]
    places = [c for c in changes if c.reason in _PLACES]
    leads = [
        (p, c)
        for p, c in zip(run, changes, strict=True)
        if c.verdict is not Verdict.TAKEN and not (p.gone and p.come) and c.kind not in _SIGNS
    ]
    for i, (proposal, change) in enumerate(zip(run, changes, strict=True)):
        if change.verdict is not Verdict.TAKEN:
            continue
        lead = next((c for p, c in leads if _follows(proposal, change.kind, p)), None)
        if change.kind is Kind.CAPITALS:
            ended = (c for p, c in zip(run[:i], changes, strict=False) if c.verdict is not Verdict.TAKEN and _ends(p))
            lead = next(ended, lead)
        if places and not proposal.gone:
            lead = places[0]
        if lead is not None:
            changes[i] = replace(change, verdict=lead.verdict, reason=lead.reason)
    return changes


_SIGNS = frozenset({Kind.PUNCTUATION, Kind.CAPITALS})
_PLACES = frozenset({Reason.PROTECTED, Reason.NUMBER, Reason.KEPT_WORD})


def _follows(proposal: Proposal, kind: Kind, lead: Proposal) -> bool:
    """Whether a change makes no sense without words that come or go beside it."""
    if kind is Kind.CAPITALS:
        return lead.edit.i1 == proposal.part.start and lead.edit.i2 == proposal.edit.i1
    return kind is Kind.PUNCTUATION or _exchanges(proposal, kind)


def _ends(proposal: Proposal) -> bool:
    """Whether a sentence would end there."""
    return any(token.text in _ENDS for token in proposal.come)


def _exchanges(proposal: Proposal, kind: Kind) -> bool:
    """Whether small words come, go or are exchanged, rather than take another form."""
    if kind is not Kind.GRAMMAR:
        return False
    gone, come = _words(proposal.gone), _words(proposal.come)
    return not gone or not come or (small(gone[0], come[0]) and not inflected(gone[0], come[0]))


def verdict(proposal: Proposal, options: Options, odds: float | None) -> Change:
    """The change that a proposal is, by itself."""
    kind = kind_of(proposal)
    if (reason := _against(proposal)) is not None:
        return _change(proposal, kind, Verdict.REFUSED, reason)
    if kind not in _takes(options):
        return _change(proposal, kind, Verdict.OFFERED, Reason.BEYOND_MODE)
    if _strays(proposal, kind, options):
        return _change(proposal, kind, Verdict.REFUSED, Reason.MEANING)
    if _doubtful(proposal, kind) or (odds is not None and odds < options.sure):
        return _change(proposal, kind, Verdict.OFFERED, Reason.UNSURE)
    return _change(proposal, kind, Verdict.TAKEN, Reason.MODE)


def _takes(options: Options) -> frozenset[Kind]:
    """The kinds that the mode is for; a mode of the operator's own is judged like `polish`."""
    return _TAKES.get(options.mode, _TAKES["polish"])


def _strays(proposal: Proposal, kind: Kind, options: Options) -> bool:
    """Whether a change of words, not of their forms, stands in a part that says something else."""
    related = options.related * (_SHORTER if Kind.DELETION in _takes(options) else 1)
    if proposal.part.recall >= related or not proposal.part.strays:
        return False
    return kind not in _LEAST or _exchanges(proposal, kind)


_SHORTER = 0.6
"""What the threshold is multiplied with where words are meant to go."""


def _change(proposal: Proposal, kind: Kind, verdict: Verdict, reason: Reason) -> Change:
    place = (proposal.start, proposal.end, proposal.before, proposal.after)
    return Change(*place, kind, verdict, reason)


def kind_of(proposal: Proposal) -> Kind:
    """What a change is about."""
    gone, come = _words(proposal.gone), _words(proposal.come)
    if not gone and not come:
        return Kind.PUNCTUATION
    if [token.key for token in proposal.gone] == [token.key for token in proposal.come]:
        return Kind.CAPITALS
    if joined(proposal.gone, proposal.come):
        return Kind.SPELLING
    if len(gone) == len(come) == 1:
        return _KINDS[relation(gone[0], come[0])]
    little = max(len(gone), len(come)) <= _FEW and not any(map(_proper, proposal.come))
    if (little and all(word in SMALL for word in (*gone, *come))) or _repeated(proposal):
        return Kind.GRAMMAR
    return Kind.WORDING if gone and come else Kind.DELETION if gone else Kind.INSERTION


_KINDS = {
    Relation.CAPITALS: Kind.CAPITALS,
    Relation.SPELLING: Kind.SPELLING,
    Relation.GRAMMAR: Kind.GRAMMAR,
    Relation.NONE: Kind.WORDING,
}


def _words(of: Sequence[Token]) -> list[str]:
    return [token.key for token in of if token.sort is not Sort.SIGN]


_FEW = 2
"""Small words that a correction puts in or takes out at a place."""


def _proper(token: Token) -> bool:
    """Whether a small word is written like a name or an abbreviation."""
    return token.text.isupper() and len(token.text) > 1


def _repeated(proposal: Proposal) -> bool:
    """Whether a word is taken out that stands there twice."""
    part, edit = proposal.part, proposal.edit
    beside = [*part.mine[edit.i1 - 1 : edit.i1], *part.mine[edit.i2 : edit.i2 + 1]]
    around = [token.key for token in beside]
    return len(proposal.gone) == 1 and not proposal.come and proposal.gone[0].key in around


def _against(proposal: Proposal) -> Reason | None:
    """Why a change is refused whatever the mode, or None."""
    for token in (*proposal.gone, *proposal.come):
        if token.fixed:
            return _FIXED.get(token.sort, Reason.PROTECTED)
    return next((reason for rule, reason in _RULES if rule(proposal)), None)


_FIXED = {Sort.KEPT: Reason.KEPT_WORD, Sort.NUMBER: Reason.NUMBER}


def _foreign(proposal: Proposal) -> bool:
    """Whether it would bring letters of another writing system."""
    return not scripts("".join(_words(proposal.come))) <= proposal.part.scripts


def _counts(proposal: Proposal) -> bool:
    """Whether another number would stand there, in words."""
    gone, come = _words(proposal.gone), _words(proposal.come)
    counted = Counter(w for w in gone if w in NUMBERS) != Counter(w for w in come if w in NUMBERS)
    return counted or (come == ["one"] and gone in (["a"], ["an"]))


def _denies(proposal: Proposal) -> bool:
    """Whether it would say the contrary."""
    gone, come = _words(proposal.gone), _words(proposal.come)
    turned = len(gone) == len(come) == 1 and opposite(gone[0], come[0])
    return turned or sum(map(negates, gone)) != sum(map(negates, come))


def _asks(proposal: Proposal) -> bool:
    """Whether a question becomes none, or a statement becomes one."""
    gone = any(token.text in QUESTIONS for token in proposal.gone)
    come = any(token.text in QUESTIONS for token in proposal.come)
    words = [word for word in _words(proposal.gone) if word in ASKING]
    return (gone != come and bool(proposal.gone)) or (bool(words) and not proposal.come)


def _unended(proposal: Proposal) -> bool:
    """Whether a sentence would lose its end."""
    return not proposal.come and any(token.text in _ENDS for token in proposal.gone)


_ENDS = frozenset(".!…。！") | {"..."}


def _others(proposal: Proposal) -> bool:
    """Whether somebody else would be meant."""
    gone, come = _words(proposal.gone), _words(proposal.come)
    return len(gone) == len(come) == 1 and persons(gone[0], come[0])


def _named(proposal: Proposal) -> bool:
    """Whether a name goes, or becomes another one."""
    first = next(
        (i for i in range(proposal.part.start, proposal.part.end) if proposal.part.mine[i].sort is Sort.WORD), None
    )
    come = _words(proposal.come)
    for offset, token in enumerate(proposal.gone):
        i = proposal.edit.i1 + offset
        if token.sort is not Sort.WORD or not token.text[:1].isupper() or token.key in SMALL or token.key == "i":
            continue
        if token.key in come or _calendar(token.key, come):
            continue
        if i != first or not proposal.come:
            return True
        if len(token.key) < 5 and not any(word in SMALL for word in come):  # noqa: PLR2004 - Ann, Anna
            return True
    return False


_CALENDAR = frozenset(
    word
    for line in (
        "monday tuesday wednesday thursday friday saturday sunday january february march april june july august",
        "september october november december english german french spanish american british european christmas",
    )
    for word in line.split()
)
"""Words with a capital that are no names."""


def _calendar(key: str, come: Sequence[str]) -> bool:
    """Whether a misspelled day, month or language is mended."""
    return any(word in _CALENDAR and relation(key, word) is Relation.SPELLING for word in come)


def _doubtful(proposal: Proposal, kind: Kind) -> bool:
    """What is right more often than wrong, but not by far: a capital in the middle of a sentence that goes."""
    if kind is not Kind.CAPITALS:
        return False
    lowered = proposal.before[0].isupper() and proposal.after[0].islower()
    return lowered and proposal.edit.i1 != proposal.part.start


def _quotes(proposal: Proposal) -> bool:
    """Whether it is only about quotation marks, which say who speaks."""
    signs = [*proposal.gone, *proposal.come]
    return bool(signs) and all(token.text in _MARKS for token in signs)


_RULES = (
    (lambda proposal: proposal.lines, Reason.LINES),
    (_foreign, Reason.LANGUAGE),
    (_counts, Reason.NUMBER),
    (_denies, Reason.NEGATION),
    (_asks, Reason.QUESTION),
    (_named, Reason.NAME),
    (_unended, Reason.SENTENCES),
    (_others, Reason.MEANING),
    (_quotes, Reason.MEANING),
)
"""What no mode takes; the first that is true is the reason."""
