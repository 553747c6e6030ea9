"""What models put around a text, taken away: reasoning, marks of their templates, fences, labels, talk, echoes.

Nothing here knows phrases. What is the text and what is talk about it is decided by the words that the answer has in
common with the author's: of all runs of its sentences and lines, the one that is most like the author's is the text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pollex.words.blocks import marker
from pollex.words.relations import slips
from pollex.words.tokens import Sort, Token, broken, plain, tokens

_WAYS = (
    (
        r"<\|channel\|?>\s*(?:analysis|commentary|thought|thinking)\b",
        r"<\|end\|>|<channel\|>|<\|channel\|>final(?:<\|message\|>)?",
    ),
    *(
        (rf"<{name}(?:\s[^<>]*)?>", rf"</{name}\s*>")
        for name in (
            "think",
            "thinking",
            "thought",
            "thoughts",
            "reasoning",
            "reflection",
            "analysis",
            "scratchpad",
            "seed:think",
        )
    ),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"\[THOUGHT\]", r"\[/THOUGHT\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|?think\|>", r"<\|?/think\|>"),
    (r"<unused94>(?:thought)?", r"<unused95>"),
)
"""How models mark that they think: opening and closing."""
_THOUGHTS = tuple(
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE)) for opening, closing in _WAYS
)
_TURN_ENDS = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|endoftext|end|end_of_text|return|eot|END_OF_TURN_TOKEN)\|>|<end_of_turn>|</s>|<eos>|<｜end▁of▁sentence｜>"
)
_SPECIAL = re.compile(
    r"<\|(?:im_start|start)\|>(?:system|user|assistant)?(?:<\|message\|>|\n)?"
    r"|<\|start_header_id\|>\w*<\|end_header_id\|>|<start_of_turn>(?:model|user)?\n?"
    r"|<\|channel\|>\w+|<[|｜][^<>|｜\n]{1,40}[|｜]>|</?s>|<(?:bos|eos|pad|unk|mask)>|\[/?INST\]|<</?SYS>>|\[/?TOOL_\w+\]"
)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*[\w+-]*[ \t]*$\n?", re.MULTILINE)
_TICKS = re.compile(r"\A\s*```[ \t]*|[ \t]*```\s*\Z")
_TAG = re.compile(r"</?([A-Za-z][\w:.-]*)\s*/?>")
_STARS = re.compile(r"\*+")
_UNDERLINES = re.compile(r"(?<!\w)_+(?=\w)|(?<=[\w.!?])_+(?!\w)")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The tokens of an answer that are the text, and the whole that they stand in."""

    text: str
    tokens: Sequence[Token]
    places: Sequence[int] | None
    """Of each character of the text: where it stands in the raw answer; None where that is lost."""


