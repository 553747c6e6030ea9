"""What becomes of one change: its kind, and whether it is taken, offered or refused."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from pollex.words.align import Edit, joined
from pollex.words.changes import Change, Kind, Reason, Verdict
from pollex.words.faithful import QUESTIONS, Part, scripts
from pollex.words.options import Options
from pollex.words.relations import (
    ASKING,
    ENGLISH,
    NUMBERS,
    SMALL,
    Relation,
    alien,
    asks,
    inflected,
    negates,
    opposite,
    person,
    persons,
    relation,
    shifts,
    small,
    twins,
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
        if c.verdict is not Verdict.TAKEN and c.kind not in _SIGNS and (not (p.gone and p.come) or _weighs(c))
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
        if change.kind is Kind.GRAMMAR:
            lead = _agrees(proposal, run, changes) or lead
        if lead is not None:
            changes[i] = replace(change, verdict=lead.verdict, reason=lead.reason)
    return changes


def _weighs(change: Change) -> bool:
    """Whether small words in it say something else, so that the signs beside it may."""
    return change.kind is Kind.GRAMMAR and change.verdict is Verdict.OFFERED and change.reason is Reason.MEANING


def _agrees(of: Proposal, run: Sequence[Proposal], changes: Sequence[Change]) -> Change | None:
    """A refused change beside a word with which its form agrees: 3 cats → a cat, you are → I am."""
    counted = any(token.sort is Sort.NUMBER or token.key in NUMBERS for proposal in run for token in proposal.come)
    strays = of.part.strays and not any(token.fixed for proposal in run for token in proposal.gone)
    for change, proposal in zip(changes, run, strict=True):
        if change.verdict is not Verdict.REFUSED or change.kind in _SIGNS:
            continue
        somebody = any(person(word) is not None for word in _words([*proposal.gone, *proposal.come]))
        other = change.reason is Reason.MEANING and (somebody or (strays and change.kind is Kind.WORDING))
        if other or (change.reason is Reason.NUMBER and not counted):
            return change
    return None


def settled(pairs: Sequence[tuple[Proposal, Change]], kept: Collection[int]) -> list[Change]:
    """The changes of a whole answer with what they owe to others far from them.

    A word that moves comes and goes, or neither. A sign at a sentence's end stays where what follows does: `kept` are
    the tokens at which the parts begin that stay as they were.
    """
    changes = [change for _, change in pairs]
    again = True
    while again:
        again = False
        for i, (proposal, _) in enumerate(pairs):
            if changes[i].verdict is not Verdict.TAKEN:
                continue
            lead = _moved(proposal, pairs, changes) or _beyond(i, pairs, changes, kept)
            if lead is not None:
                changes[i] = replace(changes[i], verdict=lead[0], reason=lead[1])
                again = True
    return changes


def _moved(
    proposal: Proposal, pairs: Sequence[tuple[Proposal, Change]], changes: Sequence[Change]
) -> tuple[Verdict, Reason] | None:
    """What became of the other end of a word's move, if it did not come about."""
    come, gone = _new(proposal.come, proposal.gone), _new(proposal.gone, proposal.come)
    if not come and not gone:
        return None
    for (other, _), change in zip(pairs, changes, strict=True):
        stays = change.verdict is not Verdict.TAKEN
        if stays and (come & _new(other.gone, other.come) or gone & _new(other.come, other.gone)):
            return change.verdict, change.reason
    return None


def _new(of: Sequence[Token], beside: Sequence[Token]) -> Counter[str]:
    """Words that say something by themselves, of one side of a change only."""
    words = Counter(_words(of)) - Counter(_words(beside))
    return Counter({w: n for w, n in words.items() if w not in SMALL or w in _PARTICLES or person(w) is not None})


_PARTICLES = frozenset({"up", "down", "out", "off", "over", "away", "back"})
"""Small words that belong to a verb: make something up, make up something."""


