"""What can be wrong with a host, said so that a person can change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and the setting that mends it."""

    setting: str
    """Full key in the stack file, for example `pollex:host.port`."""
    text: str
    """What was found, and what to do about it."""

    def __str__(self) -> str:
        return f"{self.setting}: {self.text}"


class HostError(Exception):
    """An operation on a host failed; the text is complete and holds no secret."""


class WentBack(HostError):  # noqa: N818 - what happened, as with Lost
    """A generation was unhealthy, and the host is what it was before."""


class NotReady(HostError):  # noqa: N818 - a verdict, which lists errors
    """A host cannot take what is declared."""

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{where} has {count}; nothing was changed on it", *(f"  {problem}" for problem in problems)]
        super().__init__("\n".join(lines))


class Unreachable(NotReady):
    """A host could not be logged in to; the one problem is why."""


class Lost(HostError):  # noqa: N818 - what happened, as with ConnectionResetError's kin
    """The connection broke while something ran."""
