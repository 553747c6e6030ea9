"""What messages, scripts and documents tell people to set or to run exists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from infra import ROOT
from infra.core.report import group_of
from infra.kinds import table

PLACES = (
    "infra",
    "image",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "stacks",
    "sandbox",
    "service/pollex",
)


def texts() -> Iterator[tuple[str, str]]:
    """Every text file of the product and its documents, by name."""
    listed = subprocess.run(["git", "ls-files", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\n"):
        if name.endswith((".py", ".sh", ".md", ".yaml", ".go", "Dockerfile")) and (ROOT / name).exists():
            yield name, (ROOT / name).read_text()


def settings() -> set[str]:
    """Every setting and group of every kind of stack."""

    def below(prefix: str, group: type[BaseModel]) -> Iterator[str]:
        for name, field in group.model_fields.items():
            key = f"{prefix}{field.alias or name}"
            yield key
            if inner := group_of(field.annotation):
                yield from below(f"{key}.", inner)

    return {key for kind in table.KINDS.values() for key in below("", kind.spec)}


def test_settings_that_are_mentioned_exist() -> None:
    """If this fails, an error tells somebody to change a setting that is none."""
    known = settings()
    wrong = {
        f"{name}: pollex:{key}"
        for name, text in texts()
        for key in re.findall(r"\bpollex:([a-z][A-Za-z0-9]*(?:\.[a-zA-Z][A-Za-z0-9]*)*)", text)
        # `pollex:host:LlamaHost` is a type; what the service is given below `settings` is its own
        if key not in known and not key.startswith("polish.settings.") and not re.search(rf"pollex:{key}:", text)
    }
    assert not wrong


def test_targets_that_are_mentioned_exist() -> None:
    """If this fails, a document or an error names a make target that is none."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", Path(ROOT, "Makefile").read_text(), re.MULTILINE))
    wrong = {
        f"{name}: make {target}"
        for name, text in texts()
        for target in re.findall(r"`make ([a-z][a-z-]*[a-z])(?![a-z-])", text)
        if target not in targets
    }
    assert not wrong


def test_pages_that_are_linked_exist() -> None:
    """If this fails, a reader follows a link, or an error, to a page that is gone."""
    wrong = set()
    for name, text in texts():
        for path in re.findall(r"(?<!/)\bdocs/(?!gguf\.md)[\w/-]+\.md", text):
            wrong |= set() if (ROOT / path).exists() else {f"{name}: {path}"}
        if name.endswith(".md"):
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
                wrong |= set() if (ROOT / name).parent.joinpath(link).exists() else {f"{name}: {link}"}
    assert not wrong
