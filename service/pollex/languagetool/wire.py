"""The bodies of LanguageTool's HTTP API, version 2; their names are LanguageTool's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

_Units = Annotated[int, Field(ge=0, description="In UTF-16 code units.")]


class Software(BaseModel):
    """Who answers."""

    name: str
    version: str
    buildDate: str  # noqa: N815 - LanguageTool's name
    apiVersion: int  # noqa: N815 - LanguageTool's name
    premium: bool
    status: str


class Warnings(BaseModel):
    """What is to be known of the matches."""

    incompleteResults: bool  # noqa: N815 - LanguageTool's name
    incompleteResultsReason: str | None = None  # noqa: N815 - LanguageTool's name


class DetectedLanguage(BaseModel):
    """What the text seems to be in."""

    name: str
    code: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    source: str


class CheckedLanguage(BaseModel):
    """What the text was taken for."""

    name: str
    code: str
    detectedLanguage: DetectedLanguage  # noqa: N815 - LanguageTool's name


class Replacement(BaseModel):
    """What may stand there instead."""

    value: str


class Context(BaseModel):
    """Some of the text around a match."""

    text: str
    offset: _Units
    length: _Units


class Type(BaseModel):
    """How a client may show a match."""

    typeName: str  # noqa: N815 - LanguageTool's name


class Category(BaseModel):
    """What clients switch on and off together."""

    id: str
    name: str


class Rule(BaseModel):
    """What clients switch on and off."""

    id: str
    description: str
    issueType: str  # noqa: N815 - LanguageTool's name
    category: Category
    isPremium: bool = False  # noqa: N815 - LanguageTool's name


class Match(BaseModel):
    """A place that may be wrong."""

    message: str
    shortMessage: str  # noqa: N815 - LanguageTool's name
    replacements: list[Replacement]
    offset: _Units
    length: _Units
    context: Context
    sentence: str
    type: Type
    rule: Rule
    ignoreForIncompleteSentence: bool = False  # noqa: N815 - LanguageTool's name
    contextForSureMatch: int = 0  # noqa: N815 - LanguageTool's name


class CheckResult(BaseModel):
    """The answer of /v2/check."""

    software: Software
    warnings: Warnings
    language: CheckedLanguage
    matches: list[Match]
    sentenceRanges: list[tuple[int, int]]  # noqa: N815 - LanguageTool's name


class LanguageEntry(BaseModel):
    """A language of /v2/languages."""

    name: str
    code: str
    longCode: str  # noqa: N815 - LanguageTool's name


class Info(BaseModel):
    """The answer of /v2/info."""

    software: Software
