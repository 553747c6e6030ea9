"""Texts on their way to a model and back: what is sent, what never is, and what of an answer is believed.

A text is a row of blocks (paragraphs, list items, headings, code…) that join to exactly that text. Neighbouring blocks
of prose are sent together, because a model mends a sentence better when it sees the ones around it. Of the answer only
the words are taken; indents, list markers, blank lines and code stay those of the author.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Block:
    """`before + body + after`, of which only the body of prose is ever polished."""

    before: str
    """Indent, list marker, heading or quote sign."""
    body: str
    after: str
    """White space up to the next block."""
    prose: bool = True

    @property
    def whole(self) -> str:
        """The block as it stands in the text."""
        return self.before + self.body + self.after


_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(?: {4}|\t)")
_TABLE = re.compile(r"\s*\|")
_MARKED = re.compile(
    r"[ \t]*(?:"
    r"(?:[-*+•–]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?"  # list items
    r"|#{1,6}[ \t]+"  # headings
    r"|(?:>[ \t]?)+"  # quotes
    r")+"
)
_HEADING = re.compile(r"[ \t]*#")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)


def blocks(text: str) -> list[Block]:
    """The blocks of a text; their `whole`s join to it."""
    found: list[Block] = []
    lines = [match.group() for match in _LINE.finditer(text)]
    at = 0
    while at < len(lines):
        end, block = _next(lines, at, found)
        at = end
        if block.before or block.body or not found:
            found.append(block)
        else:
            found[-1] = replace(found[-1], after=found[-1].after + block.after)
    return [block if not block.prose or any(map(str.isalpha, block.body)) else _verbatim(block) for block in found]


def _verbatim(block: Block) -> Block:
    """The same text, never sent."""
    before, body, after = _edges(block.whole)
    return Block(before, body, after, prose=False)


def _edges(text: str) -> tuple[str, str, str]:
    match = _EDGES.fullmatch(text)
    assert match is not None  # noqa: S101 - the expression matches every text
    before, body, after = match.groups()
    return before, body, after


def _next(lines: list[str], at: int, found: list[Block]) -> tuple[int, Block]:
    """The block that begins in line `at`, and the line after it."""
    line = lines[at]
    if not line.strip():
        return at + 1, Block("", "", line, prose=False)
    if fence := _FENCE.match(line):
        end = at + 1
        while end < len(lines) and not lines[end].lstrip(" ").startswith(fence.group(1)):
            end += 1
        return _rest(lines, at, end + 1)
    apart = not found or found[-1].after.count("\n") > 1
    for kind in (_TABLE, _CODE):
        if kind.match(line) and (kind is _TABLE or (apart and not _MARKED.match(line))):
            end = at + 1
            while end < len(lines) and kind.match(lines[end]):
                end += 1
            return _rest(lines, at, end)
    return _prose(lines, at)


def _rest(lines: list[str], at: int, end: int) -> tuple[int, Block]:
    end = min(end, len(lines))
    return end, _verbatim(Block("", "".join(lines[at:end]), ""))


def _prose(lines: list[str], at: int) -> tuple[int, Block]:
    """A paragraph or a list item with the lines that continue it, or a heading, which is one line."""
    marker = _MARKED.match(lines[at])
    end = at + 1
    if not _HEADING.match(lines[at]):
        while end < len(lines) and lines[end].strip() and not _starts(lines[end]):
            end += 1
    whole = "".join(lines[at:end])
    before = marker.group() if marker else ""
    indent, body, after = _edges(whole[len(before) :])
    return end, Block(before + indent, body, after)


def _starts(line: str) -> bool:
    return any(kind.match(line) for kind in (_FENCE, _TABLE, _MARKED))


_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n\s*")
_SPACE = re.compile(r"\s+")


def _best_cut(body: str, limit: int) -> int:
    """Where the second part begins: after a sentence or a line, else after a word, of the first `limit` characters.

    If even the first word is longer, after that one; 0 if there is no white space at all.
    """
    for kind in (_SENTENCE, _SPACE):
        if ends := [match.end() for match in kind.finditer(body, 0, limit + 1)]:
            # The match was stopped at the limit, the white space may go on.
            rest = _SPACE.match(body, ends[-1])
            return rest.end() if rest else ends[-1]
    space = _SPACE.search(body)
    return space.end() if space else 0


def _cut(block: Block, limit: int) -> Iterator[Block]:
    """A block in parts whose bodies have at most `limit` characters, as far as it has white space to cut at."""
    before, body = block.before, block.body
    while len(body) > limit and (end := _best_cut(body, limit)):
        _, head, after = _edges(body[:end])
        yield Block(before, head, after, prose=block.prose)
        before, body = "", body[end:]
    yield Block(before, body, block.after, prose=block.prose)


@dataclass(frozen=True)
class Piece:
    """Neighbouring blocks that travel together; one that is not prose travels nowhere."""

    blocks: tuple[Block, ...]

    @property
    def prose(self) -> bool:
        """Whether it is for the model."""
        return self.blocks[0].prose

    @cached_property
    def whole(self) -> str:
        """The piece as it stands in the text."""
        return "".join(block.whole for block in self.blocks)

    @property
    def sent(self) -> str:
        """What the model sees: a single block without its marker, several as they stand."""
        return self.blocks[0].body if len(self.blocks) == 1 else self.whole.strip()

    @property
    def before(self) -> str:
        """What stands in the text before what is sent."""
        return self.whole[: self.whole.index(self.sent)]

    @property
    def after(self) -> str:
        """What stands in the text after what is sent."""
        return self.whole[len(self.before) + len(self.sent) :]

    def join(self, answer: str) -> str | None:
        """The piece with the answer's words, or None if the answer has another shape than what was sent."""
        if len(self.blocks) == 1:
            return _accept(self.blocks[0], answer)
        got = [block for block in blocks(answer) if block.prose]
        if [b.before.strip() for b in got] != [b.before.strip() for b in self.blocks]:
            return None
        kept = [_accept(block, answered.body) for block, answered in zip(self.blocks, got, strict=True)]
        return None if None in kept else "".join(part for part in kept if part is not None)

    def parts(self) -> tuple[Piece, ...]:
        """Each block alone, for when the answer to all of them lost their shape."""
        return tuple(Piece((block,)) for block in self.blocks)