class _Text:
    """A text that remembers where in the raw answer its characters stood."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.places: list[int] | None = None

    def remove(self, form: re.Pattern[str]) -> None:
        spans = [match.span() for match in form.finditer(self.text)]
        if not spans:
            return
        old = self.places if self.places is not None else list(range(len(self.text)))
        parts, places, at = [], list[int](), 0
        for start, end in spans:
            parts.append(self.text[at:start])
            places += old[at:start]
            at = end
        self.text = "".join([*parts, self.text[at:]])
        self.places = [*places, *old[at:]]

    def keep(self, start: int, end: int) -> None:
        if (start, end) != (0, len(self.text)):
            old = self.places if self.places is not None else list(range(len(self.text)))
            self.text, self.places = self.text[start:end], old[start:end]

    def become(self, text: str) -> None:
        self.text, self.places = text, list[int]()


def bare(raw: str, source: str) -> _Text:
    """The answer without thoughts, marks of templates, fences, tags around it, and characters that no text needs."""
    text = _Text(raw)
    text.text, text.places = plain(raw)
    if any(mark in text.text for mark in "<[◁"):
        _think_not(text, source)
        _no_marks(text, source)
    _unpack(text, source)
    if "```" not in source and "~~~" not in source:
        text.remove(_FENCE)
        text.remove(_TICKS)
    if "<" in text.text:
        own = {match.group(1) for match in _TAG.finditer(source)}
        foreign = {match.group(1) for match in _TAG.finditer(text.text)} - own
        for name in foreign:
            text.remove(re.compile(rf"</?{re.escape(name)}\s*/?>"))
    if "*" not in source:
        text.remove(_STARS)
    if "_" not in source:
        text.remove(_UNDERLINES)
    return text


def _think_not(text: _Text, source: str) -> None:
    for opening, closing in _THOUGHTS:
        if opening.search(source) or closing.search(source):
            continue
        while match := opening.search(text.text):
            end = closing.search(text.text, match.end())
            head = text.text[: match.start()]
            if end is None:
                text.keep(0, match.start())
            elif head.strip():
                _drop(text, match.start(), end.end())
            else:
                text.keep(end.end(), len(text.text))
        while match := closing.search(text.text):
            if "end|" in match.group() and not text.text[match.end() :].strip():
                break  # the end of a turn, not of a thought
            text.keep(match.end(), len(text.text))


def _drop(text: _Text, start: int, end: int) -> None:
    old = text.places if text.places is not None else list(range(len(text.text)))
    text.text, text.places = text.text[:start] + text.text[end:], old[:start] + old[end:]


def _no_marks(text: _Text, source: str) -> None:
    for match in _TURN_ENDS.finditer(text.text):
        if match.group() not in source and any(map(str.isalpha, _SPECIAL.sub("", text.text[: match.start()]))):
            text.keep(0, match.start())  # what follows is the next turn of a conversation that nobody has
            break
    for form in (_TURN_ENDS, _SPECIAL):
        if not form.search(source):
            text.remove(form)


def _unpack(text: _Text, source: str) -> None:
    """The one of the strings in a JSON answer that is most like the author's text."""
    inner = _TICKS.sub("", _FENCE.sub("", text.text)).strip()
    if inner[:1] not in ("{", "[", '"') or source[:1] == inner[:1]:
        return
    try:
        value = json.loads(inner, strict=False)
    except (ValueError, RecursionError):
        return
    mine = bag(tokens(source))
    found = sorted(_strings(value), key=lambda one: -alike(bag(tokens(one)), mine))
    if found:
        text.become(found[0])


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        yield from ["\n".join(value)] if value and all(isinstance(part, str) for part in value) else []
        for part in value:
            yield from _strings(part)


def bag(of: Sequence[Token]) -> Counter[str]:
    """How often each word, number and atom stands there."""
    return Counter(token.key for token in of if token.sort is not Sort.SIGN)


def alike(one: Counter[str], other: Counter[str]) -> float:
    """What two bags have in common, 0 to 1."""
    size = one.total() + other.total()
    return 2 * (one & other).total() / size if size else 1.0


_ENDING = frozenset(".!?…。！？") | {"..."}
_AFTER = frozenset("\"'”’)]」』»")
_LABEL = 16
"""Words of a line after which a colon is no longer that of a label."""


def segments(text: str, found: Sequence[Token]) -> list[tuple[int, int]]:
    """Sentences, lines and labels, as ranges of tokens."""
    cuts, begun, labelled = [0], 0, False
    for i in range(1, len(found)):
        last, token = found[i - 1], found[i]
        gap = text[last.end : token.start]
        ends = broken(gap)
        ended = last.text in _ENDING or (last.text in _AFTER and i > 1 and found[i - 2].text in _ENDING)
        label = last.text in (":", "：") and gap != "" and not labelled and i - begun <= _LABEL
        if ends or label or (ended and token.text not in _AFTER and token.text not in _ENDING):
            cuts.append(i)
            begun, labelled = i, label and not ends
    return [(start, end) for start, end in zip(cuts, [*cuts[1:], len(found)], strict=True) if start < end]


_LEADING = 12
"""Segments before which the text must begin: nobody talks longer before he comes to it."""
_SAME = 0.8
_GOOD = 0.6
_MOST = 0.7
_MUCH = 0.4
"""What a text in which nearly every word is mended still has in common with the correction."""


def clean(raw: str, source: str, mine: Sequence[Token], prompt_sent: str = "", keep: Collection[str] = ()) -> Cleaned:
    """The part of a raw answer that is the text, whatever stands around it."""
    text = bare(raw, source)
    found = unframed(text.text, tokens(text.text, keep))
    start, end = _window(text.text, found, source, mine, prompt_sent)[:2]
    return Cleaned(text.text, _own(text.text, found[start:end], source, mine), text.places)


def _own(text: str, found: Sequence[Token], source: str, mine: Sequence[Token]) -> Sequence[Token]:
    """Without whole sentences that have nothing of the author's, where there are more than the author wrote."""
    parts = segments(text, found)
    if len(parts) <= len(segments(source, mine)):
        return found
    wanted = bag(mine)
    return [token for start, end in parts if not _foreign(bag(found[start:end]), wanted) for token in found[start:end]]


def _foreign(part: Counter[str], wanted: Counter[str]) -> bool:
    return part.total() >= _FEW and (part & wanted).total() < _LITTLE * part.total()


