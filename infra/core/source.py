"""A source tree by identity; a board compiles it, and so does the image."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from infra.core.settings import Hex40, Line, Refusal, Value, refuse


class Source(Value):
    """A source tree named by its content; mirrors only say where to look."""

    commit: Annotated[
        Hex40, Field(description="the full commit, shown to people and baked into build-info: 40 hex digits")
    ]
    tree: Annotated[
        Hex40,
        Field(
            description="git tree hash that every mirror must reproduce (`git rev-parse COMMIT^{tree}`): 40 hex digits"
        ),
    ]
    tag: Annotated[
        str, StringConstraints(pattern=r"^b[0-9]+$"), Field(description="upstream's tag of that commit, such as b5050")
    ]
    mirrors: Annotated[
        tuple[Line, ...],
        Field(
            min_length=1,
            description="where to look, in order: `git URL` or `bundle URL`; the first that yields `tree` wins",
        ),
    ]

    @property
    def number(self) -> int:
        """Upstream's build number, which is the tag's."""
        return int(self.tag[1:])

    @model_validator(mode="after")
    def _mirrors_say_their_kind(self) -> Self:
        refuse(
            Refusal(("mirrors", str(position)), mirror, "is neither `git URL` nor `bundle URL`")
            for position, mirror in enumerate(self.mirrors)
            if not re.fullmatch(r"(git|bundle) [^ ]+", mirror)
        )
        return self
