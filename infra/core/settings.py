"""The types that settings are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from infra.core.masking import holds_login

NAMESPACE = "pollex"
REFERENCE = "docs/reference/config.md"

POLISH_PORT: Final = 8090
"""The polish service's own default, and what its image listens on; the service's settings take long to import."""

MISSING: Final = object()
"""What stands where a setting is missing."""

LOGIN_IN_URL: Final = (
    "names a user or password in a URL, which would stand in the stack's state and on the host: "
    "name a server that asks for none"
)


class Shown(str):
    """What a report shows in a value's place, as it is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One setting that is wrong together with others, or by a rule of its group."""

    where: tuple[str, ...]
    """From the group that refuses to the setting, as a stack file spells it."""
    value: object
    """What stands there, MISSING, or words about it (Shown); the report decides what of a value may be shown."""
    remedy: str
    """What would be right; it repeats nothing of the value."""


REFUSED: Final = "refused"
"""Pydantic's name of the error that carries refusals."""


def refuse(refusals: Iterable[Refusal]) -> None:
    """End a group's validation with everything that it refuses, if that is anything.

    Raises:
        PydanticCustomError: carries the refusals to the report.
    """
    if every := tuple(refusals):
        raise PydanticCustomError(REFUSED, "is refused", {"refusals": every})


def _one_line(text: str) -> str:
    if not text or any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):  # noqa: PLR2004 - ASCII
        raise ValueError("must be one line without control characters")
    if holds_login(text):
        raise ValueError(LOGIN_IN_URL)
    return text


def _absolute(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
        raise ValueError("must be an absolute path without empty, . or .. parts")
    return path


def _web_address(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme not in {"https", "http", "file"} or not separator or not rest.strip("/") or " " in url:
        raise ValueError("must be an http, https or file URL without spaces")
    return url


Line = Annotated[str, AfterValidator(_one_line)]
Path = Annotated[Line, AfterValidator(_absolute)]


def _cache(url: str) -> str:
    if not url.startswith("oci://"):
        return _web_address(url)
    if not re.fullmatch(r"oci://[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+", url):
        raise ValueError("must be oci://REGISTRY/REPOSITORY, without a tag")
    return url


Url = Annotated[Line, AfterValidator(_web_address)]
CacheUrl = Annotated[Line, AfterValidator(_cache)]
Hex40 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
PublicKey = Annotated[str, StringConstraints(min_length=1)]
"""A host key as `infra.core.hostkeys` reads it; the group that has the address judges it."""


class Value(BaseModel):
    """A frozen group of settings; the stack file spells its names in camelCase."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)
