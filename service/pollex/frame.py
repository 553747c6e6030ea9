"""What a filter must leave alone around a text: the blanks at both ends, and the kind of line ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pollex.exits import Exit, PollexError


@dataclass(frozen=True, slots=True)
class Frame:
    """A text split into what is polished and what stands around it.

    `head + restore(core) + tail` is the text, byte for byte.
    """

    head: str
    core: str
    """The text without blanks at its ends, its lines ended by LF."""
    tail: str
    crlf: bool
    """Whether every line of the text ended by CR LF."""

    def restore(self, polished: str) -> str:
        """`polished` with the line ends of the original; works piece by piece."""
        return polished.replace("\n", "\r\n") if self.crlf else polished


def decode(data: bytes, source: str) -> str:
    """The text of `data`; `source` names it in an error."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"line {line}, byte {error.start + 1} is 0x{data[error.start]:02x}"
        remedy = "convert it first, for example: iconv -f latin1 -t utf-8"
        raise PollexError(Exit.INPUT, f"{source} is not UTF-8 text: {where}", remedy) from None


def frame(text: str, source: str) -> Frame:
    """Split `text`; one of nothing but blanks is refused."""
    core = text.strip()
    if not core:
        raise PollexError(Exit.INPUT, f"there is no text in {source}")
    start = text.index(core)
    crlf = "\r\n" in core and re.search(r"(?<!\r)\n|\r(?!\n)", core) is None
    return Frame(
        head=text[:start],
        core=core.replace("\r\n", "\n") if crlf else core,
        tail=text[start + len(core) :],
        crlf=crlf,
    )
