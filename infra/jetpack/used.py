"""What is used of a host's own programs, read from the texts that go there: units, shell scripts, the tools' Python.

A feature is a program and one word: an option (with the command in front where the program has another name), a
subcommand, a setting, a directive of a unit with `=` behind it, a group of system calls.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from infra import HOST_FOLDER, ROOT
from infra.core import hostkeys

Feature = tuple[str, str]
"""Program (as the table names it), and what is used of it."""

_COMMANDS: Final = {
    "apt": "apt-get",
    "binutils": "strip",
    "coreutils": """cat chmod cp cut date df dirname du head id mkdir mv od readlink rm rmdir sha256sum sort sync tr
        uname""",
    "dpkg": "dpkg dpkg-query",
    "findutils": "find",
    "glibc": "getconf ldd",
    "iproute2": "ip",
    "mawk": "awk",
    "python": "python3",
    "sudo": "sudo visudo",
    "systemd": "journalctl systemctl",
    **{name: name for name in ("cmake", "curl", "git", "grep", "ninja", "openssl", "patch", "sed", "tar")},
}
PROGRAMS: Final = {command: program for program, commands in _COMMANDS.items() for command in commands.split()}
"""Command to the program that it comes with, as the table names it."""

_SHELL: Final = (
    "[ : break case cd command continue echo eval exec exit export printf pwd read return set sh shift trap umask"
)
"""What a POSIX shell knows by itself."""

_BEFORE: Final = {"as_root", "exec", "sudo", "command"}
"""Words in front of a command."""
_SUBCOMMANDS: Final = {"apt-get", "git", "ip", "openssl", "systemctl"}
_STARTS: Final = {"output", "quiet"}
"""Functions of the tools that start the program that their first argument names."""
_LOOSE: Final = {
    "download.py": {"-fL": "curl", "--retry": "curl", "--speed-limit": "curl"},
    "source.py": {"--filter": "git", "--git-dir": "git", "--dry-run": "patch"},
}
"""Modules of the tools in which options stand in lists of their own: the first of such a list to its command."""
_METHODS: Final = {("source.py", "_command"): "git", ("source.py", "_git"): "git"} | {
    ("systemd.py", name): "systemctl" for name in ("_done", "_told")
}
"""Functions of the tools that put the program in front of their arguments."""

UNITS: Final = (HOST_FOLDER / "pollex-build@.service", HOST_FOLDER / "pollex-return.service")
SCRIPTS: Final = (
    HOST_FOLDER / "pollex-host",
    HOST_FOLDER / "recipe.sh",
    *sorted((ROOT / "infra/provider").glob("*.sh")),
    ROOT / "infra/board/board.sh",
    ROOT / "service/pollex.sh",
)
TOOLS: Final = tuple(sorted((HOST_FOLDER / "pollex_host").glob("*.py")))


def everything(units: Iterable[str]) -> set[Feature]:
    """All that is used: by the texts of these units and of the build's, by the scripts and by the tools."""
    found = {("openssh", kind) for kind in hostkeys.KINDS} | {("python", "tools"), ("python", "service")}
    for text in (*units, *(unit.read_text() for unit in UNITS)):
        found |= of_unit(text)
    for script in SCRIPTS:
        found |= of_script(script.read_text())
    for module in TOOLS:
        found |= of_python(module.name, module.read_text())
    return found


def of_unit(text: str) -> set[Feature]:
    """The directives of a unit, and the groups in its filter of system calls."""
    names = set(re.findall(r"^([A-Z][A-Za-z]+=)", text, re.MULTILINE))
    filtered = " ".join(re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE))
    return {("systemd", word) for word in names | set(re.findall(r"@[a-z-]+", filtered))}


def of_script(text: str) -> set[Feature]:
    """The commands of a shell script and their options.

    Raises:
        LookupError: a command is in no list here.
    """
    shfmt = [str(ROOT / ".venv/bin/shfmt"), "-ln", "posix", "--to-json"]
    tree = json.loads(subprocess.run(shfmt, input=text, capture_output=True, text=True, check=True).stdout)
    own = {node["Name"]["Value"] for node in _nodes(tree) if node.get("Type") == "FuncDecl"}
    found = set[Feature]()
    for node in _nodes(tree):
        if node.get("Type") == "CallExpr" and node.get("Args"):
            words = [_word(word) for word in node["Args"]]
            found |= _of_command(words, own)
    return found


