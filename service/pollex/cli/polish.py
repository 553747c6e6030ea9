"""`pollex polish`: a filter for texts."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pollex import console, frame, worddiff
from pollex.cli.options import complete_mode, complete_model, first_model, talks
from pollex.exits import Exit, PollexError
from pollex.live import Live

if TYPE_CHECKING:
    from pollex.client import Change, Client, Polished, Wishes
    from pollex.target import Target


def _read(file: str) -> bytes:
    if file != "-":
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise PollexError(Exit.INPUT, f"{file} cannot be read: {error.strerror}") from None
    if sys.stdin.isatty():
        click.echo("pollex: type or paste the text, end it with ^D on a line of its own", err=True)
    return sys.stdin.buffer.read()


def _reads(command: Callable[..., Any]) -> Callable[..., Any]:
    """Hand a command the text, and with `--editor` give it back as it was when the command fails, whatever the reason.

    An editor that pipes a selection through a program takes all that comes back for the new text, on standard error
    too, and most of them do not look at its status.
    """

    @functools.wraps(command)
    def wrapped(*, file: str, editor: bool, **rest: Any) -> Any:
        data = _read(file)
        try:
            return command(data=data, source="standard input" if file == "-" else file, **rest)
        except PollexError as problem:
            if not editor or problem.exit is Exit.CLOSED:
                raise
            status = problem.exit
        except KeyboardInterrupt:
            if not editor:
                raise
            status = Exit.INTERRUPTED
        console.write_bytes(data)
        return status

    return wrapped


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option(
    "-m",
    "--model",
    envvar="POLLEX_MODEL",
    show_envvar=True,
    shell_complete=complete_model,
    help="The model to ask for.  [default: the service's first]",
)
@click.option(
    "--mode",
    envvar="POLLEX_MODE",
    show_envvar=True,
    shell_complete=complete_mode,
    help="What the text is to become: correct, polish, shorten, formal, plain, or a mode of the service's own; "
    "`pollex modes` lists them.  [default: polish]",
)
@click.option(
    "-k",
    "--keep",
    multiple=True,
    metavar="WORD",
    help="A word or a name that is never touched; may be repeated. Those that you always want to keep stand in "
    "~/.config/pollex/keep.txt, one a line.",
)
@click.option("-q", "--quoted", is_flag=True, help="Polish quoted mail too, lines that begin with `>`.")
@click.option(
    "-d",
    "--diff",
    is_flag=True,
    help="Show what changed, word by word, instead of the new text; below it what was proposed and not taken.",
)
@click.option("-s", "--stream", is_flag=True, help="Write each part of the text as soon as it is settled.")
@click.option(
    "-e",
    "--editor",
    is_flag=True,
    help="For an editor's filter: when it fails, the text comes back as it was and nothing is said; the exit status "
    "tells why.",
)
@_reads
@talks
def polish(
    *,
    service: Target,
    data: bytes,
    source: str,
    model: str | None,
    mode: str | None,
    keep: tuple[str, ...],
    quoted: bool,
    diff: bool,
    stream: bool,
) -> None:
    """Polish FILE, or standard input, to standard output.

    A filter: the encoding (UTF-8 or UTF-16), blanks around the text and the kind of its line ends stay as they are, and
    nothing is written unless the whole text was polished (--stream apart).
    """
    if diff and stream:
        raise click.UsageError("--diff needs the whole text and --stream does not wait for it: use one of them")
    text = frame.frame(data, source)
    wishes = service.wishes(mode, keep, quoted=quoted)
    with service.connect() as client, ExitStack() as waiting:
        tell = waiting.enter_context(console.progress())
        chosen = model or service.model or first_model(client)
        tell(f"polishing with {chosen}")
        live = Live(text, waiting.close) if stream else None
        polished = _polished(client, (text.core, chosen, wishes), tell, live)
        waiting.close()
    if live is not None:
        live.end(polished.text)
    elif diff:
        console.write(_diff(text, polished))
    else:
        console.write_bytes(text.encode(text.head + text.restore(polished.text) + text.tail))
    if sys.stderr.isatty():
        _remark(text, polished, chosen, shown=diff)


def _polished(
    client: Client, asked: tuple[str, str, Wishes], tell: Callable[[str], None], live: Live | None
) -> Polished:
    from pollex.client import Delta, Polished, Queued, Settled  # noqa: PLC0415 - it brings httpx

    text, model, wishes = asked
    # closing tells the service to stop, whatever ends this early: ^C, or a reader that went away
    with closing(client.polish(text, model, wishes)) as events:
        for event in events:
            match event:
                case Queued(position=0):
                    tell(f"polishing with {model}")
                case Queued(position=position):
                    tell(f"waiting for {model}, {position} before this one")
                case Delta(text=piece) if live is not None:
                    live.provisional(piece)
                case Settled(text=part) if live is not None:
                    live.settled(part)
                case Polished():
                    return event
    raise AssertionError("the client's last event is Polished")


def _diff(text: frame.Frame, polished: Polished) -> str:
    """What changed within the text, and below it what did not although it was proposed."""
    pieces = _pieces(text.core, [change for change in polished.changes or () if change.verdict == "taken"])
    if "".join(piece.after for piece in pieces) != polished.text:  # of a service that does not tell its changes
        pieces = worddiff.diff(text.core, polished.text)
    shown = console.marked(pieces, colour=console.coloured(sys.stdout))
    listed = _listed(text, polished)
    tail = text.tail or ("\n" if listed else "")
    return text.head + text.restore(shown) + tail + ("\n" + "\n".join(listed) + "\n" if listed else "")


def _pieces(text: str, taken: Sequence[Change]) -> list[worddiff.Piece]:
    pieces, at = [], 0
    for change in taken:
        same = text[at : change.start]
        pieces += [worddiff.Piece(same, same), worddiff.Piece(text[change.start : change.end], change.after)]
        at = change.end
    return [*pieces, worddiff.Piece(text[at:], text[at:])]


def _listed(text: frame.Frame, polished: Polished) -> list[str]:
    lines = []
    for verdict, heading in (("offered", "Offered, not taken:"), ("refused", "Refused:")):
        some = [change for change in polished.changes or () if change.verdict == verdict]
        lines += [heading] if some else []
        lines += [
            f"  line {text.line(one.start)}: {_quoted(one.before)} → {_quoted(one.after)} ({one.kind}). {one.message}"
            for one in some
        ]
    lines += ["Left as it was:"] if polished.kept else []
    lines += [
        f"  line {text.line(one.start)}: {_quoted(text.core[one.start : one.end])}. {one.message}"
        for one in polished.kept or ()
    ]
    return lines


_SHOWN = 40
"""Characters of a longer quotation that are shown."""


def _quoted(text: str) -> str:
    words = " ".join(text.split())
    if not words:
        return "nothing"
    return f"“{words if len(words) <= _SHOWN else f'{words[:_SHOWN].rstrip()}…'}”"


def _remark(text: frame.Frame, polished: Polished, asked: str, *, shown: bool) -> None:
    """Tell a person at a terminal what the text alone does not show."""
    if polished.model != asked:
        click.echo(f"pollex: {asked} is down, {polished.model} answered", err=True)
    if shown:
        return
    for one in polished.kept or ():
        click.echo(f"pollex: line {text.line(one.start)} stayed as it was. {one.message}", err=True)
    offered = sum(change.verdict == "offered" for change in polished.changes or ())
    if offered:
        click.echo(f"pollex: {offered} more offered and not taken; --diff shows them", err=True)
