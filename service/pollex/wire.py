"""The bodies of the HTTP API. Validation and /openapi.json both come from these types."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pollex import words

MAX_BODY = 64 * 1024
"""Bytes of a request's body; more is 413."""


_Word = Annotated[str, Field(min_length=1, max_length=100)]


class PolishRequest(BaseModel):
    """A text and the model that is to polish it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    text: Annotated[str, Field(min_length=1, description="The text to polish, at most `max_chars` characters.")]
    model_id: Annotated[str, Field(min_length=1, description="An `id` of /api/models.")]
    stream: Annotated[bool, Field(description="Answer with server-sent events.")] = False
    mode: Annotated[str | None, Field(description="An `id` of /api/modes. Without it: its default.")] = None
    keep: Annotated[
        list[_Word] | None,
        Field(max_length=500, description="Words and names that are never touched, whatever their case."),
    ] = None
    quoted: Annotated[bool, Field(description="Polish quoted mail too, lines that begin with `>`.")] = False
    priority: Annotated[
        Literal["interactive", "batch"],
        Field(description="`batch`: nobody waits for it, so that it lets those go first for whom somebody does."),
    ] = "interactive"
    changes: Annotated[
        bool | None,
        Field(description="Answer with `changes` and `kept` too. Without it: where `mode` or `keep` is given."),
    ] = None

    @property
    def detailed(self) -> bool:
        """Whether the client wants to know what became of each change."""
        if self.changes is not None:
            return self.changes
        return self.mode is not None or self.keep is not None


class _Place(BaseModel):
    start: Annotated[int, Field(ge=0, description="Where it begins in the text that was sent, in code points.")]
    end: Annotated[int, Field(ge=0, description="Where it ends.")]


class Change(_Place):
    """A change that the model proposed, and what became of it."""

    before: Annotated[str, Field(description="The author's words; empty where words were put in.")]
    after: Annotated[str, Field(description="The model's words; empty where words were left out.")]
    kind: words.Kind
    verdict: Annotated[
        words.Verdict,
        Field(description="`taken` is part of `polished`; `offered` is not, but may be; `refused` had better not be."),
    ]
    reason: words.Reason
    message: Annotated[str, Field(description="The reason as a sentence for people.")]


class Kept(_Place):
    """A part of the text that stayed as it was, because its answer was bad or did not come."""

    reason: words.Reason
    message: Annotated[str, Field(description="The reason as a sentence for people.")]


class Settled(_Place):
    """What became of a part of the text; the parts come in order and without a gap."""

    text: Annotated[str, Field(description="What stands there in the polished text.")]
    changes: list[Change]
    kept: list[Kept]


class PolishResponse(BaseModel):
    """A polished text."""

    polished: str
    model: Annotated[str, Field(description="The model that answered; another than was asked for if that was down.")]
    elapsed_ms: Annotated[int, Field(ge=0)]
    boards: Annotated[
        list[str] | None,
        Field(description="The boards behind a gateway that wrote it; only of a request that asks for `changes`."),
    ] = None
    changes: Annotated[
        list[Change] | None, Field(description="All that the model proposed, in order; only of a request that asks.")
    ] = None
    kept: Annotated[
        list[Kept] | None, Field(description="What stayed because no good answer came; only of a request that asks.")
    ] = None


class Mode(BaseModel):
    """What a text can be asked to become."""

    id: str
    name: Annotated[str, Field(description="What it does, in a few words.")]
    default: Annotated[bool, Field(description="Whether a request without `mode` means this one.")]


def changes(told: Iterable[words.Change]) -> list[Change]:
    """Changes as they are sent."""
    return [Change.model_validate({**_fields(one), "message": one.message}) for one in told]


def kept(told: Iterable[words.Kept]) -> list[Kept]:
    """Parts that stayed, as they are sent."""
    return [Kept.model_validate({**_fields(one), "message": one.message}) for one in told]


def _fields(told: words.Change | words.Kept) -> dict[str, object]:
    return {field.name: getattr(told, field.name) for field in fields(told)}


Code = Literal[
    "invalid_body",
    "text_missing",
    "model_missing",
    "model_unknown",
    "mode_unknown",
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