def of_python(name: str, text: str) -> set[Feature]:
    """The programs that a module of the tools starts, and their options.

    Args:
        name: of the module's file.
        text: its text.

    Raises:
        LookupError: it starts a program that is in no list here.
    """
    found = set[Feature]()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Tuple(elts=items) | ast.List(elts=items):
                words = _constants(items)
                if not any(word.startswith(("-", "…")) for word in words):
                    continue  # names, such as those of folders
            case ast.Call(func=ast.Attribute(attr=function) | ast.Name(id=function), args=items):
                words = _constants(items)
                if function in _STARTS and words and words[0].isalpha() and words[0] not in {*PROGRAMS, "sh"}:
                    raise LookupError(f"infra/jetpack/used.py does not know which program {words[0]} comes with")
                if (program := _METHODS.get((name, function))) is not None:
                    words = [program, *words]
            case _:
                continue
        if words and words[0].startswith("-") and name in _LOOSE:
            words = [_LOOSE[name][words[0].partition("=")[0]], *words]
        if words and words[0] in PROGRAMS:
            found |= _of_command(words, set())
    return found


def _of_command(words: Sequence[str], own: set[str]) -> set[Feature]:
    """The features in a command line; what cannot be known before it runs is `…` in it.

    Raises:
        LookupError: the command is in no list here.
    """
    name, *rest = words
    found = set[Feature]()
    if name in PROGRAMS:
        found = {(PROGRAMS[name], _feature(name, word)) for word in _said_to(name, rest)}
    elif name not in {*_SHELL.split(), *own, "nvpmodel"} and "…" not in name and "=" not in name:
        raise LookupError(f"infra/jetpack/used.py does not know which program {name} comes with")
    found |= {("cmake", word[2:].partition("=")[0]) for word in rest if word.startswith("-DCMAKE_")}
    if name in _BEFORE and (after := [word for word in rest if word in PROGRAMS]):
        found |= _of_command(rest[rest.index(after[0]) :], own)
    return found


def _said_to(name: str, rest: Sequence[str]) -> set[str]:
    """The words behind a command that are features of its program; the command itself where there are none."""
    rest = rest[: rest.index("--")] if "--" in rest else rest
    found = {word for word in rest if word.startswith("-") and word != "-" and "…" not in word[:2]}
    plain = [word for word in rest if not word.startswith("-") and word != "…"]
    if name == "git":
        found |= {word for word in plain if re.match(r"[a-z]+\.\w+=", word)}
        plain = [word for word in plain if "=" not in word]
    if name == "git" and plain[:1] == ["config"]:
        _, setting, *value = rest[rest.index("config") :]
        found.add(f"{setting}={'…' if '…' in value[0] else value[0]}")
    if name == "awk":
        found |= set(re.findall(r"\b[a-z]+\(", " ".join(plain)))
        found |= {"[[:classes:]]"} & ({"[[:classes:]]"} if "[[:" in " ".join(plain) else set())
    if name == "apt-get":
        found |= {word for word in plain if word.startswith("Acquire::")}
    if name in _SUBCOMMANDS:
        found |= {word for word in plain[:1] if word.islower() and word.replace("-", "").isalpha()}
    return found or {name}


def _feature(name: str, word: str) -> str:
    """As the table has it."""
    option = word.partition("=")[0] if word.startswith("--") and word != "--filter=blob:none" else word
    option = option + ")" if option.endswith("(") else option
    own = PROGRAMS[name] == name or name == word or not word.startswith("-") or name in {"apt-get", "dpkg"}
    return option if own else f"{name}{option}"


def _constants(items: Sequence[ast.expr]) -> list[str]:
    """The words of a command line in Python, nested tuples and unknown ones included."""
    words: list[str] = []
    for item in items:
        match item:
            case ast.Constant(value=str(word)):
                words.append(word)
            case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
                words.append(f"{start}…")
            case _:
                words.append("…")
    return words


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of shfmt's syntax tree."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _word(word: dict[str, Any]) -> str:
    """A word of a shell script as it stands; what is only known when it runs is `…`."""
    text = ""
    for part in word.get("Parts", ()):
        match part["Type"]:
            case "Lit" | "SglQuoted":
                text += part["Value"]
            case "DblQuoted":
                text += _word(part)
            case _:
                text += "…"
    return text
