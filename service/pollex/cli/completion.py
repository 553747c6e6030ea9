"""`pollex completion`: what makes a shell complete the command."""

from __future__ import annotations

import click

from pollex import console
from pollex.exits import Exit, PollexError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Print what makes a shell complete `pollex`, for its start-up file: eval "$(pollex completion bash)"."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:
        raise PollexError(Exit.USAGE, f"there is no completion for {shell}")
    console.write(kind(ctx.find_root().command, {}, "pollex", "_POLLEX_COMPLETE").source())
