"""What the model is told: for each mode a system prompt and the form of the user's message.

A prompt file is plain text. As it stands it is the system prompt, and the user's message is the text to polish.
Below a line `---` it may also give the form of the user's message, which must hold `{text}` once.
"""

from __future__ import annotations

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
class Prompt:
    """What surrounds a text on its way to a model."""

    system: str
    form: str = "{text}"
    """The user's message, with `{text}` where the text stands."""

    def user(self, text: str) -> str:
        """The user's message for this text."""
        return self.form.replace("{text}", text)


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
    system, line, form = content.partition("\n---\n")
    if line and form.count("{text}") != 1:
        raise PromptError("has a line `---` but below it {text} does not stand exactly once")
    if not content.strip():
        raise PromptError("is empty; write what the model is to do")
    return Prompt(system.strip(), form.strip() if line else "{text}")


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
