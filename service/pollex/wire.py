"""The bodies of the HTTP API. Validation and /openapi.json both come from these types."""

from __future__ import annotations

from typing import Annotated

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


class Error(BaseModel):
    """Why there is no answer."""

    error: str


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
