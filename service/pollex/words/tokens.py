"""A text as tokens: words, signs, and atoms, which are never altered: links, code, markup, placeholders, numbers.

Between two tokens stands a gap of white space, which belongs to the author. One expression decides what an atom is, for
the author's text and for an answer alike, so that what both write in the same way is the same token in both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Sort(Enum):
    """What a token is."""

    WORD = 1
    SIGN = 2
    NUMBER = 3
    """An atom that says how much or when."""
    ATOM = 4
    """Any other atom."""
    KEPT = 5
    """A word that the author wants to keep."""
    FRAME = 6
    """A marker of a list, a quote or a heading."""


class Token(NamedTuple):
    """A stretch of text without white space around it."""

    text: str
    start: int
    sort: Sort
    key: str
    """What counts when tokens are compared: neither case nor invisible characters nor the style of quotation marks."""

    @property
    def end(self) -> int:
        """Where it ends in its text."""
        return self.start + len(self.text)

    @property
    def fixed(self) -> bool:
        """Whether it is never altered."""
        return self.sort not in (Sort.WORD, Sort.SIGN)


INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffd"
    "\U000e0000-\U000e007f\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff"
)
"""Characters that nobody sees, and those that no text needs; a model's own never come into a text."""
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that are written without spaces and compared by character: Thai, Lao, Burmese, Khmer, kana, Han."""

_NEAR = r"(?:(?!\n[ \t\r]*\n).)"
"""Any character of the same paragraph."""
_ADDRESS = r"""(?:[^\s<>"'`()\[\]{}|\\^]|\([^\s()]*\))*(?:[^\s<>"'`()\[\]{}|\\^.,;:!?*_~…。、，]|\([^\s()]*\))"""
_FILES = (
    "avi|bak|bash|bat|bin|bmp|bz2|cfg|conf|cpp|css|csv|dll|docx?|env|epub|exe|gguf|gif|gz|html?|ini|ipynb|iso|jar|"
    "java|jpe?g|js|json|log|lua|mdx?|mkv|mov|mp[34]|odt|ogg|pdf|php|png|pptx?|py|rar|rb|rst|rtf|sh|so|sql|svg|tar|tex|"
    "tgz|tiff?|toml|tsx?|txt|wav|webp|whl|xlsx?|xml|xz|ya?ml|zip|zsh"
)
_DOMAINS = "at|ca|ch|co|com|de|dev|edu|es|eu|fr|gov|info|io|it|net|nl|org|pl|se|tv|uk"
_UNITS = (
    r"%|‰|°[CFK]?|[€$£¥₹]|(?:km|cm|mm|nm|µm|μm|m)[²³23]?\b(?:/[hs]\b)?|[kmµμ]?g\b|[kMGTP]i?[Bb]\b(?:/s\b|ps\b)?|[kMG]?Hz\b|"
    r"[kMGm]?Wh?\b|m?[VA]h?\b|ms\b|min\b|[hs]\b|[mcd]?[lL]\b|dB[Am]?\b|px\b|pt\b|mph\b|rpm\b|ppm\b|k?cal\b|k?J\b|[kMh]?Pa\b|"
    r"bar\b|(?:EUR|USD|GBP|CHF|JPY|CNY|PLN|SEK)\b|[ap]\.?m\.?(?!\w)"
)
_SPACE = "[ \u00a0\u2009\u202f]"
_EMOJI = (
    "[\u203c\u2049\u20e3\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d"
    "\u3297\u3299\U0001f000-\U0001faff]"
)
_ATOMS = {
    "code": rf"(?P<tick>`+)(?!`){_NEAR}+?(?<!`)(?P=tick)(?!`)",
    "raw": rf"<(?P<raw>code|pre|kbd|samp|var|script|style|math|svg)\b[^<>]*>{_NEAR}*?</(?P=raw)\s*>",
    "comment": rf"<!--{_NEAR}*?-->",
    "autolink": r"<(?:[A-Za-z][\w+.-]{1,31}:[^\s<>]*|[\w.+-]+@[\w.-]+)>",
    "tag": r"</?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?>|<![A-Za-z][^<>]*>|<\?[^<>]*\?>",
    "wiki": r"!?\[\[[^\[\]\n]+\]\]",
    "footnote": r"\[\^[^\]\s]+\]:?",
    "image": r"!\[[^\[\]\n]*\](?:\((?:[^()\n]|\([^()\n]*\))*\)|\[[^\[\]\n]*\])",
    "self-link": r"\[[^\[\]\n]+\]\[\]",
    "link": r"\[(?=[^\[\]\n]*\][\[(])"
    r"|\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?\s*\)|\]\[[^\[\]\n]*\]",
    "math": (
        rf"\$\${_NEAR}+?\$\$|\\\({_NEAR}+?\\\)|\\\[{_NEAR}+?\\\]|\\begin\{{(?P<env>\w+\*?)\}}{_NEAR}*?\\end\{{(?P=env)\}}"
        r"|(?<![\w$\\])\$(?![\s$])(?:\\.|[^$\n\\])*?(?<![\s\\])\$(?![\w$])"
    ),
    "windows": r"(?<!\w)[A-Za-z]:\\[^\s\"'<>|]*[^\s\"'<>|.,;:!?)]|\\\\[\w.$-]+(?:\\[\w.$-]+)+",
    "command": r"\\[A-Za-z@]+\*?(?:\[[^\[\]\n]*\])*(?:\{(?:[^{}\n]|\{[^{}\n]*\})*\})*",
    "escape": r"\\[!-/:-@\[-`{-~]|\\(?=\r?\n)",
    "template": rf"\{{\{{{_NEAR}*?\}}\}}|\{{%{_NEAR}*?%\}}|\{{#{_NEAR}*?#\}}|<%{_NEAR}*?%>"
    r"|\$\{[^{}\n]*\}|\$\([^()\n]*\)",
    "url": rf"(?<![\w])(?:[A-Za-z][A-Za-z0-9+.-]{{1,20}}://|mailto:|tel:|doi:|urn:|www\.){_ADDRESS}",
    "mail": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "domain": rf"(?<![\w@.-])(?:[A-Za-z0-9-]+\.)+(?:{_DOMAINS})(?![\w-])(?:[:/]{_ADDRESS})?",
    "file": rf"(?<![\w/.])(?:[\w@+-]+/)*[\w@+.-]*[\w@+-]\.(?:{_FILES})\b(?!\.\w)",
    "path": r"(?<![\w/.)])(?:~|\.{1,2})?/(?:[\w.@+~-]+/)*[\w.@+~-]*[\w@+~-]/?|(?<![\w/])[\w.-]+/(?:[\w.-]+/)+[\w.-]*\w",
    "handle": r"(?<![\w@/])@[A-Za-z0-9_][\w.-]*\w|(?<![\w&#/])#[\w-]*\w",
    "entity": r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});",
    "variable": r"(?<![\w$])\$[A-Za-z_]\w*|(?<!\w)%[A-Za-z_]\w+%",
    "field": r"\{[\w.:!+*#?$ -]{0,60}\}",
    "format": r"%\(\w+\)[#0+-]*\d*(?:\.\d+)?[A-Za-z]"
    r"|(?<![\w%])%(?:\d+\$)?[#0+-]*\d*(?:\.\d+)?l{0,2}[sdiufFgGeExXocrpq@](?!\w)|%%",
    "blank": r"\[[A-Z][A-Z0-9_ .-]*\]|__[A-Z][A-Z0-9_]*__|_{3,}",
    "option": r"(?<![\w-])--[A-Za-z][\w-]*(?:=[^\s,;]+)?",
    "call": r"\b[A-Za-z_][\w.]*\(\)|(?<!\w)_*[A-Za-z0-9]+_\w*[A-Za-z0-9]\w*|\b\w+::\w[\w:]*",
    "smiley": r"(?<![\w:;])(?:[:;=8][-o']?[()\[\]DPpOo/|*]|<3|:'\()(?!\w)|:[a-z0-9_+-]{2,30}:",
    "emoji": rf"(?:{_EMOJI}[\ufe0e\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*)+",
    "number": (
        rf"(?<![\w])(?:[€$£¥₹]{_SPACE}?|No\.{_SPACE}?|[§№#]{_SPACE}?)?[+\-−±≈~<>≤≥]?(?:"
        r"\d{4}-\d\d-\d\d(?:T[\d:.+Z-]*\d?)?"
        rf"|\d+(?:(?:[.,:'’/×–-]|\.{_SPACE}?(?=\d\d?\.)){{1}}\d+|{_SPACE}\d{{3}}(?!\d))*)"
        rf"(?:{_SPACE}?(?:{_UNITS})|(?:[A-Za-z]|-[A-Za-z0-9])[\w-]*)?"
        r"|(?<![\w])[A-Za-z]{1,10}[-.]?\d[\w.-]*(?<![.-])|[²³¹½¼¾⅓⅔]"
    ),
    "emphasis": r"\*+|~~|(?<!\w)_{1,2}(?=\S)|(?<=\S)_{1,2}(?!\w)|={2,}|\^(?=\S)",
}
"""Everything that is never altered. The first that fits at a place wins."""

