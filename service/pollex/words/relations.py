"""How two words are related: a slip of the pen, another form of the same word, another small word, or not at all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache
from itertools import pairwise


class Relation(Enum):
    """Of an author's word to the model's."""

    CAPITALS = 1
    SPELLING = 2
    GRAMMAR = 3
    NONE = 4


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(text: str) -> dict[str, str]:
    """Each word of a line → the line's first."""
    return {word: line.split()[0] for line in text.strip().splitlines() for word in line.split()}


_NO_VERBS = _set(
    """
    be can will may good bad much little man woman child person foot tooth mouse life this he she it they we i you who a
    to then other some if
    """
)
"""First words of the lines below that are no verbs with a past of their own form."""
_FORMS = _table(
    """
    be am is are was were been being isn't aren't wasn't weren't 's 're 'm
    have has had having haven't hasn't hadn't
    do does did done doing don't doesn't didn't dont doesnt didnt
    can could can't couldn't cannot cant
    will would won't wouldn't shall should shouldn't
    may might must
    go goes went gone going
    good better best well
    bad worse worst badly
    much many more most lot lots
    little less least few fewer
    begin began begun beginning
    break broke broken
    bring brought brang
    build built builded
    buy bought buyed
    catch caught catched
    choose chose chosen choosed
    come came comes coming
    cost costed
    cut cutted
    draw drew drawn
    drink drank drunk
    drive drove driven
    eat ate eaten
    fall fell fallen
    feel felt feeled
    fight fought
    find found finded
    fly flew flown
    forget forgot forgotten forgeted forgetted
    get got gotten getting
    give gave given
    grow grew grown
    hear heard
    hold held
    keep kept keeped
    know knew known knowed
    lead led leaded
    leave left leaved
    let lets
    lose lost loosing losing loose
    make made making maked
    mean meant
    meet met meeting
    pay paid payed
    read reads
    ride rode ridden
    ring rang rung
    rise rose risen
    run ran running runned
    say said sayd sayed
    see saw seen seeing
    sell sold selled
    send sent sended
    shake shook shaken
    show shown showed
    sing sang sung
    sit sat sitting
    sleep slept sleeped
    speak spoke spoken
    spend spent spended
    stand stood
    steal stole stolen
    swim swam swum
    take took taken taked
    teach taught teached
    tell told telled
    think thought thinked
    throw threw thrown throwed
    understand understood
    wake woke woken
    wear wore worn
    win won winned
    write wrote written writing writed
    man men mans
    woman women womans
    child children childs childrens
    person people persons peoples
    foot feet
    tooth teeth
    mouse mice
    life lives
    this these that those
    he him his himself
    she her hers herself
    it its it's itself
    they them their theirs themselves there they're
    we us our ours ourselves
    i me my mine myself
    you your yours yourself you're
    who whom whose who's which that
    a an the
    to too two
    then than
    other others another
    any some
    if whether
    """
)
"""Forms that the rules below do not see, learners' own among them."""
_REAL = _set("bed seed doed haved maked")
"""What looks like a verb with a regular ending that it does not have, and is a word of its own, or stands above."""


def _regular(verb: str) -> Iterator[str]:
    """How a learner forms the past of an irregular verb: goed, gived, runned."""
    yield f"{verb}d" if verb.endswith("e") else f"{verb}ed"
    yield f"{verb}{verb[-1]}ed"


