"""Whether an answer, or the part of it that stands for a sentence, still says what the author says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from pollex.words.changes import Reason
from pollex.words.clean import alike, bag
from pollex.words.options import Options
from pollex.words.relations import SMALL, opposite, person, related, tongue
from pollex.words.tokens import Sort, Token, tokens

_LONG = 4
"""Letters from which a word counts as one of the longer ones."""
QUESTIONS = frozenset("?？؟")


@dataclass(frozen=True)
class Part:
    """A sentence or a line of the author's, the tokens `start` to `end` of his text, and what stands for it."""

    mine: Sequence[Token]
    theirs: Sequence[Token]
    start: int
    end: int
    text: str

    @cached_property
    def own(self) -> Sequence[Token]:
        """The author's tokens."""
        return self.mine[self.start : self.end]

    @cached_property
    def said(self) -> tuple[list[str], list[str]]:
        """The author's words and the answer's."""
        return words(self.own), words(self.theirs)

    @cached_property
    def scripts(self) -> frozenset[str]:
        """The writing systems of the author's words."""
        return scripts("".join(self.said[0]))

    @cached_property
    def tongue(self) -> int | None:
        """The language of the author's words, where they tell."""
        return tongue(self.said[0])

    @cached_property
    def persons(self) -> tuple[frozenset[str], frozenset[str]]:
        """Whom the author means, and whom the answer does: I, you, he, she, we."""
        mine, theirs = (frozenset(who for word in said if (who := person(word))) for said in self.said)
        return mine, theirs

    @cached_property
    def recall(self) -> float:
        """Share of the author's longer words that have a close relative in the answer."""
        return _share(self.own, self.theirs)

    @cached_property
    def strays(self) -> bool:
        """Whether more than one of the author's longer words has no relative, and more than the threshold allows."""
        count = len(longer(self.said[0]))
        return (1 - self.recall) * count > 1 or (count < _LONG and self.recall < 1)

    @cached_property
    def precision(self) -> float:
        """Share of the answer's longer words that have a close relative in the author's."""
        return _share(self.theirs, self.own)

    @cached_property
    def asks(self) -> bool:
        """Whether the author asks a question."""
        return any(token.text in QUESTIONS for token in self.own[-3:])

    @cached_property
    def asked(self) -> bool:
        """Whether the answer's part still is one."""
        return any(token.text in QUESTIONS for token in self.theirs)


def words(of: Sequence[Token]) -> list[str]:
    """The keys of the words among tokens."""
    return [token.key for token in of if token.sort is Sort.WORD and token.key[0].isalpha()]


def longer(of: Sequence[str]) -> list[str]:
    """Those that carry the meaning: long ones, or all where there is no long one."""
    return (
        [word for word in of if len(word) >= _LONG and word not in SMALL]
        or [word for word in of if len(word) >= _LONG or word not in SMALL]
        or list(of)
    )


def _share(of: Sequence[Token], among: Sequence[Token]) -> float:
    wanted = longer(words(of))
    if not wanted:
        return 1.0
    pool = list(dict.fromkeys([*words(among), *_inner(among)]))
    seen = set(pool)
    run = "".join(pool)
    hits = sum(
        word in seen
        or any(related(word, other) or opposite(word, other) for other in pool)
        or (len(word) > _LONG and word in run)
        for word in wanted
    )
    return hits / len(wanted)


def _inner(of: Sequence[Token]) -> list[str]:
    """The words inside links, code and the like."""
    return [word for token in of if token.sort is Sort.ATOM for word in _WORD.findall(token.key)]


_WORD = re.compile(r"[^\W\d_]{2,}")


def part_reason(part: Part, options: Options) -> Reason | None:
    """Why a part stays as it was, or None where its changes can be judged one by one."""
    own, theirs = part.said
    if not own:
        return None
    if not theirs:
        return Reason.DROPPED
    if _translated(own, theirs):
        return Reason.OTHER_LANGUAGE
    if part.recall < options.related / 2:
        return _instead(own, theirs, asks=part.asks and not part.asked)
    if part.asks and not part.asked and (own[0] != theirs[0] or len(theirs) < len(own)):
        return Reason.ANSWERED
    added = part.precision < _SOME and len(theirs) > len(own) + 3
    return Reason.ADDED if added or (_longer(own, theirs) and part.precision < options.related) else None


def _translated(own: Sequence[str], said: Sequence[str]) -> bool:
    """Whether the small words of an answer are those of another language."""
    mine, theirs = tongue(own), tongue(said)
    return mine is not None and theirs is not None and mine != theirs


def _longer(own: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether an answer is longer than any correction makes a text."""
    return len(theirs) > 2 * len(own) + 4


_REFUSALS = re.compile(
    r"\b(?:i(?:['’]m| am) (?:sorry|unable|not able)|i (?:can(?:no|['’])t|am unable|won['’]t)|sorry,"
    r"|as an? (?:ai|language|assistant)|(?:es )?tut mir leid|ich kann (?:das|dies|ihnen)|désolée?|lo siento|mi dispiace"
    r"|als ki)\b|抱歉|对不起|申し訳",
    re.IGNORECASE,
)
_CHATS = re.compile(
    r"\A\W*(?:no (?:changes|corrections)|(?:the|this|your) (?:text|sentence|message) (?:is|looks|seems)|looks good|done"
    r"|ok(?:ay)?|sure|keine (?:änderung|fehler)\w*|der text ist|aucun\w* (?:modification|changement|correction)s?)\b",
    re.IGNORECASE,
)
"""Both only name what is wrong with an answer that has too little in common with the text; they never decide it."""
_SOME = 0.5
_CHANCE = 0.2
"""Share of words that two texts have in common by chance."""


def whole_reason(mine: Sequence[Token], theirs: Sequence[Token], answer: str) -> Reason | None:
    """Why a whole answer counts for nothing, or None."""
    own, said = words(mine), words(theirs)
    if not own or alike(bag(mine), bag(theirs)) >= _SOME:
        return None
    share = _share(mine, theirs) if said else 0.0
    if share >= _SOME and (_share(theirs, mine) >= 1 / 3 or (len(own) > 3 and not _longer(own, said))):  # noqa: PLR2004
        return None  # the rest is for the parts to say
    text = " ".join(token.text for token in mine)
    for form, reason in ((_REFUSALS, Reason.REFUSAL), (_CHATS, Reason.CHAT)):
        if form.search(answer[:400]) and not form.search(text):
            return reason
    said = said or words(tokens(answer))
    if not said:
        return Reason.EMPTY
    asks = any(token.text in QUESTIONS for token in mine)
    return None if share >= _CHANCE else _instead(own, said, asks=asks)


def _instead(own: Sequence[str], said: Sequence[str], *, asks: bool) -> Reason:
    """What an answer is that has next to nothing of the author's words."""
    if not scripts("".join(said)) <= scripts("".join(own)) or _translated(own, said):
        return Reason.OTHER_LANGUAGE
    if asks:
        return Reason.ANSWERED
    if _longer(own, said):
        return Reason.ADDED
    few = 3 * len(said) < len(own) and 2 * len(set(said) & set(own)) >= len(set(said))
    return Reason.DROPPED if few else Reason.UNRELATED


@lru_cache(maxsize=2048)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "?").split(" ")[0]
    return "CJK" if name in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO") else name


def scripts(letters: str) -> frozenset[str]:
    """The writing systems in which letters are written."""
    if letters.isascii():
        return frozenset({"LATIN"}) if letters else frozenset()
    return frozenset(_script(letter) for letter in set(letters) if letter.isalpha())