def _beyond(
    i: int, pairs: Sequence[tuple[Proposal, Change]], changes: Sequence[Change], kept: Collection[int]
) -> tuple[Verdict, Reason] | None:
    """Why the sign at the end of a part stays: what follows it is not changed as it would have to be."""
    proposal, end = pairs[i][0], pairs[i][0].part.end
    if changes[i].kind is not Kind.PUNCTUATION or not proposal.gone or proposal.edit.i2 != end:
        return None
    follows = next((j for j in range(i + 1, len(pairs)) if pairs[j][0].part.start >= end), None)
    touches = follows is not None and pairs[follows][0].edit.i1 == end and changes[follows].verdict is not Verdict.TAKEN
    return (Verdict.REFUSED, Reason.SENTENCES) if touches or end in kept else None


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
    if (kind is Kind.GRAMMAR and _says_else(proposal)) or (kind is Kind.WORDING and _other_word(proposal, options)):
        return _change(proposal, kind, Verdict.OFFERED, Reason.MEANING)
    if _doubtful(proposal, kind) or (odds is not None and odds < options.sure):
        return _change(proposal, kind, Verdict.OFFERED, Reason.UNSURE)
    return _change(proposal, kind, Verdict.TAKEN, Reason.MODE)


def _other_word(proposal: Proposal, options: Options) -> bool:
    """Whether a word that carries meaning becomes one that is not even spelt alike: sister, brother.

    Nothing tells whether both say the same. How sure the model was does not: it is as sure of the one as of the other.
    """
    come = _words(proposal.come)
    gone = [word for word in _words(proposal.gone) if word not in SMALL and len(word) > 1]
    return options.mode not in _REWORDING and any(not any(_spelt_alike(word, other) for other in come) for word in gone)


_REWORDING = frozenset({"shorten", "formal", "plain"})
"""Modes that are for saying it in other words."""


def _spelt_alike(mine: str, theirs: str) -> bool:
    """Whether a word may be what the author meant to write: restorant, restaurant."""
    if relation(mine, theirs) is not Relation.NONE:
        return True
    return mine[0] == theirs[0] and SequenceMatcher(None, mine, theirs, autojunk=False).ratio() >= _ALIKE


_ALIKE = 0.7


def _says_else(proposal: Proposal) -> bool:
    """Whether small words come, go or are exchanged that carry meaning, or somebody is left out."""
    gone, come = _words(proposal.gone), _words(proposal.come)
    if _repeated(proposal) or (come and not all(word in SMALL for word in gone)):
        return False
    out = {who for word in gone if (who := person(word))} - {who for word in come if (who := person(word))}
    return shifts(gone, come) or bool(out - proposal.part.persons[1])


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


def _marks(proposal: Proposal) -> bool:
    """Whether brackets of markup come, or a sign goes or comes that means something: €, =, §, /."""
    gone, come = Counter(t.text for t in proposal.gone), Counter(t.text for t in proposal.come)
    return any(sign in _BRACKETS for sign in come - gone) or any(
        len(sign) == 1 and (sign in _TELLING or unicodedata.category(sign) in ("Sc", "Sm", "So"))
        for sign in (gone - come) + (come - gone)
    )


_BRACKETS = frozenset("[]{}<>")
_TELLING = frozenset("%&§/\\@#|‰°†‡¶")
_FIXED = {Sort.KEPT: Reason.KEPT_WORD, Sort.NUMBER: Reason.NUMBER}


def _foreign(proposal: Proposal) -> bool:
    """Whether it would bring letters of another writing system, or small words of another language."""
    come = _words(proposal.come)
    strange = not scripts("".join(come)) <= proposal.part.scripts
    return strange or any(alien(word, proposal.part.tongue) for word in come)


