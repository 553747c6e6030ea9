"""Languages by the codes that LanguageTool gives them, and which one a text is in."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """A language, or a variant of one."""

    name: str
    code: str
    """Without a variant: `en`."""
    long: str
    """With one, where there is one: `en-US`."""


def _table(text: str) -> tuple[Language, ...]:
    rows = (line.strip().split(" ", 1) for line in text.strip().splitlines())
    return tuple(Language(name, long.partition("-")[0], long) for long, name in rows)


LANGUAGES = _table(
    """
    ar Arabic
    ca-ES Catalan
    zh-CN Chinese
    da-DK Danish
    nl Dutch
    nl-BE Dutch (Belgium)
    en English
    en-AU English (Australian)
    en-CA English (Canadian)
    en-GB English (GB)
    en-NZ English (New Zealand)
    en-ZA English (South African)
    en-US English (US)
    fr French
    fr-BE French (Belgium)
    fr-CA French (Canada)
    fr-CH French (Switzerland)
    de German
    de-AT German (Austria)
    de-DE German (Germany)
    de-CH German (Swiss)
    el-GR Greek
    it Italian
    ja-JP Japanese
    no Norwegian
    pl-PL Polish
    pt Portuguese
    pt-BR Portuguese (Brazil)
    pt-PT Portuguese (Portugal)
    ro-RO Romanian
    ru-RU Russian
    es Spanish
    es-AR Spanish (voseo)
    sv Swedish
    uk-UA Ukrainian
    """
)
"""What clients may ask for, by name; whether the model knows it is another matter."""

_BY_CODE = {language.long.lower(): language for language in LANGUAGES} | {
    language.code: language
    for language in reversed(LANGUAGES)
    if language.long == language.code or language.code not in {other.long for other in LANGUAGES}
}
_VARIANTS = {"en": "en-US", "de": "de-DE", "pt": "pt-PT"}
"""What a text in a language is taken for that has to be written in one of its variants."""


def known(code: str) -> Language | None:
    """The language of a code; one whose country is not listed is its language without a country."""
    parts = code.lower().replace("_", "-").split("-")
    return _BY_CODE.get("-".join(parts[:2])) or (_BY_CODE.get(parts[0]) if len(parts) > 1 else None)


_WORDS = {
    "en": "the and is of to in that it was for on are with as at be this have from not he she they you we",
    "de": "der die das und ist nicht ein eine zu den mit sich auf für von dem ich auch wie wir es im",
    "fr": "le la les et est de des un une dans que pour pas qui sur il elle nous vous je du en au ce",
    "es": "el la los las y es de que en un una por no con para se su lo como más del al está",
    "it": "il lo la gli e è di che un una per non con sono del della nel ho si le da anche",
    "pt": "o a os as e é de que um uma para não com em se do da no na por mais está como",
    "nl": "de het een en is van dat niet op te in zijn voor met aan ik er maar om ook wij hij",
    "sv": "och att det som en ett är på inte för av med den jag till har vi de om från",
    "da": "og at det som en et er på ikke for af med den jeg til har vi de om fra",
    "no": "og at det som en et er på ikke for av med den jeg til har vi de om fra",
    "pl": "i w nie na się z że do jest to jak ale po co tak za od przez już był",
    "ro": "și în nu la de un o este pe cu care din să mai că pentru sunt",
    "ca": "el la els les i és de que un una per no amb en al del són més com",
}
_SETS = {code: frozenset(text.split()) for code, text in _WORDS.items()}
_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "ARABIC": "ar",
    "GREEK": "el",
    "CYRILLIC": "ru",
}
_WORD = re.compile(r"[^\W\d_]+")
_UKRAINIAN = frozenset("іїєґ")
_ENOUGH = 2
"""Small words of a language without which a text in Latin letters is taken for English."""
_LOOKED_AT = 4000
"""Characters of a text from which its language is told."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What a text seems to be in, and how sure that is, from 0 to 1."""

    language: Language
    confidence: float


def detect(text: str, variants: Sequence[str] = ()) -> Detected:
    """The language that a text seems to be in, by its letters and small words; English where nothing tells.

    Args:
        text: the author's.
        variants: codes with a country; the first one of the detected language is taken.
    """
    code, confidence = _code(text[:_LOOKED_AT])
    own = next((variant for variant in variants if variant.lower().startswith(f"{code}-") and known(variant)), None)
    language = known(own or _VARIANTS.get(code, code))
    assert language is not None  # noqa: S101 - the tables hold it
    return Detected(language, confidence)


def _code(text: str) -> tuple[str, float]:
    letters = Counter(unicodedata.name(letter, "").split(" ")[0].split("-")[0] for letter in text if letter.isalpha())
    if not letters:
        return "en", 0.0
    script, count = letters.most_common(1)[0]
    if script in _SCRIPTS:
        code = _SCRIPTS[script]
        if code == "zh" and letters["HIRAGANA"]:
            code = "ja"
        if code == "ru" and _UKRAINIAN & frozenset(text.lower()):
            code = "uk"
        return code, round(count / letters.total(), 2)
    words = _WORD.findall(text.lower())
    hits = {code: sum(word in own for word in words) for code, own in _SETS.items()}
    best, most = max(hits.items(), key=lambda item: item[1])
    second = max(count for code, count in hits.items() if code != best)
    if most < _ENOUGH or hits["en"] == most:
        best = "en"
    return best, round((most - second) / most * 0.99, 2) if most else 0.0
