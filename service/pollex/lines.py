"""Lines as a protocol means them: ended by LF, CR or both.

Text splits at more than that (U+2028, U+2029, U+0085, form feeds), all of which may stand in the middle of somebody's
JSON string.
"""

from __future__ import annotations

import re

_END = re.compile(rb"\r\n|\n|\r")


class Lines:
    """Lines out of pieces that may be cut anywhere, in the middle of a character too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[str]:
        """The lines that this piece completes, without their ends; bytes that are no UTF-8 become U+FFFD."""
        data = self._rest + piece
        *whole, self._rest = _END.split(data)
        if data.endswith(b"\r"):
            # It may be the first half of an end: the line waits for what follows.
            self._rest = whole.pop() + b"\r"
        return [line.decode("utf-8", "replace") for line in whole]

    def end(self) -> list[str]:
        """What came after the last end of a line, or nothing."""
        rest, self._rest = self._rest, b""
        return [rest.removesuffix(b"\r").decode("utf-8", "replace")] if rest else []
