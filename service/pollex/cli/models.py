"""`pollex models`, `modes` and `health`: what a service has; `pollex models find`: what this machine has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pollex import console
from pollex.cli.options import talks
from pollex.exits import Exit, PollexError

if TYPE_CHECKING:
    from pollex.modelfind import Found
    from pollex.modellinks import Link
    from pollex.target import Target

_MILLION = _MB = 1e6
_GB = 1e9


@click.group(invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")
@click.option("--json", "as_json", is_flag=True, help="As the API gives them.")
@talks
def models(*, service: Target, as_json: bool) -> None:
    """List the models of the service: id, name and provider."""
    with service.connect() as client:
        found = client.models()
    if as_json:
        console.write_json([{"id": one.id, "name": one.name, "provider": one.provider} for one in found])
    else:
        console.table(("id", "name", "provider"), [(one.id, one.name, one.provider) for one in found])


@models.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path(readable=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Everything that is known of them, the problems too.")
@click.option(
    "--link",
    "link_folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Link the files into DIR as name-tag-QUANTISATION.gguf; nothing is copied or overwritten.",
)
def find(*, folders: tuple[Path, ...], as_json: bool, link_folder: Path | None) -> int:
    """Find the GGUF files that Ollama has downloaded, to serve them without Ollama.

    A FOLDER is an Ollama store or holds one, such as a volume. Without any it looks at OLLAMA_MODELS, ~/.ollama,
    /usr/share/ollama, /var/lib/ollama, the snap, and the volumes of Docker and Podman that are called after Ollama.
    What is damaged is said on standard error and left out. In a pipe the last column is the file's path.
    """
    from pollex import modelfind, modellinks  # noqa: PLC0415 - only here

    found = modelfind.find(folders)
    try:
        links = modellinks.link(found.models, link_folder) if link_folder is not None else None
    except OSError as error:
        raise PollexError(Exit.USAGE, f"{link_folder} cannot be made: {error.strerror}") from None
    if as_json:
        console.write_json(found.as_json() | ({"links": [one.as_json() for one in links]} if links is not None else {}))
    else:
        for problem in found.problems:
            click.echo(f"pollex: {problem}", err=True)
        if not found.models:
            places = ", ".join(map(str, found.places))
            raise PollexError(Exit.FAILED, f"no model was found; looked in {places}", "name a folder, or OLLAMA_MODELS")
        _show_found(found) if links is None else _show_links(links)
    refused = any(one.done == "refused" for one in links or ())
    return Exit.FAILED if refused or not found.models else Exit.DONE


def _show_found(found: Found) -> None:
    on_a_terminal = sys.stdout.isatty()
    headings = ("name", "size", "quant", "arch", "params", "context", "pooling", "path")
    rows = [
        (
            str(one),
            f"{one.size / _GB:.1f} GB" if one.size >= _GB else f"{one.size / _MB:.0f} MB",
            one.header.quantisation or "-",
            one.header.architecture,
            one.header.size_label or f"{one.header.parameters / _MILLION:.0f}M",
            str(one.header.context_length or "-"),
            one.header.pooling or "-",
            str(one.path),
        )
        for one in found.models
    ]
    # a path of a hundred characters leaves a terminal no room for anything else
    shown = slice(-1 if on_a_terminal else None)
    console.table(headings[shown], [row[shown] for row in rows], right=("size", "params", "context"))
    if on_a_terminal:
        stores = ", ".join(map(str, found.stores))
        console.write(f"\nin {stores}\nthe files' paths: --json; readable names: --link DIR\n")


def _show_links(links: Sequence[Link]) -> None:
    console.table(("", "link", "file"), [(one.done, str(one.path), one.reason or one.target) for one in links])


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As the API gives them.")
@talks
def modes(*, service: Target, as_json: bool) -> None:
    """List the modes of the service: what a text can become."""
    with service.connect() as client:
        offered = client.modes()
    if as_json:
        console.write_json([{"id": one.id, "name": one.name, "default": one.default} for one in offered])
    else:
        rows = [(one.id, one.name, "default" if one.default else "") for one in offered]
        console.table(("id", "name", ""), rows)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As the API gives it.")
@talks
def health(*, service: Target, as_json: bool) -> int:
    """Say which models can answer; ends with 1 if none can."""
    with service.connect() as client:
        found = client.health()
    if as_json:
        adapters = {
            name: {"available": one.available} | ({"reason": one.reason} if one.reason else {})
            for name, one in found.adapters.items()
        }
        console.write_json({"status": found.status, "version": found.version, "adapters": adapters})
    else:
        rows = [(name, "available" if one.available else "down", one.reason) for name, one in found.adapters.items()]
        console.table(("model", "state", "reason"), rows)
    return Exit.DONE if any(one.available for one in found.adapters.values()) else Exit.FAILED
