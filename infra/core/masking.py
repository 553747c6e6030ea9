"""What may be shown of a text that a person or a program gave: never a secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMES = (
    r"(?:private[-_]?key|api[-_]?keys?|password|passphrase|passwd|token|secret|credentials?|authorization|signature)"
)
_SECRET_NAME = re.compile(rf"{_NAMES}$", re.IGNORECASE)

# No expression may look at a stretch of a long line once for each of its characters: what stands before the part that
# decides is bounded.
_LOGIN = re.compile(r"(https?://)[^\s/?#]*@|(\w[\w+.-]{0,31}://)[^\s/?#:]*:[^\s/?#]*@", re.IGNORECASE)
"""Where a URL names a password, or a user of a web server, which is often a token; `ssh://git@` is none."""
_BARE_LOGIN = re.compile(r"(?<![\w./:@-])([\w.+-]{1,64}:)[^\s/?#@]{1,256}@(?!sha256:)(?=\w)")
"""The same where no `https://` stands before it, as registries are written; an image's digest is none."""
_QUERY = re.compile(rf"(?<=[?&])([^=&?\s]{{0,64}}{_NAMES})=[^&\s\"']*", re.IGNORECASE)
_OPTION = re.compile(rf"((?<![\w-])(?:--?|[A-Z])[\w-]*?{_NAMES}|-hft)([= \"',]+)[^\s\"',=]+", re.IGNORECASE)
_BLOCK = re.compile(r"-----BEGIN .*", re.DOTALL)
_KEY = re.compile(r"\b(?:(?:sk-|ghp_|github_pat_|glpat-|hf_|dckr_pat_|xox[a-z]-)[\w-]{8,}|pollex_[\w-]{43})")

MASK = "***"


def is_secret_name(name: str) -> bool:
    """Whether a setting, a variable or an option of that name holds a secret, however it is spelt."""
    return bool(_SECRET_NAME.search(name.strip("-"))) or name == "-hft"


def masked(text: str) -> str:
    """The text with `***` where a URL has a user and password, a query or an option a key, and where a key stands."""
    text = _BLOCK.sub(MASK, text)
    text = _LOGIN.sub(rf"\1\2{MASK}@", text)
    text = _BARE_LOGIN.sub(rf"\1{MASK}@", text)
    text = _QUERY.sub(rf"\1={MASK}", text)
    text = _OPTION.sub(rf"\1\2{MASK}", text)
    return _KEY.sub(MASK, text)


def holds_login(text: str) -> bool:
    """Whether a URL in the text names a password, or a user of a web server, which is often a token."""
    return bool(_LOGIN.search(text))


def secret_options(words: Sequence[str]) -> list[int]:
    """The places of a command line's words that are options with a secret, in their own word or the next."""
    found = []
    for place, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if name.startswith("-") and is_secret_name(name) and (equals or place + 1 < len(words)):
            found.append(place)
    return found
