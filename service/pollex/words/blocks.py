"""A text as blocks: paragraphs, list items and headings, which are prose, and what no model ever sees.

The rules are those of mail and plain text first and of Markdown second: a paragraph whose first line is indented is
prose, and what stands below a signature's `-- ` is nobody's to polish. The blocks join to exactly the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pollex.words.tokens import UNSPACED, tokens


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


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_QUOTE = re.compile(r"[ \t]*(?:>[ \t]?)+")
_MARKED = re.compile(
    r"[ \t]*(?:"
    r"(?:[-*+•‣◦–—]|\(?\d{1,3}[.)]|\(?[a-zA-Z][)])[ \t]+(?:\[[ xX]\][ \t]+)?"  # list items
    r"|#{1,6}[ \t]+"  # headings
    r"|\[\^[^\]\s]+\]:[ \t]+"  # footnotes
    r"|(?:>[ \t]?)+"  # quotes
    r")+"
)
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
_FENCE = re.compile(
    r"[ \t]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+|>[ \t]?)*[ \t]*(?P<fence>`{3,}(?=[^`\r\n]*$)|~{3,})", re.MULTILINE
)
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)")
_BARS = re.compile(r"[ \t]*(?:\||\+[-=+]{3,})")
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$")
_CELLS = re.compile(r"(?<=\S)[ ]*\t[ \t]*(?=\S)")
_REFERENCE = re.compile(r" {0,3}\[(?!\^)[^\[\]\n]+\]:[ \t]*\S")
_MATH = (
    (re.compile(r"[ \t]*\$\$(?!.*\$\$)"), re.compile(r"\$\$")),
    (re.compile(r"[ \t]*\\\[(?!.*\\\])"), re.compile(r"\\\]")),
    (re.compile(r"[ \t]*<!--(?!.*-->)"), re.compile(r"-->")),
)
_OPENED = re.compile(
    r"[ \t]*(?:\\begin\{(?P<env>\w+\*?)\}|<(?P<tag>pre|script|style|textarea|svg|math|table)\b)", re.IGNORECASE
)
_SIGNATURE = re.compile(r"-- ?$")
_FORWARDED = re.compile(
    r"[ \t]*(?:-{3,}|_{3,}|={3,})[ \t]*\w[\w \t']{3,40}\w[ \t]*(?:-{3,}|_{3,}|={3,})[ \t]*$|_{20,}$"
)
_HEADERS = re.compile(
    r"[ \t]*\*{0,2}(?:From|To|Cc|Bcc|Date|Sent|Subject|Reply-To|Von|An|Datum|Gesendet|Betreff|De|À|A|Objet|Envoyé|Para|"
    r"Asunto|Fecha|Enviado|Da|Oggetto|Inviato|Van|Aan|Onderwerp|Verzonden|Od|Do|Temat|Från|Till|Ämne)[ \t]?:"
    r"\*{0,2}[ \t]+\S"
)
_WROTE = re.compile(
    r"(?:On|Am|Le|El|Il|Op|Em|W|Den)\b.{4,200}\b"
    r"(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|napisał\w*|skrev)\b.{0,80}:[ \t]*$"
)
_COMMAND = re.compile(r"[ \t]*(?:\$ |>>> |\.\.\. |PS> |# ?!/)\S")
_DRAWN = re.compile(r"[ \t]*([-*_=~#+])(?:[ \t]*\1){2,}[ \t]*$")
_FRONT = {"---": ("---", "..."), "+++": ("+++",)}
_CODE = re.compile(
    r"[{};=\[\]]|\(\)|::|->|\w\.\w+\(|^\s*(?:#|//)"
    r"|^\s*(?:def|class|if|for|while|import|return|function|const|let|var)\b"
)
_ENDS = re.compile(r"[.!?…:,;。！？][\"'”’)*_]*\s*$")
_ENOUGH = 6
"""Words from which an indented line is prose without a sign at its end."""


def blocks(text: str, *, quoted: bool = False) -> list[Block]:
    """The blocks of a text; their `whole`s join to it.

    Args:
        text: the author's.
        quoted: whether lines that begin with `>` are the author's to polish.
    """
    return list(_Reader(text, quoted=quoted))


class _Reader:
    """Reads a text line by line."""

    def __init__(self, text: str, *, quoted: bool) -> None:
        self._lines = [match.group() for match in _LINE.finditer(text)]
        self._quoted = quoted
        self._found: list[Block] = []

    def __iter__(self) -> Iterator[Block]:
        at = self._front()
        while at < len(self._lines):
            end = self._end(at)
            if end is not None:
                self._add(_verbatim("".join(self._lines[at:end])))
            else:
                end, block = self._prose(at)
                self._add(block)
            at = end
        yield from self._found

    def _add(self, block: Block) -> None:
        if block.before or block.body or not self._found:
            self._found.append(block)
        else:
            self._found[-1] = replace(self._found[-1], after=self._found[-1].after + block.after)

    def _line(self, at: int) -> str:
        return self._lines[at].rstrip("\r\n") if at < len(self._lines) else ""

    def _front(self) -> int:
        """The line below front matter, before which a byte order mark may stand; 0 without."""
        first = self._line(0).lstrip("\ufeff").rstrip()
        if first in _FRONT and re.search(r"[:=]|^#", self._line(1)):
            for at in range(1, len(self._lines)):
                if self._line(at).rstrip() in _FRONT[first]:
                    self._add(_verbatim("".join(self._lines[: at + 1])))
                    return at + 1
        return 0

    def _end(self, at: int) -> int | None:
        """The line after the block that begins here, or None if it is prose."""
        line = self._line(at)
        if not line.strip():
            return at + 1
        for rule in (self._fenced, self._opened, self._signed, self._mail, self._table, self._coded):
            if (end := rule(at)) is not None:
                return min(end, len(self._lines))
        quote = not self._quoted and _QUOTE.match(line)
        return at + 1 if quote or any(form.match(line) for form in (_REFERENCE, _COMMAND, _DRAWN)) else None

    def _while(self, at: int, true: Callable[[str], object]) -> int:
        end = at
        while end < len(self._lines) and true(self._line(end)):
            end += 1
        return end

    def _fenced(self, at: int) -> int | None:
        match = _FENCE.match(self._line(at).lstrip("\ufeff"))
        if not match:
            return None
        fence = match["fence"]
        quoted = bool(_QUOTE.match(self._line(at)))
        closing = re.compile(rf"[ \t>]*{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
        for end in range(at + 1, len(self._lines)):
            if closing.match(self._line(end)):
                return end + 1
            if quoted and not _QUOTE.match(self._line(end)):
                return end
        return len(self._lines)

    def _opened(self, at: int) -> int | None:
        """Block mathematics, environments, comments and the HTML that holds no prose."""
        line = self._line(at)
        for opening, closing in _MATH:
            if match := opening.match(line):
                return self._closed(at, match.end(), closing)
        if match := _OPENED.match(line):
            name = match["env"] or match["tag"]
            form = rf"\\end\{{{re.escape(name)}\}}" if match["env"] else rf"</{name}\s*>"
            return self._closed(at, match.end(), re.compile(form, re.IGNORECASE))
        return None

    def _closed(self, at: int, column: int, closing: re.Pattern[str]) -> int | None:
        if closing.search(self._line(at), column):
            return at + 1 if closing.search(self._line(at), column).end() == len(self._line(at).rstrip()) else None  # type: ignore[union-attr]
        for end in range(at + 1, len(self._lines)):
            if closing.search(self._line(end)):
                return end + 1
        return None

    def _signed(self, at: int) -> int | None:
        line = self._line(at)
        if not _SIGNATURE.match(line) or at == 0:
            return None
        return len(self._lines) if line == "-- " or not self._line(at - 1).strip() else None

    def _mail(self, at: int) -> int | None:
        """Headers of a forwarded message, and who wrote what is quoted."""
        line = self._line(at)
        if _FORWARDED.match(line):
            return self._while(at + 1, _HEADERS.match)
        if _HEADERS.match(line) and _HEADERS.match(self._line(at + 1)):
            return self._while(at, lambda line: _HEADERS.match(line) or re.match(r"[ \t]+\S", line))
        return at + 1 if _WROTE.match(line) else None

    def _table(self, at: int) -> int | None:
        line, after = self._line(at), self._line(at + 1)
        if _BARS.match(line):
            return self._while(at, _BARS.match)
        if "|" in line and _RULE.match(after):
            return self._while(at, lambda line: "|" in line)
        if cells := len(_CELLS.findall(line)):
            end = self._while(at, lambda line: len(_CELLS.findall(line)) == cells)
            return end if end - at > 1 or cells > 1 else None
        return None

    def _coded(self, at: int) -> int | None:
        """Indented code, which begins after a blank line."""
        apart = not self._found or self._found[-1].after.count("\n") + self._found[-1].after.count("\r") > 1
        if not apart or not _INDENTED.match(self._line(at)) or _MARKED.match(self._line(at)):
            return None
        end = self._while(at, _INDENTED.match)
        while not self._line(end - 1).strip():
            end -= 1
        if end < len(self._lines) and self._line(end).strip():
            return None  # only the first lines are indented: a paragraph
        return None if _reads_as_prose([self._line(i) for i in range(at, end)]) else end

    def _prose(self, at: int) -> tuple[int, Block]:
        """A paragraph or a list item with the lines that continue it, or a heading, which is one line."""
        first = self._lines[at]
        mark = "\ufeff" if at == 0 and first.startswith("\ufeff") else ""
        marker = _MARKED.match(first[len(mark) :])
        end = at + 1
        if not _HEADING.match(first):
            while end < len(self._lines) and self._line(end).strip() and not self._starts(end):
                end += 1
        whole = "".join(self._lines[at:end])
        before = mark + (marker.group() if marker else "")
        indent, body, after = _edges(whole[len(before) :])
        block = Block(before + indent, body, after)
        return end, block if _has_prose(body) else _verbatim(whole)

    def _starts(self, at: int) -> bool:
        """Whether a block of its own begins here, in the middle of a paragraph."""
        line = self._line(at)
        return bool(_MARKED.match(line)) or self._end(at) is not None


def _reads_as_prose(lines: list[str]) -> bool:
    """Whether indented lines are prose that somebody indented."""
    if any(_CODE.search(line) for line in lines):
        return False
    return bool(_ENDS.search(lines[-1])) or len(lines[0].split()) >= _ENOUGH


def _verbatim(whole: str) -> Block:
    """The same text, never sent."""
    before, body, after = _edges(whole)
    return Block(before, body, after, prose=False) if body else Block("", "", before, prose=False)


def _has_prose(body: str) -> bool:
    """Whether there is a word outside of links, code and the like."""
    return any(not token.fixed and any(map(str.isalpha, token.text)) for token in tokens(body))


def _edges(text: str) -> tuple[str, str, str]:
    match = _EDGES.fullmatch(text)
    assert match is not None  # noqa: S101 - the expression matches every text
    before, body, after = match.groups()
    return before, body, after


_SENTENCE = re.compile(rf"(?<=[.!?…])[\"'”’)]*\s+|\n\s*|(?<=[。！？])[」』”’）]*\s*|(?<=[{UNSPACED}])[，、；：]\s*")
_SPACE = re.compile(r"\s+")


def best_cut(body: str, limit: int) -> int:
    """Where the second part begins: after a sentence or a line, else after a word, of the first `limit` characters.

    Where there is no white space, and the script is written without, after a character; if even the first word is
    longer, after that one; 0 where nothing can be cut.
    """
    for kind in (_SENTENCE, _SPACE):
        # A match is stopped at the limit, its white space may go on.
        cuts = (match for match in kind.finditer(body, 0, limit + 1) if match.start() <= limit)
        ends = [len(body) - len(body[match.end() :].lstrip()) for match in cuts]
        if ends := [end for end in ends if 0 < end < len(body)]:
            return ends[-1]
    if limit and re.match(f"[{UNSPACED}]", body[limit - 1 : limit]):
        return limit if limit < len(body) else 0
    space = _SPACE.search(body)
    return space.end() if space and space.end() < len(body) else 0


def cut(block: Block, limit: int) -> Iterator[Block]:
    """A block in parts whose bodies have at most `limit` characters, as far as it can be cut."""
    before, body = block.before, block.body
    while len(body) > limit and (end := best_cut(body, limit)):
        _, head, after = _edges(body[:end])
        yield Block(before, head, after, prose=block.prose)
        before, body = "", body[end:]
    yield Block(before, body, block.after, prose=block.prose)


def marker(line: str) -> int:
    """How many of a line's characters are its indent and list marker, heading or quote sign."""
    match = _MARKED.match(line)
    return match.end() if match else 0
