"""Which of the model's tokens stands for which of the author's, and the smallest edits between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from pollex.words.relations import Relation, relation
from pollex.words.tokens import Sort, Token


class Edit(NamedTuple):
    """The author's tokens `i1` to `i2` became the model's `j1` to `j2`."""

    i1: int
    i2: int
    j1: int
    j2: int


def edits(mine: Sequence[Token], theirs: Sequence[Token]) -> list[Edit]:
    """The edits in order. None holds a token that is the same in both, and one with a fixed token holds no other."""
    found: list[Edit] = []
    # autojunk would take frequent words for noise in long texts
    matcher = SequenceMatcher(None, [t.key for t in mine], [t.key for t in theirs], autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "equal":
            found += _apart(mine, theirs, _path(mine, theirs, Edit(i1, i2, j1, j2)))
    return found


_MOST = 900
"""Pairs up to which it is looked for the best way; more would take longer than it is worth."""
_GAP = 1.0
_NEVER = 9.0


def _cost(one: Token, other: Token) -> float:
    """Of one token becoming another; dropping the one and writing the other costs two gaps."""
    if one.fixed or other.fixed:
        return 1.5 if one.sort is other.sort is Sort.NUMBER else _NEVER
    if one.sort is not other.sort:
        return _NEVER
    if one.sort is Sort.SIGN:
        return 0.9
    return 1.4 if relation(one.key, other.key) is Relation.NONE else 0.5


def _path(mine: Sequence[Token], theirs: Sequence[Token], over: Edit) -> Iterator[Edit]:
    """The cheapest way through a stretch in which nothing is the same, step by step."""
    i1, i2, j1, j2 = over
    n, m = i2 - i1, j2 - j1
    if not n or not m or n * m > _MOST:
        yield from (Edit(i, i + 1, j1, j1) for i in range(i1, i2))
        yield from (Edit(i2, i2, j, j + 1) for j in range(j1, j2))
        return
    costs = [[0.0] * (m + 1) for _ in range(n + 1)]
    steps = [[(0, 0)] * (m + 1) for _ in range(n + 1)]
    for i in range(n + 1):
        for j in range(m + 1):
            if i or j:
                costs[i][j], steps[i][j] = min(_ways(mine[i1 : i1 + i], theirs[j1 : j1 + j], costs))
    way, i, j = list[Edit](), n, m
    while i or j:
        di, dj = steps[i][j]
        way.append(Edit(i1 + i - di, i1 + i, j1 + j - dj, j1 + j))
        i, j = i - di, j - dj
    yield from reversed(way)


def _ways(
    mine: Sequence[Token], theirs: Sequence[Token], costs: list[list[float]]
) -> Iterator[tuple[float, tuple[int, int]]]:
    """What it costs to come to the end of both by each possible last step."""
    i, j = len(mine), len(theirs)
    if i and j:
        yield costs[i - 1][j - 1] + _cost(mine[-1], theirs[-1]), (1, 1)
    for di, dj in ((1, 2), (2, 1), (1, 3), (3, 1)):
        if i >= di and j >= dj and joined(mine[-di:], theirs[-dj:]):
            yield costs[i - di][j - dj] + 0.4, (di, dj)
    if i:
        yield costs[i - 1][j] + _GAP, (1, 0)
    if j:
        yield costs[i][j - 1] + _GAP, (0, 1)


def joined(mine: Sequence[Token], theirs: Sequence[Token]) -> bool:
    """Whether both are the same letters, in other words: alot, a lot; well known, well-known."""
    if any(token.fixed for token in (*mine, *theirs)):
        return False
    one, other = ("".join(token.key for token in tokens).replace("'", "").replace("-", "") for tokens in (mine, theirs))
    return one == other and one.isalnum()


def _apart(mine: Sequence[Token], theirs: Sequence[Token], way: Iterator[Edit]) -> Iterator[Edit]:
    """Steps that belong together as one edit; what can be judged alone stays alone."""
    run: Edit | None = None
    for step in way:
        if _alone(mine, theirs, step):
            if run:
                yield run
            run = None
            yield step
        else:
            run = step if run is None else Edit(run.i1, step.i2, run.j1, step.j2)
    if run:
        yield run


def _alone(mine: Sequence[Token], theirs: Sequence[Token], step: Edit) -> bool:
    one, other = mine[step.i1 : step.i2], theirs[step.j1 : step.j2]
    if any(token.fixed or token.sort is Sort.SIGN for token in (*one, *other)):
        return True
    if len(one) == len(other) == 1:
        return relation(one[0].key, other[0].key) is not Relation.NONE
    return bool(one and other)
