"""`pollex config` and `pollex serve`: the settings of a service, and the service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pollex import console, stackconfig
from pollex.exits import Exit, PollexError

if TYPE_CHECKING:
    from pollex.settings import Settings


@click.group()
def config() -> None:
    """Show or check the configuration of a service."""


@config.command()
@click.option("-s", "--stack", required=True, metavar="NAME", help="The Pulumi stack.")
@click.option(
    "-C",
    "--cwd",
    type=click.Path(exists=True, file_okay=False),
    default=".",
    help="The checkout that declares it.  [default: this directory]",
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(list(stackconfig.FORMATS)),
    default="pollex-yaml",
    show_default=True,
    help="For the service and the original Go program, as file or environment; for Mimir; or everything.",
)
def show(*, stack: str, cwd: str, form: str) -> None:
    """Print a stack's application configuration, from `pulumi stack output`."""
    console.write(stackconfig.FORMATS[form](stackconfig.read(stack, cwd)))


@config.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def check(*, file: str) -> None:
    """Check a service's YAML file together with the POLLEX_ variables that win over it."""
    found = _settings(Path(file), {})
    console.write(f"{file}: nothing is wrong; it serves {', '.join(found.model_ids())} on port {found.port}\n")


def _settings(file: Path | None, overrides: Mapping[str, object]) -> Settings:
    from pollex.settings import SettingsError, load  # noqa: PLC0415 - pydantic is slow to import

    try:
        return load(file, overrides)
    except SettingsError as error:
        raise PollexError(Exit.CONFIG, str(error)) from None


@click.command()
@click.option(
    "-c",
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False),
    envvar="POLLEX_CONFIG",
    show_envvar=True,
    help="The settings, in YAML; POLLEX_ variables win over them.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Listen on this port.")
@click.option("--mock", is_flag=True, help="Serve only the model `mock`, which mends a fixed list of words.")
def serve(*, file: str | None, port: int | None, mock: bool) -> None:
    """Run the service until it is told to stop; it finishes what runs."""
    overrides = ({"port": port} if port is not None else {}) | ({"mock": True} if mock else {})
    settings = _settings(Path(file) if file is not None else None, overrides)
    from pollex.proxies import ProxyError  # noqa: PLC0415 - only here
    from pollex.serve import run  # noqa: PLC0415 - the server is only needed here

    try:
        run(settings)
    except ProxyError as error:
        raise PollexError(Exit.CONFIG, str(error)) from None