def pieces(text: str, limit: int) -> list[Piece]:
    """The text in pieces of at most `limit` characters where it can be cut (0: no limit); they join to the text."""
    cut = [part for block in blocks(text) for part in (_cut(block, limit) if limit and block.prose else [block])]
    found: list[Piece] = []
    for block in cut:
        last = found[-1] if found else None
        if (
            last is not None
            and last.prose
            and block.prose
            and "\n" in last.blocks[-1].after
            and (not limit or len(last.whole) + len(block.whole) <= limit)
        ):
            found[-1] = Piece((*last.blocks, block))
        else:
            found.append(Piece((block,)))
    return found


_KEPT = re.compile(
    r"`[^`\n]+`|https?://[^\s<>()\[\]\"']+[^\s<>()\[\]\"'.,;:!?]|\]\([^()\s]+\)|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
)
"""Code in a line, addresses, targets of links, mail addresses."""
_FAIR = 80
"""Characters by which an answer may exceed twice its text before it is taken for talk about the text."""


def _accept(block: Block, answer: str) -> str | None:
    """The block with new words, or None if they lost a link or some code, broke the line, or are something else."""
    answer = answer.strip()
    lost = Counter(_KEPT.findall(block.body)) - Counter(_KEPT.findall(answer))
    broken = bool(block.before.strip()) and answer.count("\n") > block.body.count("\n")
    if not answer or lost or broken or len(answer) > 2 * len(block.body) + _FAIR:
        return None
    return block.before + answer + block.after