_SORTS = {
    "plain": Sort.WORD,
    "word": Sort.WORD,
    "stop": Sort.SIGN,
    "sign": Sort.SIGN,
    "keep": Sort.KEPT,
    "number_": Sort.NUMBER,
}
_PLAIN = rf"(?P<plain>(?:(?![{UNSPACED}\d_])\w)+(?=[,.;!?]*(?:\s|\Z)))|(?P<stop>(?<!\.)[,.;!?](?=\s|\Z))"
"""Most of a text; nothing else can begin there, so that the long way is not tried."""
_WORD = rf"(?:(?![{UNSPACED}\d_])\w)+(?:['’ʼ](?:(?![{UNSPACED}\d_])\w)+|\d+)*['’]?(?<!['’])|\w"
_OTHER = rf"(?P<word>{_WORD})|(?P<sign>\.{{2,}}|\S)"
_QUOTES = str.maketrans(dict.fromkeys("’‘ʼ‚`´", "'") | dict.fromkeys("“”„«»‟″", '"'))


@lru_cache(maxsize=64)
def _expression(keep: frozenset[str]) -> re.Pattern[str]:
    """All sorts of tokens in one expression; groups of its own are what `lastgroup` may name."""
    wished = "|".join(re.escape(word) for word in sorted(keep, key=len, reverse=True) if word.strip())
    kinds = [f"(?P<keep>(?<!\\w)(?i:{wished})(?!\\w))"] if wished else []
    kinds += [
        r"(?P<gap>\s+)",
        _PLAIN,
        *(f"(?P<{name.replace('-', '_')}_>{form})" for name, form in _ATOMS.items()),
        _OTHER,
    ]
    return re.compile("|".join(kinds), re.DOTALL)


