"""What a judgement consists of: changes with their verdicts and reasons, and the parts that stayed as they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Kind(StrEnum):
    """What a change is about."""

    SPELLING = "spelling"
    PUNCTUATION = "punctuation"
    CAPITALS = "capitals"
    GRAMMAR = "grammar"
    WORDING = "wording"
    DELETION = "deletion"
    INSERTION = "insertion"


class Verdict(StrEnum):
    """What became of a change."""

    TAKEN = "taken"
    OFFERED = "offered"
    """Shown, but not part of the polished text."""
    REFUSED = "refused"


class Reason(StrEnum):
    """Why a change has its verdict, or a part stayed as it was; `message` says it to people."""

    # of changes
    MODE = "mode"
    BEYOND_MODE = "beyond-mode"
    UNSURE = "unsure"
    PROTECTED = "protected"
    KEPT_WORD = "kept-word"
    NUMBER = "number"
    NAME = "name"
    NEGATION = "negation"
    LINES = "lines"
    SENTENCES = "sentences"
    MEANING = "meaning"
    QUESTION = "question"
    LANGUAGE = "language"
    # of parts that stayed
    EMPTY = "empty"
    ANSWERED = "answered"
    REFUSAL = "refusal"
    CHAT = "chat"
    DROPPED = "dropped"
    ADDED = "added"
    OTHER_LANGUAGE = "other-language"
    UNRELATED = "unrelated"
    CIRCLES = "circles"
    CUT_SHORT = "cut-short"
    TIMEOUT = "timeout"
    FAILED = "failed"
    TOO_LONG = "too-long"

    @property
    def message(self) -> str:
        """The reason as a sentence for people."""
        return _MESSAGES[self]


_MESSAGES = {
    Reason.MODE: "This is what the chosen mode is for.",
    Reason.BEYOND_MODE: "The chosen mode changes less than this, so it is only a proposal.",
    Reason.UNSURE: "The model was not sure of it, so it is only a proposal.",
    Reason.PROTECTED: "It would alter a link, code, markup or a placeholder.",
    Reason.KEPT_WORD: "It would alter a word that you want to keep.",
    Reason.NUMBER: "It would alter a number, a date or an amount.",
    Reason.NAME: "It would alter a name.",
    Reason.NEGATION: "It would add or remove a negation.",
    Reason.LINES: "It would alter the lines of the text.",
    Reason.SENTENCES: "It would leave a sentence without its end.",
    Reason.MEANING: "It would replace what you wrote by something else.",
    Reason.QUESTION: "It would turn a question into a statement, or a statement into a question.",
    Reason.LANGUAGE: "It is in another language or writing system than your text.",
    Reason.EMPTY: "The model gave no text.",
    Reason.ANSWERED: "The model answered your text instead of correcting it.",
    Reason.REFUSAL: "The model refused to work on this.",
    Reason.CHAT: "The model talked about your text instead of correcting it.",
    Reason.DROPPED: "The model left out a part of what you wrote.",
    Reason.ADDED: "The model added sentences of its own.",
    Reason.OTHER_LANGUAGE: "The model answered in another language.",
    Reason.UNRELATED: "The model wrote something else than your text.",
    Reason.CIRCLES: "The model repeated itself without end.",
    Reason.CUT_SHORT: "The model's answer stopped before its end.",
    Reason.TIMEOUT: "There was no time left for this part.",
    Reason.FAILED: "The model's server failed at this part.",
    Reason.TOO_LONG: "This part is too long for the model.",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change that the model proposed, and what became of it."""

    start: int
    """Where its words begin in the author's text, in code points."""
    end: int
    """Where they end; equal to `start` where words were put in."""
    before: str
    """The author's words, `text[start:end]`."""
    after: str
    """The model's words."""
    kind: Kind
    verdict: Verdict
    reason: Reason

    @property
    def message(self) -> str:
        """The reason as a sentence for people."""
        return self.reason.message


@dataclass(frozen=True, slots=True)
class Kept:
    """A part of the author's text that stayed as it was because its answer was bad or did not come."""

    start: int
    end: int
    reason: Reason

    @property
    def message(self) -> str:
        """The reason as a sentence for people."""
        return self.reason.message


@dataclass(frozen=True, slots=True)
class Choice:
    """How likely a model's token was, and what else it might have said there."""

    logprob: float
    others: Mapping[str, float] = field(default_factory=dict)
    """The likeliest tokens at this place with their log-probabilities."""


Confidence = Mapping[int, Choice]
"""Of each token of a raw answer: its place in that answer, in code points, and how it was chosen."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A text as it is after judgement."""

    text: str
    changes: tuple[Change, ...] = ()
    kept: tuple[Kept, ...] = ()

    def moved(self, by: int) -> Judged:
        """The same, as part of a text in which it begins at `by`."""
        return Judged(
            self.text,
            tuple(replace(change, start=change.start + by, end=change.end + by) for change in self.changes),
            tuple(replace(kept, start=kept.start + by, end=kept.end + by) for kept in self.kept),
        )

    def part(self, start: int, end: int, text: str) -> Judged:
        """What became of the author's `text` from `start` to `end`, with places that count from `start`."""
        own = tuple(change for change in self.changes if start <= change.start and change.end <= end)
        kept = tuple(
            replace(one, start=max(one.start, start), end=min(one.end, end))
            for one in self.kept
            if one.start < end and start < one.end
        )
        moved = Judged("", own, kept).moved(-start)
        return replace(moved, text=apply(text, moved.changes))


def apply(text: str, changes: Iterable[Change]) -> str:
    """The text with those of the changes that were taken; they do not overlap and stand in their order."""
    done, at = [], 0
    for change in changes:
        if change.verdict is Verdict.TAKEN:
            done += [text[at : change.start], change.after]
            at = change.end
    return "".join([*done, text[at:]])