def _counts(proposal: Proposal) -> bool:
    """Whether another number would stand there, in words."""
    gone, come = _words(proposal.gone), _words(proposal.come)
    counted = Counter(w for w in gone if w in NUMBERS) != Counter(w for w in come if w in NUMBERS)
    days = [w for w in gone if w in _DAYS], [w for w in come if w in _DAYS]
    if all(days) and set(days[0]) != set(days[1]):
        return True
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
    part = proposal.part
    if come and not gone and part.tongue == ENGLISH and not asks(part.said[0]):
        return True
    return (gone != come and bool(proposal.gone)) or (bool(words) and not proposal.come)


def _unended(proposal: Proposal) -> bool:
    """Whether a sentence would lose its end."""
    return not proposal.come and any(token.text in _ENDS for token in proposal.gone)


_ENDS = frozenset(".!…。！") | {"..."}


def _others(proposal: Proposal) -> bool:
    """Whether somebody else would be meant."""
    gone, come = _words(proposal.gone), _words(proposal.come)
    if len(gone) == len(come) == 1 and (persons(gone[0], come[0]) or twins(gone[0], come[0])):
        return True
    mine, theirs = proposal.part.persons
    new = {who for word in come if (who := person(word))} - mine
    return bool(new) and bool(mine - theirs)


def _named(proposal: Proposal) -> bool:
    """Whether a name goes, or becomes another one."""
    first = next(
        (i for i in range(proposal.part.start, proposal.part.end) if proposal.part.mine[i].sort is Sort.WORD), None
    )
    come = _words(proposal.come)
    if _introduces(proposal):
        return True
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


def _introduces(proposal: Proposal) -> bool:
    """Whether a name comes that the author did not write there, not even misspelled."""
    gone = _words(proposal.gone)
    names = [t for t in proposal.come if t.sort is Sort.WORD and t.text[:1].isupper() and t.key not in SMALL]
    if not names or proposal.edit.i1 == proposal.part.start:
        return False
    return any(
        token.key not in _CALENDAR and not any(relation(word, token.key) is not Relation.NONE for word in gone)
        for token in names
        if token.key != "i" and not token.key.startswith("i'")
    )


_DAYS = frozenset(
    word
    for line in (
        "monday tuesday wednesday thursday friday saturday sunday january february march april june july august",
        "september october november december",
    )
    for word in line.split()
)
_CALENDAR = _DAYS | {"english", "german", "french", "spanish", "american", "british", "european", "christmas"}
"""Words with a capital that are no names."""


def _calendar(key: str, come: Sequence[str]) -> bool:
    """Whether a misspelled day, month or language is mended."""
    return any(word in _CALENDAR and relation(key, word) is Relation.SPELLING for word in come)


def _doubtful(proposal: Proposal, kind: Kind) -> bool:
    """What is right more often than wrong, but not by far: a capital in the middle of a sentence that goes."""
    if kind is not Kind.CAPITALS:
        return False
    if proposal.edit.i1 == proposal.part.start:
        return False
    lowered = proposal.before[0].isupper() and proposal.after[0].islower()
    return lowered or (proposal.after[0].isupper() and _titled(proposal.part))


def _titled(part: Part) -> bool:
    """Whether an answer is written like a title, and the author's sentence is not."""
    mine, theirs = (_raised(tokens) for tokens in (part.own, part.theirs))
    return theirs >= _LIKE_A_TITLE and mine < _LIKE_A_TITLE


def _raised(of: Sequence[Token]) -> float:
    """Share of the words after the first that begin with a capital."""
    words = [token for token in of if token.sort is Sort.WORD][1:]
    return sum(token.text[:1].isupper() for token in words) / len(words) if words else 0.0


_LIKE_A_TITLE = 0.5


def _quotes(proposal: Proposal) -> bool:
    """Whether it is only about quotation marks, which say who speaks."""
    signs = [*proposal.gone, *proposal.come]
    return bool(signs) and all(token.text in _MARKS for token in signs)


_RULES = (
    (lambda proposal: proposal.lines, Reason.LINES),
    (_marks, Reason.PROTECTED),
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
