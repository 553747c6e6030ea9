"""LanguageTool's part of /openapi.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pollex.languagetool import wire
from pollex.languagetool.languages import LANGUAGES
from pollex.settings import Settings

TYPES = (wire.CheckResult, wire.LanguageEntry, wire.Info)

_TEXT = {"type": "string"}
_LIST = {"type": "string", "description": "Separated by commas."}
_BOTH = "Of `text` and `data` there is one."
_YES = {"type": "string", "enum": ["true", "false"]}

PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "text": (_TEXT, f"The text. {_BOTH}"),
    "data": (
        {"type": "string", "contentMediaType": "application/json"},
        f"The text as `{{text}}` or as `{{annotation: [{{text}} or {{markup, interpretAs}}, …]}}`. {_BOTH}",
    ),
    "language": (_TEXT, "A code of /v2/languages, or `auto`. It says what the answer is labelled with."),
    "preferredVariants": (_LIST, "With `auto`: codes with a country, of which the detected language takes its own."),
    "motherTongue": (_TEXT, "A code of /v2/languages; it changes nothing."),
    "disabledRules": (_LIST, "Rules whose matches are left out."),
    "enabledRules": (_LIST, "Rules whose matches are kept."),
    "disabledCategories": (_LIST, "Categories whose matches are left out."),
    "enabledCategories": (_LIST, "Categories whose matches are kept."),
    "enabledOnly": (_YES, "Whether only what is enabled is looked for."),
    "level": ({"type": "string", "enum": ["default", "picky"]}, "`picky`: with what is only offered."),
    "allowIncompleteResults": (_YES, "Whether a part of the answer, or none, is better than an error."),
    "textSessionId": (_TEXT, "What the client calls the field that is written in: a newer text of it ends the older."),
    "username": (_TEXT, "Any, beside `apiKey`."),
    "apiKey": (_TEXT, "The service's key, where it has one; the header `X-API-Key` does as well."),
}
"""What /v2/check takes, in the address or as a form; all else is passed over."""

_REFUSALS = {
    "400": "A parameter is missing or wrong; in LanguageTool's words.",
    "403": "The key is missing or wrong.",
    "413": "The text or the form is too long.",
    "429": "Too many requests of this client.",
    "500": "The check took too long. It goes on, and the same request finds it done.",
    "503": "The queue is full, the model is still being loaded, or no upstream gave an answer.",
}
_WORDS = {"text/plain": {"schema": _TEXT}}


def paths(settings: Settings, wrong_method: dict[str, Any], retry_after: dict[str, Any]) -> dict[str, Any]:
    """The paths without a prefix; below `/api` and `/languagetool` they are answered as well.

    Args:
        settings: of the service.
        wrong_method: the answer to another method than these.
        retry_after: the header of an answer after which it is worth trying again.
    """
    query = [
        {"name": name, "in": "query", "required": name == "language", "schema": schema, "description": said}
        for name, (schema, said) in PARAMETERS.items()
    ]
    properties = {name: {**schema, "description": said} for name, (schema, said) in PARAMETERS.items()}
    form = {"type": "object", "required": ["language"], "properties": properties}
    check = _operation("Check a text, as LanguageTool does", _json(_ref(wire.CheckResult)), wrong_method, _REFUSALS)
    for status in ("429", "503"):
        check["responses"][status]["headers"] = {"Retry-After": retry_after}
    result = {
        "/v2/check": {
            "get": {**check, "parameters": query},
            "post": {**check, "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": form}}}},
        }
    }
    languages = {"type": "array", "items": _ref(wire.LanguageEntry), "minItems": len(LANGUAGES)}
    for name, summary, content in (
        ("languages", "Languages that a text can be labelled with", _json(languages)),
        ("info", "Who answers", _json(_ref(wire.Info))),
        ("maxtextlength", f"Characters of a text: {settings.check_max_chars}", _WORDS),
        ("healthcheck", "The process answers", _WORDS),
    ):
        result[f"/v2/{name}"] = {"get": _operation(summary, content, wrong_method)}
    return result


def _operation(
    summary: str, content: dict[str, Any], wrong_method: dict[str, Any], refusals: Iterable[str] = ()
) -> dict[str, Any]:
    responses = {"200": {"description": "Done.", "content": content}, "405": wrong_method}
    for status in refusals:
        responses[status] = {"description": _REFUSALS[status], "content": _WORDS}
    return {"summary": summary, "responses": responses}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(type_: type) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{type_.__name__}"}
