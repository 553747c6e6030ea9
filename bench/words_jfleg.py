"""JFLEG: sentences of people who learn English, each corrected by four others.

Napoles, Sakaguchi and Tetreault, "JFLEG: A Fluency Corpus and Benchmark for Grammatical Error Correction" (2017). Its
licence (CC BY-NC-SA 4.0) keeps it out of this project: a measurement reads it from the folder that POLLEX_JFLEG names.
Its lines are tokens with spaces between; a writer's text has none before a comma, so sentences are written as people
write them before they are sent, and what comes back is taken apart again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sandbox.machine import SandboxError

VARIABLE = "POLLEX_JFLEG"
REFERENCES = 4


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the corpus, in tokens."""

    source: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        """As its author would have written it."""
        return written(self.source)


def load() -> list[Sentence]:
    """The development part.

    Raises:
        SandboxError: the folder is not named, or holds something else.
    """
    if not (named := os.environ.get(VARIABLE)):
        raise SandboxError(
            f"{VARIABLE} is not set\n  the sentences may not be part of this project: name a folder with JFLEG's "
            f"development part in it (dev.src, dev.ref0 to dev.ref{REFERENCES - 1}), which its authors publish"
        )
    files = [Path(named, f"dev.{part}") for part in ("src", *(f"ref{number}" for number in range(REFERENCES)))]
    if missing := [file.name for file in files if not file.is_file()]:
        raise SandboxError(f"{VARIABLE}: {named} lacks {', '.join(missing)} of JFLEG's development part")
    columns = [[tuple(line.split()) for line in file.read_text(encoding="utf-8").splitlines()] for file in files]
    if len({len(column) for column in columns}) != 1:
        lengths = ", ".join(f"{file.name} {len(column)}" for file, column in zip(files, columns, strict=True))
        raise SandboxError(f"{VARIABLE}: the files of {named} do not have the same number of lines: {lengths}")
    return [Sentence(source, tuple(references)) for source, *references in zip(*columns, strict=True)]


_JOINED = re.compile(r" (?=[.,;:?!)%]|['’](?:s|re|ve|m|ll|d)?\b|['’](?: |$)|n['’]t\b)|(?<=\() |(?<=\d) (?=\d)")
_QUOTED = re.compile(r'" ([^"]*) "')


def written(tokens: tuple[str, ...]) -> str:
    """The tokens as a person writes them."""
    return _QUOTED.sub(r'"\1"', _JOINED.sub("", " ".join(tokens)))


_TOKEN = re.compile(
    r"""
      \w+(?=n['’]t\b) | n['’]t\b                       # do n't
    | ['’](?:s|re|ve|m|ll|d)\b                         # he 's
    | (?:Mr|Mrs|Ms|Dr|St|etc)\.(?=\s)                  # an abbreviation inside a sentence
    | \d(?=\d)                                         # the corpus has every digit alone
    | \w+(?:[-/.`]\w+)*                                # a word, a compound, an address
    | \.{2,} | -{2,} | ''                              # signs of several characters
    | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)


def tokens(text: str) -> tuple[str, ...]:
    """A text taken apart as the corpus is."""
    return tuple(_TOKEN.findall(text))
