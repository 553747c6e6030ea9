"""What of a text travels together: a model mends a sentence better when it sees the ones around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pollex.words.blocks import Block, blocks, cut


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

    @cached_property
    def before(self) -> str:
        """What stands in the text before what is sent."""
        if len(self.blocks) == 1:
            return self.blocks[0].before
        return self.whole[: len(self.whole) - len(self.whole.lstrip())]

    @cached_property
    def sent(self) -> str:
        """What the model sees: a single block without its marker, several as they stand."""
        return self.blocks[0].body if len(self.blocks) == 1 else self.whole.strip()

    @property
    def after(self) -> str:
        """What stands in the text after what is sent."""
        return self.whole[len(self.before) + len(self.sent) :]

    @property
    def markers(self) -> list[tuple[int, int]]:
        """Of each block but a single one: where its marker and its body begin in what is sent."""
        if len(self.blocks) == 1:
            return [(0, 0)]
        found, at = [], -len(self.before)
        for block in self.blocks:
            found.append((max(at, 0), max(at + len(block.before), 0)))
            at += len(block.whole)
        return found

    def parts(self) -> tuple[Piece, ...]:
        """Each block alone."""
        return tuple(Piece((block,)) for block in self.blocks)

    def smaller(self, limit: int) -> tuple[Piece, ...]:
        """The same in pieces of at most `limit` characters where it can be cut."""
        return tuple(gather((part for block in self.blocks for part in cut(block, limit)), limit))


def gather(parts: Iterable[Block], limit: int) -> list[Piece]:
    """Neighbours together, up to `limit` characters (0: no limit)."""
    found: list[Piece] = []
    for block in parts:
        last = found[-1] if found else None
        if (
            last is not None
            and last.prose
            and block.prose
            and ("\n" in last.blocks[-1].after or "\r" in last.blocks[-1].after)
            and (not limit or len(last.whole) + len(block.whole) <= limit)
        ):
            found[-1] = Piece((*last.blocks, block))
        else:
            found.append(Piece((block,)))
    return found


def pieces(text: str, limit: int, *, quoted: bool = False) -> list[Piece]:
    """The text in pieces of at most `limit` characters where it can be cut (0: no limit); they join to the text."""
    found = blocks(text, quoted=quoted)
    return gather(
        (part for block in found for part in (cut(block, limit) if limit and block.prose else [block])), limit
    )
