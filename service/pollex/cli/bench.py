"""`pollex bench`: the same texts through several models or servers, timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pollex import console
from pollex.cli.options import complete_model, first_model, talks
from pollex.exits import Exit

if TYPE_CHECKING:
    from pollex.bench import Contestant, Report, Spread
    from pollex.target import Target


@click.command()
@click.argument("contestants", nargs=-1, metavar="[MODEL[@URL]]...", shell_complete=complete_model)
@click.option("-n", "--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds to measure.")
@click.option(
    "--sample",
    "samples",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="A text file to polish; may be repeated.  [default: three texts that come with the program]",
)
@click.option(
    "--tokenizer", metavar="URL", help="A llama-server that counts tokens; without it a streamed piece counts as one."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write every run and the summary here.")
@click.option("--plot", "plot_file", type=click.Path(dir_okay=False), help="Write a plot here, as SVG.")
@talks
def bench(
    *,
    service: Target,
    contestants: tuple[str, ...],
    runs: int,
    samples: tuple[str, ...],
    tokenizer: str | None,
    json_file: str | None,
    plot_file: str | None,
) -> int:
    """Time the same texts through several models or servers, in turn.

    A contestant is a MODEL of the service, or MODEL@URL of another one (@URL: its first model), which is sent the
    same API key. Without any it is the service's first model.
    """
    from pollex.bench import measure, packaged_samples, read_samples  # noqa: PLC0415
    from pollex.plot import svg  # noqa: PLC0415

    chosen = read_samples(samples) if samples else packaged_samples()
    with console.progress(lines_in_a_pipe=True) as tell:
        report = measure(
            _contestants(contestants or ("",), service),
            chosen,
            runs,
            connect=service.connect,
            tokenizer=tokenizer,
            tell=tell,
        )
    if json_file is not None:
        console.save(json_file, console.as_json(report.as_json()))
    if plot_file is not None:
        console.save(plot_file, svg(report))
    _show(report)
    return Exit.FAILED if any(cell.failed for cell in report.cells) else Exit.DONE


def _contestants(words: Sequence[str], service: Target) -> list[Contestant]:
    from pollex.bench import Contestant  # noqa: PLC0415

    found = []
    for word in words:
        model, at, url = word.rpartition("@http") if "@http" in word else (word, "", "")
        address = f"http{url}" if at else service.url
        if not model:
            with service.connect(address) as client:
                model = first_model(client)
        found.append((model, address))
    if len(set(found)) < len(found):
        raise click.UsageError("two contestants are the same")
    names = [model for model, _ in found]
    return [
        Contestant(model if names.count(model) == 1 else f"{model}@{address.removeprefix('http://')}", model, address)
        for model, address in found
    ]


def _show(report: Report) -> None:
    def spread(value: Spread | None) -> tuple[str, str]:
        return (f"{value.median:.3g}", f"{value.low:.3g}–{value.high:.3g}") if value else ("-", "-")

    headings = ("sample", "chars", "model", "runs", "s", "quartiles", "ms/char", "first s", "tok/s")
    console.table(
        headings,
        [
            (
                cell.sample,
                str(cell.characters),
                cell.contestant,
                f"{cell.runs - cell.failed}/{cell.runs}",
                *spread(cell.seconds),
                f"{cell.ms_per_character:.3g}" if cell.ms_per_character is not None else "-",
                spread(cell.first)[0],
                spread(cell.tokens_per_second)[0],
            )
            for cell in report.cells
        ],
        right=set(headings) - {"sample", "model"},
    )
    first = report.contestants[0].label
    for label, ratio in report.ratios.items():
        console.write(f"{label} takes {spread(ratio)[0]} times as long as {first} (quartiles {spread(ratio)[1]})\n")
