"""What the model is told: for each mode a system prompt and the form of the user's message.

A prompt file is plain text. As it stands it is the system prompt, and the user's message is the text to polish.
Below a line `---` it may also give the form of the user's message, which must hold `{text}` once. Below that, each
example is a text below a line `--- text` and its answer below a line `--- answer`; the model is shown them as earlier
turns of the conversation, in the same form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pollex.words import MODES

DEFAULT = "polish"
"""The mode of whoever names none."""
TITLES = {
    "correct": "Correct: mend spelling, grammar and punctuation, and leave the rest",
    "polish": "Polish: mend it, and say it clearer and shorter where that is easy",
    "shorten": "Shorten: say the same in fewer words",
    "formal": "Formal: as one writes to somebody whom one does not know",
    "plain": "Plain: short sentences and common words",
}
"""What each mode that comes with the service does, in the words of whoever chooses one."""
_SMALL = "-small"
SHIPPED = tuple(f"{mode}{size}" for size in ("", _SMALL) for mode in sorted(MODES, key=lambda mode: mode != DEFAULT))
"""Prompts that come with the service and can be named without a path."""


class PromptError(Exception):
    """A prompt cannot be read or has another form than described above."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text and what is to become of it."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What surrounds a text on its way to a model."""

    system: str
    form: str = "{text}"
    """The user's message, with `{text}` where the text stands."""
    examples: tuple[Example, ...] = ()

    def user(self, text: str) -> str:
        """The user's message for this text."""
        return self.form.replace("{text}", text)

    def turns(self, text: str) -> list[dict[str, str]]:
        """The conversation that ends with this text, without the system prompt."""
        said: list[dict[str, str]] = []
        for example in self.examples:
            said.append({"role": "user", "content": self.user(example.text)})
            said.append({"role": "assistant", "content": example.answer})
        return [*said, {"role": "user", "content": self.user(text)}]


def load(name: str) -> Prompt:
    """The prompt of a shipped name or of a file.

    Raises:
        PromptError: with the remedy.
    """
    path = Path(__file__).parent / f"{name}.txt" if name in SHIPPED else Path(name)
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(
            f"cannot be read ({error}); give a UTF-8 text file, or one of: {', '.join(SHIPPED)}"
        ) from error
    if not content.strip():
        raise PromptError("is empty; write what the model is to do")
    return _parsed(content)


def of_modes(default: str, own: Mapping[str, str] | None = None) -> dict[str, Prompt]:
    """The prompt of every mode, those of the service first.

    Args:
        default: what `polish` is told: the name of a shipped prompt, whose size the other modes then have, or a file.
        own: files by the name of a mode; a shipped mode may be among them.

    Raises:
        PromptError: one of them cannot be had; it names which.
    """
    size = _SMALL if default in SHIPPED and default.endswith(_SMALL) else ""
    names = {mode: f"{mode}{size}" for mode in MODES} | {DEFAULT: default} | dict(own or {})
    return {mode: load(name) for mode, name in names.items()}


_LINE = re.compile(r"^---(?: (text|answer))?[ \t]*$", re.MULTILINE)


def _parsed(content: str) -> Prompt:
    """A prompt file taken apart."""
    system, *rest = _LINE.split(content)
    parts = [(kind or "form", words.strip()) for kind, words in zip(rest[::2], rest[1::2], strict=True)]
    form = "{text}"
    if parts and parts[0][0] == "form":
        form = parts.pop(0)[1]
        if form.count("{text}") != 1:
            raise PromptError("has a line `---` but below it {text} does not stand exactly once")
    kinds = [kind for kind, _ in parts]
    if kinds != ["text", "answer"] * (len(kinds) // 2):
        raise PromptError("has examples in which `--- text` and `--- answer` do not take turns")
    if not all(words for _, words in parts):
        raise PromptError("has an empty text or answer among its examples")
    examples = tuple(Example(text, answer) for (_, text), (_, answer) in zip(parts[::2], parts[1::2], strict=True))
    return Prompt(system.strip(), form, examples)
