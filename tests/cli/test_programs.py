"""The recipes of the reference, typed as they stand there into the editors and the mail program that they are for."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pollex import clidoc
from tests.cli.conftest import COMMAND, Pollex


def recipe(program: str) -> list[str]:
    """What the reference says to type in a program."""
    row = next(line for line in clidoc.page().splitlines() if re.match(rf"\| [^|]*\b{program}\b", line))
    return [typed.replace("\\|", "|") for typed in re.findall(r"`([^`]+)`", row)]


@pytest.fixture(params=["answers", "is down"])
def environment(request: pytest.FixtureRequest, pollex: Pollex, service: str, tmp_path: Path) -> dict[str, str]:
    """What a program sees of the environment: the command by its name, and a service that answers or does not."""
    command = tmp_path / "bin" / "pollex"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    environment = (pollex.at(service) if request.param == "answers" else pollex).environment()
    return environment | {"HOME": str(tmp_path), "PATH": f"{command.parent}:{environment['PATH']}"}


@pytest.fixture
def mended(environment: dict[str, str], pollex: Pollex) -> str:
    """What becomes of the sentence."""
    return "I saw teh card." if environment["POLLEX_URL"] == pollex.url else "I saw the card."


def _vim(program: str) -> list[str]:
    (line,) = recipe(program.title())
    quiet = ["-es", "-u", "NONE", "-i", "NONE", "-n"]
    return [program, *quiet, "-c", f"2{line.removeprefix(':')}", "-c", "wq", "letter.txt"]


def _vi() -> list[str]:
    return _vim("vim")


def _neovim() -> list[str]:
    return ["nvim", *_vim("neovim")[1:]]


def _emacs() -> list[str]:
    keys, command = recipe("Emacs")
    typed = f"{keys} {command.replace(' ', ' SPC ')} RET"
    select = '(find-file "letter.txt") (forward-line) (push-mark (point) t t) (end-of-line)'
    return ["emacs", "-Q", "--batch", "--eval", f'(progn {select} (execute-kbd-macro (kbd "{typed}")) (save-buffer))']


def _kakoune() -> list[str]:
    (typed,) = recipe("Kakoune")
    keys = typed.replace(" ", "<space>")
    return ["kak", "-ui", "dummy", "-n", "-e", f"exec 2gx{keys}<ret>; write; quit", "letter.txt"]


@pytest.mark.parametrize("editor", [_vi, _neovim, _emacs, _kakoune])
def test_editors(editor: Callable[[], list[str]], environment: dict[str, str], mended: str, tmp_path: Path) -> None:
    """If this fails, whoever follows the reference loses a text when the board is off, or gets none when it is on."""
    file = tmp_path / "letter.txt"
    file.write_text("first\nI saw teh card.\nlast\n")
    command = editor()
    subprocess.run(command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert file.read_text() == f"first\n{mended}\nlast\n"


def _script(file: Path, line: str) -> Path:
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)
    return file


def _typed(terminal: int, dialogue: list[tuple[str, str]]) -> None:
    """Types each answer once the words before it are on the screen, and reads on until the program ends."""
    for words, answer in dialogue:
        seen = b""
        while words.encode() not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, answer.encode())
    with suppress(OSError):  # EIO is how a terminal says that nobody writes to it any more
        while os.read(terminal, 4096):
            pass


def test_mutt(environment: dict[str, str], mended: str, tmp_path: Path) -> None:
    """If this fails, a mail goes out without its text because the board is off, or with the mistakes in it."""
    keys, command, yes = recipe("mutt")
    write = _script(tmp_path / "write", 'echo "I saw teh card." >> "$1"')
    send = _script(tmp_path / "send", f"cat > {tmp_path}/sent")
    (tmp_path / "muttrc").write_text(
        f'set from="me@board.example" editor="{write}" sendmail="{send}" folder="{tmp_path}" copy=no\n'
        "set edit_headers autoedit # straight to the editor\n"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "mutt", "-n", "-F", "muttrc", "-s", "a card", "you@board.example"],
        cwd=tmp_path,
        env=environment | {"COLUMNS": "300", "LINES": "24"},  # nothing that is waited for is broken by a line's end
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    menu = "Mutt: Compose"
    answers = [("Filter through: ", f"{command}\r"), ("continue?", yes), ("any key", " "), (menu, "y")]
    _typed(ours, [(menu, keys), *answers])
    os.close(ours)
    assert process.wait() == 0
    assert (tmp_path / "sent").read_text().endswith(f"\n\n{mended}\n")
