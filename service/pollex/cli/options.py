"""What several commands share: the options that name a service, and what a pressed TAB shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pollex import target
from pollex.exits import Exit, PollexError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pollex.client import Client

COMPLETION_SECONDS = 1.0
"""How long a pressed TAB may wait for the service."""


def complete_model(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The models of the service that the words before name; none while it cannot be asked."""
    return _complete(ctx, incomplete, lambda client: [(one.id, one.name) for one in client.models()])


def complete_mode(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The modes of that service."""
    return _complete(ctx, incomplete, lambda client: [(one.id, one.name) for one in client.modes()])


def _complete(
    ctx: click.Context, incomplete: str, ask: Callable[[Client], list[tuple[str, str]]]
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for a pressed TAB

    given = {name: ctx.params.get(name) for name in ("url", "api_key_file")}
    try:
        with target.resolve(**given, timeout=COMPLETION_SECONDS).connect() as client:
            return [CompletionItem(id_, help=name) for id_, name in ask(client) if id_.startswith(incomplete)]
    except PollexError:
        return []


def _goes_on(ctx: click.Context) -> bool:
    """Whether this is a group on the way to one of its commands, which has options of its own."""
    if ctx.invoked_subcommand is None:
        return False
    for parameter in ctx.command.params:
        if ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
            wrong = f"{parameter.opts[-1]} is an option of `{ctx.command_path}` alone"
            raise click.UsageError(f"{wrong}; write those of `{ctx.invoked_subcommand}` after it", ctx)
    return True


def talks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name a service, and hand it the `Target`."""

    @click.option("--url", envvar="POLLEX_URL", show_envvar=True, help=f"The service.  [default: {target.DEFAULT_URL}]")
    @click.option(
        "--api-key-file",
        type=click.Path(),
        help="A file that holds the API key; the variable POLLEX_API_KEY holds the key itself.",
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=target.TIMEOUT_SECONDS,
        show_default=True,
        help="Seconds that the service may stay silent.",
    )
    @functools.wraps(command)
    def wrapped(*, url: str | None, api_key_file: str | None, timeout: float, **rest: Any) -> Any:
        if _goes_on(click.get_current_context()):
            return None
        return command(service=target.resolve(url=url, api_key_file=api_key_file, timeout=timeout), **rest)

    return wrapped


def first_model(client: Client) -> str:
    """The model of whoever names none."""
    models = client.models()
    if not models:
        raise PollexError(Exit.FAILED, f"{client.url} offers no model", "see its log, and: pollex health")
    return models[0].id