_FEW = 4
"""Words of a sentence from which it can be told that it is nobody's."""
_LITTLE = 0.25


def unframed(text: str, found: list[Token]) -> list[Token]:
    """The tokens without those of list markers, quote signs and headings, which are the author's alone."""
    seen, places = plain(text)
    if all(token.sort is Sort.WORD for token in found[:1]) and "\n" not in seen:
        return found
    spans = ((match.start(), match.start() + marker(match.group())) for match in _LINE.finditer(seen))
    frames = [(start, end) for start, end in spans if end > start]
    if places is not None:
        frames = [(places[start], places[end - 1] + 1) for start, end in frames]
    starts = [start for start, _ in frames]

    def framed(token: Token) -> bool:
        at = bisect_right(starts, token.start) - 1
        return at >= 0 and token.start < frames[at][1]

    return [token for token in found if not framed(token)] if frames else found


_LINE = re.compile(r"[^\n]+")


def _window(
    text: str, found: Sequence[Token], source: str, mine: Sequence[Token], prompt_sent: str
) -> tuple[int, int, float]:
    """Of all runs of segments the one that is most like the author's text."""
    wanted = bag(mine)
    parts = segments(text, found)
    if not parts:
        return 0, 0, 0.0
    bags = [bag(found[start:end]) for start, end in parts]
    echoed = _echoes(found, parts, source, mine, prompt_sent) if prompt_sent else frozenset[int]()
    whole = alike(bag(found), wanted)
    if whole >= _SAME and not echoed and all(_belongs(bags[i], wanted) for i in (0, -1)):
        return 0, len(found), whole
    ends = frozenset[int]()
    if not broken(source):
        # A text of one line may become two, but not two paragraphs.
        gaps = ((i, text[found[end - 1].end : found[end].start]) for i, (_, end) in enumerate(parts[:-1]))
        ends = frozenset(i for i, gap in gaps if gap.count("\n") > 1)
    first, last, level = _best(bags, wanted, echoed, ends, 0)
    if [t.key for t in found[parts[first][0] : parts[last][1]]] == [t.key for t in mine] and last + 1 < len(parts):
        # The author's text word by word, and more: perhaps the model quotes what it then corrects.
        one, other, again = _best(bags, wanted, echoed, ends, last + 1)
        labelled = first > 0 and all(found[parts[i][0] - 1].text in (":", "：") for i in (first, one))
        if again >= _GOOD and labelled:
            first, last, level = one, other, again
    return parts[first][0], parts[last][1], level


def _belongs(part: Counter[str], wanted: Counter[str]) -> bool:
    return 2 * (part & wanted).total() >= part.total()


def _best(
    bags: Sequence[Counter[str]], wanted: Counter[str], echoed: Collection[int], ends: Collection[int], begin: int
) -> tuple[int, int, float]:
    best = (begin, begin, -1.0)
    size = wanted.total()
    for i in range(begin, min(begin + _LEADING, len(bags))):
        left, common, words = dict(wanted), 0, 0
        for j in range(i, len(bags)):
            if j in echoed:
                if j == i:
                    break
                words += bags[j].total()
                continue
            for word, times in bags[j].items():
                words += times
                if has := min(left.get(word, 0), times):
                    common += has
                    left[word] -= has
            # Recall counts for more: a sentence too many can be told from the others, a lost one is lost.
            level = 5 * common / (words + 4 * size) if words + size else 0.0
            if level > best[2] + 1e-9:
                best = (i, j, level)
            if j in ends and words >= _MOST * size:
                break
    return best


def _echoes(
    found: Sequence[Token], parts: Sequence[tuple[int, int]], source: str, mine: Sequence[Token], prompt_sent: str
) -> frozenset[int]:
    """Segments that stand in the prompt and not in the author's text."""
    asked = tokens(prompt_sent)
    theirs = {_words(asked[start:end]) for start, end in segments(prompt_sent, asked)}
    own = {_words(mine[start:end]) for start, end in segments(source, mine)}
    return frozenset(
        i for i, (start, end) in enumerate(parts) if (w := _words(found[start:end])) in theirs and w not in own and w
    )


def _words(of: Sequence[Token]) -> tuple[str, ...]:
    return tuple(token.key for token in of if token.sort is not Sort.SIGN)


_ROUND = re.compile(r"(?s)(?:(.{6,240}?)\1{3,}|(.{1,5}?)\2{15,}).{0,240}\Z")
_TAIL = 1600


