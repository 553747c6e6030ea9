"""What messages, scripts and documents tell people to set or to run exists."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel

from infra import ROOT
from infra.core.report import group_of
from infra.hosttools.pollex_host.cli import VERBS
from infra.kinds import table
from pollex.cli import cli

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


def of_one_machine(key: str) -> str:
    """A setting of one of several boards as what it overrides: `host.port` for `hosts.nano1.host.port`."""
    return re.sub(r"^hosts\.[a-z0-9-]+\.", "", key)


def test_settings_that_are_mentioned_exist() -> None:
    """If this fails, an error tells somebody to change a setting that is none."""
    known = settings()
    wrong = {
        f"{name}: pollex:{key}"
        for name, text in texts()
        for key in re.findall(r"\bpollex:([a-z][A-Za-z0-9]*(?:\.[a-zA-Z][A-Za-z0-9-]*)*)", text)
        # `pollex:host:LlamaHost` is a type; what the service is given below `settings` is its own
        if of_one_machine(key) not in known
        and not key.startswith("polish.settings.")
        and not re.search(rf"pollex:{key}:", text)
    }
    assert not wrong


def test_targets_that_are_mentioned_exist() -> None:
    """If this fails, a document or an error names a make target that is none."""
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", Path(ROOT, "Makefile").read_text(), re.MULTILINE))
    wrong = {
        f"{name}: make {target}"
        for name, text in texts()
        for target in re.findall(r"`make ([a-z][a-z0-9-]*[a-z0-9])(?![a-z0-9-])", text)
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


def options_of(words: list[str]) -> set[str] | None:
    """The options of a command of `pollex`, or None where there is no such command."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group):
            break  # an argument
        if word not in command.commands:
            return None
        command = command.commands[word]
    parameters = [*cli.params, *command.params]
    return {"-h", "--help", *(option for one in parameters for option in [*one.opts, *one.secondary_opts])}


def wrong_in(command: str) -> bool:
    """Whether a command line of ours names a verb or an option that is none."""
    program, *words = command.split()
    if program == "pollex-host":
        verb = words[0] if words else ""
        return bool(verb) and verb not in {*VERBS, "help"}
    plain = [word for word in words if re.fullmatch("[a-z]+", word)]
    known = options_of(plain)
    return known is None or any(word.partition("=")[0] not in known for word in words if word.startswith("-"))


def test_commands_that_are_mentioned_exist() -> None:
    """If this fails, somebody types what a document or an error says and is told that there is no such command."""
    assert wrong_in("pollex polich")
    assert wrong_in("pollex polish --colour")
    assert wrong_in("pollex-host renew")
    spans = (
        (name, command)
        for name, text in texts()
        for command in re.findall(r"(?:`|^\$? *(?:ssh \S+ )?)(pollex(?:-host)?(?: [-\w=]+)+)", text, re.MULTILINE)
        if name.endswith(".md") or "`" in text
    )
    assert not {f"{name}: {command}" for name, command in spans if wrong_in(command)}


def anchors(text: str) -> set[str]:
    """What a page's headings can be linked by, as a forge makes it."""
    headings = re.findall(
        r"^#{1,6} +(.+?) *$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | set(
        re.findall(r'<a (?:id|name)="([^"]+)"', text)
    )


def test_headings_that_are_linked_exist() -> None:
    """If this fails, a reader who follows a link is put at the top of a long page."""
    wrong = set()
    for name, text in texts():
        links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text) if name.endswith(".md") else []
        links += re.findall(r"(?<!/)\b(docs/[\w/-]+\.md)#([\w-]+)", text) if not name.endswith(".md") else []
        for path, anchor in links:
            page = (ROOT / name).parent / path if name.endswith(".md") and path else ROOT / (path or name)
            if page.exists() and anchor not in anchors(page.read_text()):
                wrong.add(f"{name}: {path}#{anchor}")
    assert not wrong


def test_every_fault_of_the_table_is_tried() -> None:
    """If this fails, docs/reference/faults.md promises what no test does any more."""
    rows = re.findall(
        r"\| `(tests/[^`:]+)::(?:\w+::)?(\w+)` \|$", (ROOT / "docs/reference/faults.md").read_text(), re.MULTILINE
    )
    assert rows
    files = {file: ast.walk(ast.parse((ROOT / file).read_text())) for file in {file for file, _ in rows}}
    tried = {
        (file, node.name)
        for file, nodes in files.items()
        for node in nodes
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).startswith("pytest.mark.fault(") for mark in node.decorator_list)
    }
    assert set(rows) <= tried