_UNLIKE = re.compile(
    rf"[{INVISIBLE}]|\r(?=\n)|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|[\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
)
_BREAKS = frozenset("\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


def plain(text: str) -> tuple[str, list[int] | None]:
    """The text with ordinary blanks and line ends and without what nobody sees, and each character's former place."""
    if (text.isascii() and text.isprintable()) or not _UNLIKE.search(text):
        return text, None
    parts, places, at = list[str](), list[int](), 0
    for match in _UNLIKE.finditer(text):
        mark = match.group()
        new = "\n" if mark in _BREAKS and not text.startswith("\n", match.end()) else " " if mark.isspace() else ""
        parts += [text[at : match.start()], new]
        places += [*range(at, match.start()), *([match.start()] if new else [])]
        at = match.end()
    return "".join([*parts, text[at:]]), [*places, *range(at, len(text))]


def broken(gap: str) -> bool:
    """Whether a line ends there."""
    return not _BREAKS.isdisjoint(gap)


def tokens(text: str, keep: Collection[str] = ()) -> list[Token]:
    """The tokens of a text, in order; what stands between them is white space and what cannot be seen."""
    seen, places = plain(text)
    found = []
    for match in _expression(frozenset(keep)).finditer(seen):
        if (group := match.lastgroup or "") != "gap":
            start, end = match.span()
            said = match.group()
            if places is not None:
                start, end = places[start], places[end - 1] + 1
            found.append(Token(text[start:end], start, _SORTS.get(group, Sort.ATOM), key(said)))
    return found


@lru_cache(maxsize=8192)
def key(text: str) -> str:
    """What counts of a token when two are compared."""
    seen = text if text.isascii() else unicodedata.normalize("NFC", text).translate(_QUOTES)
    return "..." if seen in ("…", "..") else seen.casefold()
