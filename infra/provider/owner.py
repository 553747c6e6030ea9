"""To which stack a host belongs: who claimed it, and who may take it over. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from secrets import token_hex
from typing import Self

from infra.provider.problems import Problem


@dataclass(frozen=True, slots=True)
class Owner:
    """A stack, as a host knows it; two states of the same name are two owners."""

    stack: str
    """`PROJECT/STACK`."""
    claim: str
    """Hex digits that only this stack's state knows."""

    @classmethod
    def of(cls, stack: str, former: str | None) -> Self:
        """A stack that goes by this name, with the claim that it had under that or another name, or a new one."""
        return cls(stack, former.rpartition("#")[2] if former else token_hex(4))

    @classmethod
    def written(cls, text: str) -> Self | None:
        """What stands in /opt/pollex/owner.json; None where nothing does."""
        try:
            stack, _, claim = str(json.loads(text)["owner"]).rpartition("#")
        except (ValueError, LookupError, TypeError):
            return None
        return cls(stack, claim)

    @property
    def text(self) -> str:
        """What is written there."""
        return json.dumps({"owner": str(self)})

    def refused(self, former: Owner | None, takeover: str | None) -> list[Problem]:
        """Why this owner may not have what belongs to another; `takeover` names the one that gives way."""
        if former is None or former.claim == self.claim or takeover == str(former):
            return []
        return [
            Problem(
                "pollex:host.takeover",
                f"the host belongs to the stack {former}, and this is {self.stack}: choose another host, or destroy "
                f"that stack first\n"
                f"    if it is to give way, or its state is lost: "
                f"pulumi config set --path pollex:host.takeover '{former}'\n"
                f"    if this resource was only renamed: give it its former name as an alias",
            )
        ]

    def __str__(self) -> str:
        return f"{self.stack}#{self.claim}"