def circles(raw: str, source: str) -> bool:
    """Whether an answer ends in something that it says for the fourth time, and the author did not."""
    if (match := _ROUND.search(raw[-_TAIL:])) is None:
        return False
    said = match.group(1) or match.group(2)
    return any(map(str.isalnum, said)) and said * 3 not in source


_PLACES = re.compile(r"\n|[.!?:][\"'”’)*_]{0,3}[ \n]")
"""Where an answer is asked whether it is complete."""


class Stream:
    """An answer while it comes: words to show meanwhile, and when nothing good can follow any more.

    What counts in the end is `raw`, and that is the same however the answer was cut into pieces: whether it is complete
    is asked at the ends of its lines and sentences only.
    """

    def __init__(self, source: str, prompt_sent: str = "") -> None:
        self._source = source
        self._prompt = prompt_sent
        self._mine = tokens(source)
        self._wanted = bag(self._mine)
        ends = segments(source, self._mine)
        self._last = bag(self._mine[slice(*ends[-1])] if ends else [])
        self._given = ""
        self._looked = 0
        self._halted = False
        self._begun = -1
        self.raw = ""
        self.complete = False

    def feed(self, text: str) -> str:
        """What can be shown with this text, provisionally."""
        if self.complete:
            return ""
        self.raw += text
        while match := _PLACES.search(self.raw, self._looked):
            self._looked = match.end()
            if self._over(self.raw[: match.end()]):
                self.raw = self.raw[: match.end()]
                self.complete = True
                break
        return self._show(final=False)

    @property
    def round(self) -> bool:
        """Whether the answer goes round in circles."""
        return circles(self.raw, self._source)

    def finish(self) -> str:
        """The rest of what can be shown."""
        return self._show(final=True)

    def _over(self, raw: str) -> bool:
        """Whether the whole text is there and the model talks on."""
        if not raw.strip() or len(raw) < len(self._source) / 2:
            return False
        if len(raw) > 2 * len(self._source) + 400 and circles(raw, self._source):
            return True
        text = bare(raw, self._source).text
        found = tokens(text)
        parts = segments(text, found)
        if not parts:
            return False
        start, end, level = _window(text, found, self._source, self._mine, self._prompt)
        same = [token.key for token in found[start:end]] == [token.key for token in self._mine]
        if end >= len(found) or (same and start > 0) or "\n" not in text[found[end - 1].end : found[end].start]:
            return False
        got = bag(found[start:end])
        whole = got.total() >= _MOST * self._wanted.total()
        return whole and level >= _MUCH and (self._last & got).total() >= _MUCH * self._last.total()

    def _show(self, *, final: bool) -> str:
        head = bare(self.raw, self._source).text.lstrip()
        if not final and (self._undecided(head) or not head):
            return ""
        if self._begun < 0 and (begun := self._beginning(head, final=final)) >= 0:
            self._begun = begun
        shown = head[self._begun :] if self._begun >= 0 else ""
        if not final and (mark := _MARK_BEGINS.search(shown)) and mark.group()[0] not in self._source:
            shown = shown[: mark.start()]
        shown = shown.rstrip()
        if self._halted or not shown.startswith(self._given):
            self._halted = True
            return ""
        new = shown[len(self._given) :]
        self._given = shown
        return new

    def _undecided(self, head: str) -> bool:
        """Whether this may yet turn out to be a label, a thought or a fence."""
        if head[:1] in "<[{`◁" and self._source[:1] != head[:1]:
            return "\n" not in head and len(head) < 40  # noqa: PLR2004 - longer than any mark
        return False

    def _beginning(self, head: str, *, final: bool) -> int:
        """Where the text begins in what has come; -1 while that is not known."""
        found = tokens(head)
        for start, end in segments(head, found)[:_LABELS]:
            part, last = found[start:end], end == len(found)
            begins = [token.key for token in self._mine[:2]]
            done = len(part[0].key) > 1 and part[0].end < len(head)
            first = part[0].key in begins or (done and any(slips(word, part[0].key) <= 1 for word in begins))
            here = _belongs(bag(part), self._wanted)
            enough = final or not last or len(part) > 2  # noqa: PLR2004 - of chance
            if (here and enough) or (first and last):
                return part[0].start
            if last and not final and len(part) < 2 * _LABEL:
                return -1
            if part[-1].text not in (":", "：") and (last or "\n" not in head[part[-1].end : found[end].start]):
                return part[0].start
        return 0 if final else -1


_MARK_BEGINS = re.compile(r"[<\[`◁][^\s>\]]{0,40}\Z")
"""What may become the mark of a template."""
_LABELS = 4
"""Labels and lines that are passed over before what comes is shown, whatever it is."""
