"""From an answer to the changes in it and their verdicts.

The author's text is judged part by part, a part being a sentence or a line. Where the answer's part still says what the
author's says, each change in it is judged by itself; where it does not, the part stays as it was.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pollex.words.align import Edit, edits
from pollex.words.changes import Change, Confidence, Judged, Kept, apply
from pollex.words.clean import clean, segments, unframed
from pollex.words.faithful import Part, part_reason, whole_reason
from pollex.words.options import Options
from pollex.words.relations import SMALL
from pollex.words.tokens import Sort, Token, broken, tokens
from pollex.words.verdicts import Proposal, settled, verdicts


def judge(
    text: str,
    answer: str,
    options: Options,
    *,
    prompt_sent: str = "",
    confidence: Confidence | None = None,
) -> Judged:
    """What of the model's raw answer to a block of the author's is believed.

    Args:
        text: the block as it was sent, without its marker.
        answer: what the model said, as it came.
        options: the author's wishes.
        prompt_sent: all that was sent besides the text, so that an echo of it is known as one.
        confidence: how sure the model was, where its server tells.
    """
    if answer.strip() == text.strip():
        return Judged(text)
    mine = unframed(text, tokens(text, options.keep))
    cleaned = clean(answer, text, mine, prompt_sent, options.keep)
    theirs = cleaned.tokens
    if (reason := whole_reason(mine, theirs, cleaned.text)) is not None:
        return Judged(text, kept=(Kept(0, len(text), reason),))
    case = _Case(text, mine, cleaned.text, theirs, edits(mine, theirs))
    pairs, kept = list[tuple[Proposal, Change]](), dict[int, Kept]()
    for part, among in case.parts():
        if not among:
            continue
        start, end = mine[part.start].start, mine[part.end - 1].end
        if (reason := part_reason(part, options)) is not None:
            kept[part.start] = Kept(start, end, reason)
            continue
        for run in _runs(among):
            proposals = case.proposals(run, part, pairs[-1][1].end if pairs else 0)
            odds = [_odds(one, answer, cleaned.places, confidence) if confidence else None for one in proposals]
            pairs += zip(proposals, verdicts(proposals, options, odds), strict=True)
    changes = settled(pairs, kept)
    return Judged(apply(text, changes), tuple(changes), _together(text, list(kept.values())))


def _runs(among: Sequence[Edit]) -> Iterator[list[Edit]]:
    """Edits between which nothing stayed, together."""
    run: list[Edit] = []
    for edit in among:
        if run and (run[-1].i2, run[-1].j2) != (edit.i1, edit.j1):
            yield run
            run = []
        run.append(edit)
    if run:
        yield run


def _together(text: str, kept: Sequence[Kept]) -> tuple[Kept, ...]:
    """Neighbours that stayed for the same reason are one."""
    found: list[Kept] = []
    for one in kept:
        if found and found[-1].reason is one.reason and not text[found[-1].end : one.start].strip():
            found[-1] = Kept(found[-1].start, one.end, one.reason)
        else:
            found.append(one)
    return tuple(found)


@dataclass(frozen=True)
class _Case:
    """Both texts and the edits between them."""

    text: str
    mine: Sequence[Token]
    answer: str
    theirs: Sequence[Token]
    edits: Sequence[Edit]

    @cached_property
    def _places(self) -> list[int]:
        """Of each of the author's tokens, and of the end: where the model's for it begins.

        What is put in before a token belongs to the one before it.
        """
        found, i, j = [0] * (len(self.mine) + 1), 0, 0
        for edit in self.edits:
            for k in range(i, edit.i1 + 1):
                found[k] = j + k - i
            i, j = edit.i2, edit.j2
            for k in range(edit.i1 + 1, i + 1):
                found[k] = j
        for k in range(i, len(self.mine) + 1):
            found[k] = j + k - i
        return found

    def parts(self) -> Iterator[tuple[Part, list[Edit]]]:
        """The sentences and lines of the author's text, each with what the model made of it and its edits."""
        left = self._with_gaps()
        for number, (start, end) in enumerate(segments(self.text, self.mine)):
            first = 0 if number == 0 else self._places[start]
            last = self._places[end] if end < len(self.mine) else len(self.theirs)
            among = []
            while left and (left[0].i1 < end or (left[0].i1 == left[0].i2 == end)):
                among.append(left.pop(0))
            yield Part(self.mine, self.theirs[first:last], start, end, self.text), among

    def _with_gaps(self) -> list[Edit]:
        """The edits, and the empty ones between two tokens that stayed while the space between them did not."""
        found, i, j = list[Edit](), 0, 0
        for edit in [*self.edits, Edit(len(self.mine), len(self.mine), len(self.theirs), len(self.theirs))]:
            while i < edit.i1:
                if i and j and self._spaced(i, j) and not (found and (found[-1].i2, found[-1].j2) == (i, j)):
                    found.append(Edit(i, i, j, j))
                if self.mine[i].text != self.theirs[j].text and self._cased(i, j):
                    found.append(Edit(i, i + 1, j, j + 1))
                i, j = i + 1, j + 1
            if edit.i1 < edit.i2 or edit.j1 < edit.j2:
                found.append(edit)
            i, j = edit.i2, edit.j2
        return found

    def _cased(self, i: int, j: int) -> bool:
        """Whether two tokens with the same key are written with other capitals."""
        mine, theirs = self.mine[i], self.theirs[j]
        return mine.sort is Sort.WORD and _letters(mine.text) != _letters(theirs.text)

    def _spaced(self, i: int, j: int) -> bool:
        """Whether a single space before a token came or went beside a sign."""
        gap = self.gap(i)
        other = self.answer[self.theirs[j - 1].end : self.theirs[j].start]
        if gap not in ("", " ") or other not in ("", " ") or gap == other:
            return False
        before, after = self.mine[i - 1], self.mine[i]
        if gap == " ":
            return after.text in (",", ".", ")") or before.text == "("
        return before.text in (",", ";", "!", "?") and after.sort is Sort.WORD

    def gap(self, i: int) -> str:
        """What stands before one of the author's tokens."""
        return self.text[self.mine[i - 1].end : self.mine[i].start] if 0 < i < len(self.mine) else ""

    def _their_gap(self, j: int) -> str:
        if not 0 < j < len(self.theirs):
            return ""
        gap = self.answer[self.theirs[j - 1].end : self.theirs[j].start]
        return gap if not gap or gap.isspace() else "\n" if broken(gap) else " "

    @staticmethod
    def _recased(gone: Sequence[Token], come: Sequence[Token]) -> str:
        """The author's word with the model's capitals, where nothing else differs."""
        if len(gone) != 1 or len(come) != 1 or gone[0].key != come[0].key:
            return ""
        theirs = iter(_letters(come[0].text))
        word = "".join(next(theirs, letter) if letter.isalnum() else letter for letter in gone[0].text)
        return word if word.casefold() == gone[0].text.casefold() else ""

    def proposals(self, run: Sequence[Edit], part: Part, after: int) -> list[Proposal]:
        """The edits of a run, none of which begins before the last one's end."""
        found = list[Proposal]()
        for edit in run:
            proposal = self.proposal(edit, part)
            # the blank between two words that go is counted once
            found.append(proposal if proposal.start >= after else proposal.beginning(after))
            after = found[-1].end
        return found

    def proposal(self, edit: Edit, part: Part) -> Proposal:
        """An edit as a span of the author's text and what would stand there."""
        i1, i2, j1, j2 = edit
        gone, come = self.mine[i1:i2], self.theirs[j1:j2]
        before, after = self.gap(i1), self.gap(i2) if i2 < len(self.mine) else ""
        words = self._recased(gone, come) or self._said(j1, j2)
        if gone and come and i1 != part.start and gone[0].text[:1].islower() and _titled(gone[0], come[0]):
            words = words[:1].lower() + words[1:]
        if come and not gone:
            return self._inserted(edit, part, words, before)
        if gone and not come:
            return self._deleted(edit, part, before, after)
        if gone:
            start, end = gone[0].start, gone[-1].end
        else:
            start, end, words = self.mine[i1 - 1].end, self.mine[i1].start, self._their_gap(j1)
        text = self.text[start:end]
        return Proposal(part, edit, start, end, text, words, gone, come, lines=broken(text))

    def _deleted(self, edit: Edit, part: Part, before: str, after: str) -> Proposal:
        """Words or signs that go, with the blank that would be one too many; never with a line's end."""
        i1, i2, j1, _ = edit
        gone = self.mine[i1:i2]
        start, end = gone[0].start, gone[-1].end
        lines = broken(self.text[start:end])
        if after and not broken(after) and (before or i1 == 0):
            end += len(after)
        elif before and not broken(before) and (not after or broken(after)) and not self._their_gap(j1).strip(" "):
            start -= len(before)
        return Proposal(part, edit, start, end, self.text[start:end], "", gone, (), lines=lines)

    def _inserted(self, edit: Edit, part: Part, words: str, gap: str) -> Proposal:
        """New words or signs; what they are attached to is decided by the model's own spaces."""
        i, _, j1, j2 = edit
        left, right = self._their_gap(j1), self._their_gap(j2)
        at, end = self.mine[max(i - 1, 0)].end, 0
        lines = broken(left) and broken(right)
        if i == 0:
            at, new, lines = self.mine[0].start, words + _space(right), broken(right)
        elif i == len(self.mine):
            new, lines = _space(left) + words, broken(left)
        elif broken(gap):
            after = broken(left) and not broken(right)
            at, new = (self.mine[i].start, words + _space(right)) if after else (at, _space(left) + words)
            lines = not after and (not broken(right) or broken(left))
        elif gap and not right:
            # attached to the next word, or with a sign between two words that become one
            at, end, new = (self.mine[i].start, 0, words) if left else (at, len(gap), words)
        else:
            new = _space(left) + words + ("" if gap else _space(right))
        return Proposal(part, edit, at, at + end, gap[:end], new, (), self.theirs[j1:j2], lines=lines)

    def _said(self, j1: int, j2: int) -> str:
        """The model's words in one line, with the author's apostrophes."""
        if j1 == j2:
            return ""
        words = re.sub(r"\s+", " ", self.answer[self.theirs[j1].start : self.theirs[j2 - 1].end])
        if "’" in words and "’" not in self.text:
            return words.replace("’", "'")
        if "'" in words and "’" in self.text and "'" not in self.text:
            return words.replace("'", "’")
        return words


