"""/openapi.json, made from the types that validate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pollex import __version__, prompts, wire
from pollex.languagetool import openapi as languagetool
from pollex.settings import Settings

_TYPES = (
    wire.PolishRequest,
    wire.PolishResponse,
    wire.Settled,
    wire.Error,
    wire.StreamError,
    wire.Model,
    wire.Mode,
    wire.Health,
    wire.Probe,
    *languagetool.TYPES,
)
_REASONS = {
    "400": "The body is wrong, the text too long, or the model or the mode unknown.",
    "401": "The key is missing or wrong.",
    "405": "Another method.",
    "413": "The body is larger than 64 KiB.",
    "429": "Too many requests of this client.",
    "502": "No upstream gave a whole answer.",
    "503": "The queue is full, the model is still being loaded, or the time is over.",
}
_RETRY_AFTER = {
    "description": "Seconds after which it is worth trying again; absent where nobody knows.",
    "schema": {"type": "integer", "minimum": 1},
}
_EVENTS = (
    "Events: any number of `queue` `{position}` (only of a request that waits; 0 is running), `delta` `{text}` "
    "(append; provisional) and, of a request that asks for changes, `settled` (a Settled: what became of the next part "
    "of the text); then one `done` (a PolishResponse; its text counts) or `error` (a StreamError). Comments keep the "
    "connection alive. A refusal that is known before the first event is an ordinary answer with its own status."
)

_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["queue", "delta", "settled", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
"""Each event of the stream; what `data` holds stands in the description."""


def document(settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a service with these settings."""
    _, schemas = models_json_schema(
        [(type_, "serialization" if type_ is not wire.PolishRequest else "validation") for type_ in _TYPES],
        ref_template="#/components/schemas/{model}",
    )
    definitions = schemas["$defs"]
    properties = definitions["PolishRequest"]["properties"]
    properties["text"]["maxLength"] = settings.max_chars
    properties["model_id"]["enum"] = settings.model_ids()
    properties["mode"]["anyOf"][0]["enum"] = [*prompts.of_modes(settings.prompt_path, settings.modes)]
    models = {"type": "array", "items": _ref(wire.Model)}
    modes = {"type": "array", "items": _ref(wire.Mode)}
    paths: dict[str, Any] = {
        "/api/polish": {"post": _polish()},
        "/api/models": {"get": _operation("The models that can be asked for", models, ("401", "405", "429"))},
        "/api/modes": {"get": _operation("What a text can become", modes, ("401", "405", "429"))},
        "/api/health": {"get": _operation("The service and its upstreams", _ref(wire.Health), ("405", "429"))},
        "/livez": {"get": _operation("The process answers", _ref(wire.Probe), ("405",))},
        "/readyz": {"get": _operation("An upstream can generate", _ref(wire.Probe), ("405",))},
        **languagetool.paths(settings, _answer(_REASONS["405"], _ref(wire.Error)), _RETRY_AFTER),
    }
    paths["/readyz"]["get"]["responses"]["503"] = _answer("No upstream can, and why.", _ref(wire.Probe))
    paths["/metrics"] = {"get": {"summary": "Prometheus metrics", "responses": {"200": {"description": "Text."}}}}
    result: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "pollex", "version": __version__, "description": "A private text polisher."},
        "paths": paths,
        "components": {"schemas": definitions},
    }
    if settings.api_key.get_secret_value() or settings.api_keys:
        result["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        for path in ("/api/polish", "/api/models", "/api/modes", "/v2/check"):
            for operation in paths[path].values():
                operation["security"] = [{"key": []}]
    return result


def _polish() -> dict[str, Any]:
    operation = _operation("Polish a text", _ref(wire.PolishResponse), _REASONS)
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(wire.PolishRequest)}}}
    operation["responses"]["200"]["content"]["text/event-stream"] = {"schema": _EVENT}
    operation["description"] = (
        f"With `stream`, or `Accept: text/event-stream`, the answer comes as it is made. {_EVENTS}"
    )
    return operation


def _operation(summary: str, schema: dict[str, Any], refusals: Iterable[str]) -> dict[str, Any]:
    responses = {"200": _answer("Done.", schema)}
    responses |= {status: _answer(_REASONS[status], _ref(wire.Error)) for status in refusals}
    for status in {"429", "503"} & responses.keys():
        responses[status]["headers"] = {"Retry-After": _RETRY_AFTER}
    return {"summary": summary, "responses": responses}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(type_: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{type_.__name__}"}
