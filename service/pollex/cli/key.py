"""`pollex key`: keys of people for a service."""

from __future__ import annotations

import re

import click

from pollex import console, keys


def _name(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(keys.NAME, value):
        raise click.BadParameter(f"{value!r} is no name for a key: letters, digits and ._@-, at most 64")
    return value


@click.group()
def key() -> None:
    """Make keys with which people use a service."""


@key.command()
@click.argument("name", callback=_name)
def new(*, name: str) -> None:
    """Make a key for NAME: the key, which is shown this once and kept nowhere, and the line that lets it in.

    The line goes below `pollex:polish.apiKeys` of a stack, or below `api_keys` of a service's settings; taking it out
    again revokes the key.
    """
    made = keys.new()
    console.write(f"key: {made}\n{name}: {keys.hashed(made)}\n")
