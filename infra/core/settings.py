"""The types that settings are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

NAMESPACE = "pollex"
REFERENCE = "docs/reference/config.md"


def _one_line(text: str) -> str:
    if not text or any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):  # noqa: PLR2004 - ASCII
        raise ValueError("must be one line without control characters")
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
Url = Annotated[Line, AfterValidator(_web_address)]
Hex40 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
PublicKey = Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$")]


class Value(BaseModel):
    """A frozen group of settings; the stack file spells its names in camelCase."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)
