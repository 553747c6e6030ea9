"""What a person or a pipe sees: tables, word diffs and progress, in colour on a terminal and plain elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from pollex.exits import Exit, PollexError
from pollex.worddiff import Piece

_TAB_SAFE = str.maketrans("\t\n\r", "   ")


def coloured(stream: TextIO) -> bool:
    """Whether to write colours: as `--color` says, else as NO_COLOR says, else on a terminal."""
    context = click.get_current_context(silent=True)
    if context is not None and context.color is not None:
        return context.color
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def write(text: str) -> None:
    """Write to standard output at once, as UTF-8 whatever the locale.

    Raises:
        PollexError: the reader went away.
    """
    write_bytes(text.encode("utf-8", "replace"))


def write_bytes(data: bytes) -> None:
    """Write to standard output at once.

    Raises:
        PollexError: the reader went away.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise PollexError(Exit.CLOSED, "") from None


def as_json(value: object) -> str:
    """A value as people read JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(value: object) -> None:
    """Write a value to standard output."""
    write(as_json(value))


def save(file: str, text: str) -> None:
    """Write a file that an option names.

    Raises:
        PollexError: it cannot be written.
    """
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        raise PollexError(Exit.USAGE, f"{file} cannot be written: {error.strerror}") from None


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
    """Rows under headings: aligned on a terminal; in a pipe one row a line, separated by tabs, without headings.

    `right` names the columns of numbers.
    """
    if not sys.stdout.isatty():
        write("".join("\t".join(cell.translate(_TAB_SAFE) for cell in row) + "\n" for row in rows))
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe does without
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    numbers = set(right)
    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        number = heading in numbers
        shown.add_column(heading, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    console = Console(no_color=not coloured(sys.stdout))
    with console.capture() as capture:
        console.print(shown)
    write(capture.get())


def marked(pieces: Iterable[Piece], *, colour: bool) -> str:
    """A word diff as one text: red and green, or `[-old-]{+new+}` as wdiff writes it."""
    return "".join(_mark(piece, colour=colour) for piece in pieces)


def _mark(piece: Piece, *, colour: bool) -> str:
    if not piece.changed:
        return piece.before
    if not colour:
        old, new = f"[-{piece.before}-]", f"{{+{piece.after}+}}"
    else:
        old = click.style(piece.before, fg="red", strikethrough=True)
        new = click.style(piece.after, fg="green")
    return (old if piece.before else "") + (new if piece.after else "")


@contextmanager
def progress(*, lines_in_a_pipe: bool = False) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows what is awaited: on a terminal's last line, else as lines on stderr or not at all.

    Editors take what a filter writes to stderr for part of its answer, so a filter that succeeds is silent in a pipe.
    """
    if not sys.stderr.isatty():
        yield (lambda message: click.echo(message, err=True)) if lines_in_a_pipe else (lambda _: None)
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe does without
    from rich.markup import escape  # noqa: PLC0415

    with Console(stderr=True, no_color=not coloured(sys.stderr)).status("…") as status:
        yield lambda message: status.update(escape(message))