def _titled(gone: Token, come: Token) -> bool:
    """Whether another small word has a capital that it only has at the beginning of a sentence, and in titles."""
    return gone.key != come.key and come.text.istitle() and come.key in SMALL and come.key[0] != "i"


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _space(gap: str) -> str:
    return " " if gap else ""


def _odds(proposal: Proposal, raw: str, places: Sequence[int] | None, confidence: Confidence) -> float | None:
    """By how much the model's words were likelier to it than the author's, at the token where they part."""
    if not proposal.come:
        return None
    at = proposal.come[0].start
    if places is not None:
        if at >= len(places):
            return None
        at = places[at]
    starts = sorted(confidence)
    number = bisect_right(starts, at) - 1
    mine, theirs = proposal.before.strip(), proposal.after.strip()
    while 0 <= number < len(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(raw)
        said = raw[starts[number] : end].strip()
        if said and mine.startswith(said) and theirs.startswith(said) and mine != said:
            mine, theirs, number = mine[len(said) :], theirs[len(said) :], number + 1
            continue
        choice = confidence[starts[number]]
        own = [p for token, p in choice.others.items() if (t := token.strip()) and t != said and mine.startswith(t)]
        floor = min(choice.others.values(), default=choice.logprob)
        return choice.logprob - (max(own) if own else floor)
    return None
