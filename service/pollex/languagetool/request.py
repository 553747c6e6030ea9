"""What a client asks of /v2/check, or what is wrong with it in LanguageTool's words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pollex.languagetool.languages import LANGUAGES, Detected, Language, detect, known
from pollex.languagetool.matches import Switches
from pollex.languagetool.text import Annotated, Part


class RefusedError(Exception):
    """There is no answer; the words are LanguageTool's, without the `Error: ` before them."""

    def __init__(self, words: str, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A text to check, and what its client wants to hear of it."""

    text: Annotated
    language: Language
    detected: Detected
    switches: Switches
    incomplete: bool
    """Whether the client says that it can do with a part of the answer."""
    session: str
    """What the client calls the field that is written in; empty where it does not say."""


def read(given: Mapping[str, str], most: int) -> Asked:
    """The request of some parameters; those that nobody knows are passed over.

    Args:
        given: by name.
        most: characters of a text.

    Raises:
        RefusedError: as LanguageTool refuses it.
    """
    text = _text(given)
    for old, new in RENAMED.items():
        if old in given:
            raise RefusedError(f"You specified '{old}' but {new} in v2 of the API")
    if not given.get("language"):
        raise RefusedError(
            "Missing 'language' parameter, e.g. 'language=en-US' for American English or 'language=fr' for French"
        )
    if len(text.read) > most:
        raise RefusedError(
            f"Your text exceeds the limit of {most} characters (it's {len(text.read)} characters). "
            "Please submit a shorter text.",
            413,
        )
    variants = _variants(given)
    detected = detect(text.read, variants)
    if given.get("motherTongue"):
        _language(given["motherTongue"])
    return Asked(
        text=text,
        language=detected.language if given["language"] == _AUTO else _language(given["language"]),
        detected=detected,
        switches=_switches(given),
        incomplete=given.get("allowIncompleteResults") == "true",
        session=given.get("textSessionId", ""),
    )


_AUTO = "auto"
RENAMED = {
    "enabled": "the parameter is now called 'enabledRules'",
    "disabled": "the parameter is now called 'disabledRules'",
    "preferredvariants": "the parameter is now called 'preferredVariants' (uppercase 'V')",
    "autodetect": "automatic language detection is now activated with 'language=auto'",
}
"""Parameters of LanguageTool's first API, and what became of them."""


def _text(given: Mapping[str, str]) -> Annotated:
    if "text" in given and "data" in given:
        raise RefusedError("Set only 'text' or 'data' parameter, not both")
    if "text" in given:
        return Annotated.plain(given["text"])
    if "data" not in given:
        raise RefusedError("Missing 'text' or 'data' parameter")
    try:
        data = json.loads(given["data"])
    except (ValueError, RecursionError) as error:
        raise RefusedError("Could not parse JSON from 'data' parameter") from error
    keys = {key for key in ("text", "annotation") if isinstance(data, dict) and data.get(key) is not None}
    if not keys:
        raise RefusedError("'data' key in JSON requires 'text' or 'annotation' key")
    if len(keys) > 1:
        raise RefusedError("'data' key in JSON requires either 'text' or 'annotation' key, not both")
    if keys == {"text"}:
        return Annotated.plain(_whole(data["text"]))
    annotation = data["annotation"]
    return Annotated(_part(node) for node in (annotation if isinstance(annotation, list) else [annotation]))


def _part(node: Any) -> Part:
    has = {key for key in ("text", "markup", "interpretAs") if isinstance(node, dict) and node.get(key) is not None}
    told = json.dumps(node, ensure_ascii=False, separators=(",", ":"))
    if {"text", "markup"} <= has:
        raise RefusedError(
            f"Only either 'text' or 'markup' are supported in an object in 'annotation' list, not both: {told}"
        )
    if {"text", "interpretAs"} <= has:
        raise RefusedError(f"'text' cannot be used with 'interpretAs' (only 'markup' can): {told}")
    if "text" in has:
        return Part(_whole(node["text"]), _whole(node["text"]))
    if "markup" in has:
        return Part(_whole(node["markup"]), _whole(node.get("interpretAs", "")), markup=True)
    raise RefusedError(f"Only 'text' and 'markup' are supported in 'annotation' list: {told}")


def _whole(value: Any) -> str:
    """A value as text; halves of a character, which JSON can hold and nothing can send, are as long when replaced."""
    return _HALF.sub("\ufffd", value if isinstance(value, str) else json.dumps(value))


_HALF = re.compile("[\ud800-\udfff]")


def _language(code: str) -> Language:
    if (language := known(code)) is None:
        codes = ", ".join(sorted(one.long for one in LANGUAGES))
        raise RefusedError(f"'{code}' is not a language code known to LanguageTool. Supported codes are: {codes}.")
    return language


def _variants(given: Mapping[str, str]) -> list[str]:
    variants = _list(given, "preferredVariants")
    if variants and given["language"] != _AUTO:
        raise RefusedError("You specified 'preferredVariants' but you didn't specify 'language=auto'")
    for variant in variants:
        if "-" not in variant:
            raise RefusedError(f"Invalid format for 'preferredVariants', expected a dash as in 'en-GB': '{variant}'")
        if known(variant) is None:
            raise RefusedError(f"Invalid 'preferredVariants', no such language/variant found: '{variant}'")
    return variants


def _switches(given: Mapping[str, str]) -> Switches:
    switches = Switches(
        disabled_rules=frozenset(_list(given, "disabledRules")),
        enabled_rules=frozenset(_list(given, "enabledRules")),
        disabled_categories=frozenset(_list(given, "disabledCategories")),
        enabled_categories=frozenset(_list(given, "enabledCategories")),
        enabled_only=given.get("enabledOnly") in ("true", "yes"),
        picky=given.get("level") == "picky",
    )
    if given.get("level", "default") not in ("default", "picky"):
        raise RefusedError("If 'level' is set, it must be set to 'default' or 'picky'")
    if switches.enabled_only and (switches.disabled_rules or switches.disabled_categories):
        raise RefusedError("You cannot specify disabled rules or categories using enabledOnly=true")
    if switches.enabled_only and not (switches.enabled_rules or switches.enabled_categories):
        raise RefusedError("You must specify enabled rules or categories when using enabledOnly=true")
    return switches


def _list(given: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in given.get(name, "").split(",") if part.strip()]
