"""What a filter must leave alone around a text: its encoding, the blanks at both ends, and the kind of line ends."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from pollex.exits import Exit, PollexError

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks, the longer ones first: that of UTF-32 begins with that of UTF-16."""
_EDGES = re.compile(r"([\s\ufeff]*)(.*?)(\s*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Frame:
    """A text split into what is polished and what stands around it.

    `encode(head + restore(core) + tail)` is the input, byte for byte.
    """

    head: str
    """A byte order mark and blanks."""
    core: str
    """The text without blanks at its ends, its lines ended by LF."""
    tail: str
    crlf: bool
    """Whether every line of the text ended by CR LF."""
    encoding: str = "utf-8"

    def restore(self, polished: str) -> str:
        """`polished` with the line ends of the original; works piece by piece."""
        return polished.replace("\n", "\r\n") if self.crlf else polished

    def encode(self, text: str) -> bytes:
        """In the encoding of the original; works piece by piece."""
        return text.encode(self.encoding, "replace")

    def line(self, place: int) -> int:
        """The line of the input, from 1, in which a place of the core stands."""
        return self.head.count("\n") + self.core.count("\n", 0, place) + 1


def decode(data: bytes, source: str) -> tuple[str, str]:
    """The text of `data`, a byte order mark included, and its encoding; `source` names it in an error."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None) or _unmarked(data)
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            where = f"byte {error.start + 1} cannot be read"
            raise PollexError(Exit.INPUT, f"{source} looks like {encoding.upper()}, but {where}") from None
        line = data.count(b"\n", 0, error.start) + 1
        where = f"line {line}, byte {error.start + 1} is 0x{data[error.start]:02x}"
        remedy = "convert it first, for example: iconv -f latin1 -t utf-8"
        raise PollexError(Exit.INPUT, f"{source} is not UTF-8 text: {where}", remedy) from None


def _unmarked(data: bytes) -> str:
    """UTF-16 shows itself by its many zeros, all of which stand in every other place."""
    low, high = data[0::2].count(0), data[1::2].count(0)
    if max(low, high) > len(data) // 8 and min(low, high) == 0:
        return "utf-16-le" if high else "utf-16-be"
    return "utf-8"


def frame(data: bytes, source: str) -> Frame:
    """Split the text of `data`; one of nothing but blanks is refused."""
    text, encoding = decode(data, source)
    match = _EDGES.fullmatch(text)
    assert match is not None  # noqa: S101 - the expression matches every text
    head, core, tail = match.groups()
    if not core:
        raise PollexError(Exit.INPUT, f"there is no text in {source}")
    crlf = "\r\n" in core and re.search(r"(?<!\r)\n|\r(?!\n)", core) is None
    return Frame(head, core.replace("\r\n", "\n") if crlf else core, tail, crlf, encoding)
