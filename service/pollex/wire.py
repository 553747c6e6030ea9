"""The bodies of the HTTP API. Validation and /openapi.json both come from these types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_BODY = 64 * 1024
"""Bytes of a request's body; more is 413."""


class PolishRequest(BaseModel):
    """A text and the model that is to polish it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    text: Annotated[str, Field(min_length=1, description="The text to polish, at most `max_chars` characters.")]
    model_id: Annotated[str, Field(min_length=1, description="An `id` of /api/models.")]
    stream: Annotated[bool, Field(description="Answer with server-sent events.")] = False


class PolishResponse(BaseModel):
    """A polished text."""

    polished: str
    model: Annotated[str, Field(description="The model that answered; another than was asked for if that was down.")]
    elapsed_ms: Annotated[int, Field(ge=0)]


Code = Literal[
    "invalid_body",
    "text_missing",
    "model_missing",
    "model_unknown",
    "text_too_long",
    "body_too_large",
    "key_missing",
    "key_wrong",
    "not_found",
    "method_not_allowed",
    "bad_request",
    "rate_limited",
    "queue_full",
    "loading",
    "out_of_time",
    "upstream_failed",
    "internal",
]
"""What a program tells refusals apart by; their words are for people and may change."""


class Error(BaseModel):
    """Why there is no answer."""

    error: Annotated[str, Field(description="In words, for a person.")]
    code: Annotated[Code, Field(description="For a program.")]
    size: Annotated[int | None, Field(description="Of the text, where it is too long.")] = None
    most: Annotated[int | None, Field(description="That would be possible, where the text is too long.")] = None
    unit: Annotated[Literal["characters", "tokens"] | None, Field(description="Of these two.")] = None


class StreamError(Error):
    """The last event of a stream that failed."""

    status: Annotated[int, Field(description="The status that the answer without streaming would have had.")]
    retry_after: Annotated[int | None, Field(description="Seconds, where it would have had a Retry-After.")] = None


class Model(BaseModel):
    """A model that can be asked for."""

    id: str
    name: str
    provider: str


class AdapterHealth(BaseModel):
    """Whether an upstream answers."""

    available: bool
    reason: Annotated[str | None, Field(description="Only where it does not answer.")] = None


class Health(BaseModel):
    """The service and its upstreams."""

    status: str
    version: str
    adapters: dict[str, AdapterHealth]


class Probe(BaseModel):
    """The answer of /livez and /readyz."""

    status: str
    reasons: Annotated[list[str], Field(description="What keeps the service from being ready.")] = []