_DONE = ("corrected", "polished", "revised", "improved", "rewritten")
_OPENERS = (
    *(
        "here",
        "sure",
        "certainly",
        "of course",
        "output",
        "answer",
        "the correct",
        "the original",
        "the text should",
        "the sentence should",
    ),
    *_DONE,
    *(f"the {word}" for word in _DONE),
)
_WHAT = r"(?:text|version|sentence|paragraph|passage|message|email|rewrite|answer|response|output|correction)"
_INTRO = re.compile(
    r"(?:(?:sure|certainly|of course)\b[^\n:]{0,30}?[,.!:]\s*)?"
    rf"(?:here(?:['’]s| is| are)\b[^\n:]{{0,100}}|(?:the |your )?[^\n:]{{0,40}}\b{_WHAT}\b[^\n:]{{0,40}}|output|answer)"
    r":[ \t]*[*_]*\s*",
    re.IGNORECASE,
)
_INTRO_MAX = 180
"""Characters after which a beginning is no introduction any more."""
_NOTE = re.compile(
    r"\s*\n\s*\n[(*_]*(?:"
    r"note|explanation|changes|corrections|corrected(?=:)|here['’]s|in this (?:example|version|sentence)"
    r"|i(?:['’]ve| have)? (?:corrected|changed|made|fixed|added|removed|replaced)"
    r"|this (?:correction|edit|revision|version|change|is a)|(?:the|this) (?:original|corrected?|revised|apostrophe)"
    r")\b",
    re.IGNORECASE,
)
_NOTE_BEGINS = re.compile(r"\s*\n\s*(?:\n[(*_]{0,3}[\w'’ ]{0,18})?\Z")
_QUOTES = {'"': '"', "“": "”", "'": "'", "«": "»"}


class Cleaner:
    """Takes away what models put around a text: an introduction, quotation marks, notes. Works on a stream.

    What `feed` and `finish` return joins to the cleaned answer; nothing is returned that later text could still change.
    """

    def __init__(self, source: str) -> None:
        self._source = source.strip()
        self._raw = ""
        self._given = 0
        self._begun = False

    def feed(self, text: str) -> str:
        """What has become certain with this text."""
        self._raw += text
        if not self._begun:
            if self._undecided():
                return ""
            self._begin()
        return self._give(self._certain())

    @property
    def complete(self) -> bool:
        """Whether the model has begun to explain itself, after which nothing of its answer is taken any more."""
        return self._begun and len(_without_note(self._raw, self._source)) < len(self._raw)

    def finish(self) -> str:
        """The rest."""
        if not self._begun:
            self._begin()
        rest = _without_note(self._raw, self._source).rstrip()
        if self._closing and rest.endswith(self._closing) and len(rest) > 1:
            rest = rest[1:-1].strip()
        return self._give(len(rest), rest)

    def _undecided(self) -> bool:
        """Whether the answer may yet turn out to begin with an introduction."""
        head = self._raw.lstrip().lower()
        if any(opener.startswith(head) for opener in _OPENERS):
            return True
        if not head.startswith(_OPENERS) or len(head) > _INTRO_MAX:
            return False
        intro = _INTRO.match(self._raw.lstrip())
        # An introduction ends where the text begins.
        return intro.end() == len(self._raw.lstrip()) if intro else "\n" not in head

    def _begin(self) -> None:
        self._raw = self._raw.lstrip()
        intro = _INTRO.match(self._raw)
        if intro and self._raw.lower().startswith(_OPENERS) and not _alike(intro.group(), self._source):
            self._raw = self._raw[intro.end() :]
        self._begun = bool(self._raw)

    @property
    def _closing(self) -> str | None:
        """The mark that would end an answer which was put in quotation marks as a whole."""
        quoted = self._source[:1] in _QUOTES and self._source[-1:] == _QUOTES[self._source[:1]]
        return None if quoted else _QUOTES.get(self._raw[:1])

    def _certain(self) -> int:
        """How much of the answer can no longer change."""
        if self._closing:
            return 0
        text = _without_note(self._raw, self._source)
        if beginning := _NOTE_BEGINS.search(text):
            text = text[: beginning.start()]
        return len(text.rstrip())

    def _give(self, end: int, text: str | None = None) -> str:
        text = self._raw if text is None else text
        new = text[self._given : end]
        self._given = max(self._given, end)
        return new


def _without_note(text: str, source: str) -> str:
    """The answer up to where the model begins to explain itself, which it does after most of the text."""
    for note in _NOTE.finditer(text):
        if 2 * note.start() >= len(source) and not _NOTE.search("\n\n" + source):
            return text[: note.start()]
    return text


def _alike(intro: str, source: str) -> bool:
    """Whether what looks like an introduction is the author's own beginning."""
    mine = source[: len(intro)].lower()
    return SequenceMatcher(None, intro.lower().strip(), mine.strip()).ratio() > 0.6  # noqa: PLR2004 - typos leave more


def clean(answer: str, source: str) -> str:
    """A whole answer without what the model put around it."""
    cleaner = Cleaner(source)
    return cleaner.feed(answer) + cleaner.finish()