_FORMS |= {
    form: base
    for base in dict.fromkeys(_FORMS.values())
    if base.isalpha() and base not in _NO_VERBS
    for form in _regular(base)
    if form not in _FORMS and form not in _REAL
}
_SMALL = (
    _set(
        """
        a an the this that these those some any no every each all both either neither
        i me my mine you your yours he him his she her hers it its we us our ours they them their theirs
        myself yourself himself herself itself ourselves themselves one ones who whom whose which what
        am is are was were be been being do does did have has had having will would shall should can could may might
        must to of in on at by for from with without about as into onto over under between among through during before
        after since until against within along across behind beside beyond near off out up down around
        and or but nor so yet if because although though while when where whether than then unless
        not n't don't doesn't didn't isn't aren't wasn't weren't haven't hasn't hadn't won't wouldn't can't couldn't
        shouldn't there here also too very much many more most just only even still already again ever now how why
        it's i'm you're we're they're he's she's that's there's let's i've you've we've they've i'd i'll
        """
    ),
    _set(
        """
        der die das den dem des ein eine einen einem einer eines und oder aber in im an am auf zu zum zur von vom mit
        für bei nach aus um ist sind war waren hat haben wird werden nicht es er sie ich du wir ihr sich dass als wenn
        wie so auch nur noch
        """
    ),
    _set(
        """
        le la les l un une des du de d et ou mais à au aux en dans sur pour par avec sans est sont a ont il elle ils
        elles je tu nous vous on se ce cet cette ces que qui ne pas
        """
    ),
    _set("el la los las un una unos unas y o pero de del en con por para sin es son ha han lo su sus que se no al"),
)
"""By language."""
SMALL = frozenset[str]().union(*_SMALL)
"""Words that a correction may put in, take out or exchange without another meaning."""
ENGLISH = 0
"""The language whose forms the table above holds, as `tongue` counts."""
_BEARING = _table(
    """
    and
    or
    but
    so therefore
    because
    if whether
    unless
    although though
    before
    after
    until till
    all every each both
    many much lot lots
    more
    most
    few
    can could
    may might
    must
    should shall
    only just
    still
    already
    again
    even
    """
)
"""Small words that carry meaning: one of a line in the place of another line's says something else."""
_LIGHT = _set("and so many more can")
"""First words of those lines that a correction may put in or take out."""
_CONTRARY = frozenset(
    frozenset(pair.split("/"))
    for pair in _set(
        """
        to/from in/out into/out on/off up/down over/under for/against before/after above/below with/against mit/ohne
        vor/nach auf/unter avant/après sur/sous antes/después
        """
    )
)
"""Pairs of which one is no correction of the other."""
_TWINS = frozenset(
    frozenset(pair.split("/"))
    for pair in _set(
        """
        increase/decrease import/export internal/external include/exclude interior/exterior implicit/explicit
        inner/outer inward/outward father/mother brother/mother hire/fire employer/employee trainer/trainee payer/payee
        inhale/exhale ascend/descend former/latter upper/lower major/minor ascending/descending inclusive/exclusive
        implode/explode emigrate/immigrate emigration/immigration maximum/minimum maximal/minimal plus/minus
        input/output upload/download online/offline inbound/outbound north/south
        """
    )
)
"""Words that are spelt alike and say another thing, so that one is no slip of the other."""
ASKING = _set(
    """
    who whom whose what when where why how which wer wen wem wessen was wann wo wohin woher warum wieso wie welche
    welcher welches qui quoi quand où pourquoi comment combien quel quelle quién qué cuándo dónde cómo cuánto cuál
    """
)
_PERSONS = _table(
    """
    i me my mine myself i'm i've i'll
    you your yours yourself you're you've
    he him his himself he's
    she her hers herself she's
    we us our ours ourselves we're we've
    """
)
NUMBERS = _set(
    """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half twice dozen
    zwei drei vier fünf sechs sieben acht neun zehn elf zwölf hundert tausend
    deux trois quatre cinq sept huit neuf dix cent mille dos tres cuatro cinco seis siete ocho nueve diez cien mil
    """
)
_NOT = re.compile(
    r"(?:not|never|no|none|nobody|nothing|nowhere|neither|nor|without|cannot|hardly|(?:.+n['’]t)|"
    r"(?:do|does|did|is|are|was|were|has|have|had|wo|would|could|should|ca)nt|"
    r"nicht|nichts|nie|niemals|niemand|kein\w*|ohne|weder|ne|n|pas|jamais|rien|aucune?|sans|ni|nunca|jamás|nada|nadie|sin|"
    r"non|mai|niente|senza|niet|geen|nooit|niks|não|nem|nigdy|inte|aldrig|ingen|ikke|не|нет|ни|никогда|"
    r"不|没|沒|无|無|未|别)"
)
_ENDINGS = tuple(
    (ending, "".join(instead))
    for ending, *instead in map(
        str.split, ("ies y", "ied y", "ying ie", "ing e", "ing", "es", "s", "ed", "d", "er", "est", "ly", "'s", "s'")
    )
) + tuple((ending, "") for ending in ("en", "n", "e", "r", "st", ""))
"""Endings, and what stands in their place in the stem."""
_STEM = 3
"""Letters that are left of a word without its ending."""


def inflected(mine: str, theirs: str) -> bool:
    """Whether both are known as forms of one word."""
    return _FORMS.get(mine, mine) == _FORMS.get(theirs, theirs)


def small(mine: str, theirs: str) -> bool:
    """Whether both are small words of one language."""
    return any(mine in words and theirs in words for words in _SMALL)


def shifts(gone: Sequence[str], come: Sequence[str]) -> bool:
    """Whether small words that come, go or are exchanged say something else than before."""
    one, other = (Counter(_BEARING[word] for word in words if word in _BEARING) for words in (gone, come))
    if not gone or not come:
        changed = set((one - other) | (other - one)) - _LIGHT
        return bool(changed)
    return one != other or any(frozenset(pair) in _CONTRARY for pair in zip(gone, come, strict=False))


