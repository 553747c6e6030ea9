"""The command line `pollex`: each command is a thin layer over a module that does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pollex import __version__
from pollex.cli.bench import bench
from pollex.cli.completion import completion
from pollex.cli.config import config, serve
from pollex.cli.key import key
from pollex.cli.models import health, models, modes
from pollex.cli.polish import polish
from pollex.exits import Exit, PollexError

_COLOURS: dict[str, bool | None] = {"auto": None, "always": True, "never": False}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: this program's) and return its exit status."""
    if not sys.stdout:  # closed by whoever started it, as by `>&-`
        return Exit.CLOSED
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - open as long as the program runs
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = cli.main(arguments, prog_name="pollex", standalone_mode=False)
    except PollexError as problem:
        return _end(problem)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return Exit.INTERRUPTED
    return status if isinstance(status, int) else Exit.DONE


def _end(problem: PollexError) -> int:
    if problem.exit is Exit.CLOSED:
        # what is still buffered has no reader; without this the interpreter complains about it on its way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        click.echo(f"pollex: {problem}", err=True)
    return problem.exit


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--color",
    type=click.Choice(list(_COLOURS)),
    default="auto",
    show_default=True,
    help="Colours on a terminal, always or never; auto also heeds NO_COLOR.",
)
@click.pass_context
def cli(ctx: click.Context, *, color: str) -> None:
    """Polish texts with a model of your own."""
    ctx.color = _COLOURS[color]


for command in (polish, models, modes, health, config, key, serve, bench, completion):
    cli.add_command(command)