def tongue(words: Sequence[str]) -> int | None:
    """The language of some words as far as their small words tell, as a number; None where they do not."""
    counts = [sum(word in small for word in words) for small in _SMALL]
    first, second = sorted(counts, reverse=True)[:2]
    return counts.index(first) if first > max(second, 1) else None


def alien(word: str, language: int | None) -> bool:
    """Whether a word is a small one of other languages only."""
    return language is not None and word in SMALL and word not in _SMALL[language]


def twins(mine: str, theirs: str) -> bool:
    """Whether two words are spelt alike and known to say another thing."""
    one, other = ({word, *_stems(word), *(f"{stem}e" for stem in _stems(word))} for word in (mine, theirs))
    return any(frozenset((a, b)) in _TWINS for a in one for b in other)


def asks(words: Sequence[str]) -> bool:
    """Whether English words can be a question: one that asks, or a verb before its subject."""
    return any(word in ASKING for word in words) or any(
        verb in _VERBS and subject in _SUBJECTS for verb, subject in pairwise(words)
    )


_VERBS = _set(
    """
    am is are was were do does did have has had can could will would shall should may might must isn't aren't wasn't
    weren't don't doesn't didn't haven't hasn't hadn't can't couldn't won't wouldn't shouldn't
    """
)
_SUBJECTS = _set(
    """
    i you he she it we they this that these those there anyone anybody someone somebody everyone everybody your my his
    her our their the a an
    """
)


def person(word: str) -> str | None:
    """Who a word means: I, you, he, she or we; None for all others."""
    return _PERSONS.get(word)


def persons(mine: str, theirs: str) -> bool:
    """Whether somebody else would be meant: I, you, he, she, we."""
    one, other = _PERSONS.get(mine), _PERSONS.get(theirs)
    return one is not None and other is not None and one != other


def negates(word: str) -> bool:
    """Whether a word (its key) says no."""
    return _NOT.fullmatch(word) is not None


@lru_cache(maxsize=8192)
def _stems(word: str) -> frozenset[str]:
    found = set()
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM:
            stem = word[: len(word) - len(ending)] + instead
            found |= {stem, stem[:-1]} if len(stem) > _STEM and stem[-1:] == stem[-2:-1] else {stem}
    return frozenset(found) or frozenset({word})


@lru_cache(maxsize=16384)
def relation(mine: str, theirs: str) -> Relation:
    """How the model's word (its key) is related to the author's."""
    if mine == theirs:
        return Relation.CAPITALS
    if mine.replace("'", "") == theirs.replace("'", ""):
        return Relation.SPELLING
    if inflected(mine, theirs) or small(mine, theirs) or _stems(mine) & _stems(theirs):
        return Relation.GRAMMAR
    if slips(mine, theirs) <= _allowed(min(len(mine), len(theirs))):
        return Relation.SPELLING
    return Relation.GRAMMAR if _derived(mine, theirs) else Relation.NONE


def _allowed(length: int) -> float:
    """Slips of the pen in a word of so many letters."""
    return 0 if length < 2 else 1 if length < 6 else 2 if length < 9 else 3  # noqa: PLR2004 - about a third of the letters


_OPPOSITES = ("un", "in", "im", "il", "ir", "dis", "non", "mis")


def opposite(mine: str, theirs: str) -> bool:
    """Whether one word is the other with a prefix that turns its meaning round."""
    short, long = sorted((mine, theirs), key=len)
    return any(long == prefix + short for prefix in _OPPOSITES) or any(
        len(short) > 5 and long.endswith(end) and short.endswith(other) and long[:3] == short[:3]  # noqa: PLR2004
        for end, other in (("less", "ful"), ("ful", "less"))
    )


def _derived(mine: str, theirs: str) -> bool:
    """Whether the words begin alike and differ in their endings: inform, information."""
    short = min(len(mine), len(theirs))
    same = 0
    while same < short and mine[same] == theirs[same]:
        same += 1
    return same >= 4 and same >= 0.6 * max(len(mine), len(theirs)) - 1  # noqa: PLR2004 - a stem


@lru_cache(maxsize=16384)
def slips(mine: str, theirs: str) -> int:
    """Letters put in, left out, exchanged or swapped on the way from one word to the other."""
    if abs(len(mine) - len(theirs)) > 3:  # noqa: PLR2004 - more than is ever allowed
        return 9
    before, last = list[int](), list(range(len(theirs) + 1))
    for i, a in enumerate(mine, 1):
        row = [i]
        for j, b in enumerate(theirs, 1):
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == theirs[j - 2] and mine[i - 2] == b:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, last = last, row
    return last[-1]


def related(mine: str, theirs: str) -> bool:
    """Whether the model's word is a close relative of the author's."""
    return relation(mine, theirs) is not Relation.NONE
