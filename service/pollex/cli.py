"""The command line `pollex`: each command is a thin layer over a module that does the work."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pollex import __version__, console, frame, stackconfig, target, worddiff
from pollex.exits import Exit, PollexError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pollex.bench import Contestant, Report, Spread
    from pollex.client import Client, Polished
    from pollex.modelfind import Found
    from pollex.modellinks import Link
    from pollex.settings import Settings
    from pollex.target import Target

COMPLETION_SECONDS = 1.0
"""How long a pressed TAB may wait for the service."""
SHELLS = ("bash", "zsh", "fish")

_MILLION = _MB = 1e6
_GB = 1e9

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


def _complete_model(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The models of the service that the words before name; none while it cannot be asked."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    given = {name: ctx.params.get(name) for name in ("url", "api_key_file")}
    try:
        with target.resolve(**given, timeout=COMPLETION_SECONDS).connect() as client:
            return [CompletionItem(one.id, help=one.name) for one in client.models() if one.id.startswith(incomplete)]
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


def _talks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that name a service, and hands it the `Target`."""

    @click.option("--url", envvar="POLLEX_URL", show_envvar=True, help="The service.  [default: http://localhost:8090]")
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


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option(
    "-m",
    "--model",
    envvar="POLLEX_MODEL",
    show_envvar=True,
    shell_complete=_complete_model,
    help="The model to ask for.  [default: the service's first]",
)
@click.option("-d", "--diff", is_flag=True, help="Show what changed, word by word, instead of the new text.")
@click.option("-s", "--stream", is_flag=True, help="Write the text as it is made.")
@_talks
def polish(*, service: Target, file: str, model: str | None, diff: bool, stream: bool) -> None:
    """Polish FILE, or standard input, to standard output.

    A filter: blanks around the text and the kind of its line ends stay as they are, and nothing is written unless the
    whole text was polished (--stream apart).
    """
    if diff and stream:
        raise click.UsageError("--diff needs the whole text and --stream does not wait for it: use one of them")
    source = "standard input" if file == "-" else file
    text = frame.frame(frame.decode(_bytes(file), source), source)
    with service.connect() as client, ExitStack() as waiting:
        tell = waiting.enter_context(console.progress())
        chosen = model or service.model or _first_model(client)
        tell(f"polishing with {chosen}")
        written = _Written(text, waiting.close) if stream else None
        polished = _polished(client, text.core, chosen, tell, written)
        waiting.close()
    if written is not None:
        written.end(polished.text)
    elif diff:
        pieces = worddiff.diff(text.core, polished.text)
        shown = console.marked(pieces, colour=console.coloured(sys.stdout))
        console.write(text.head + text.restore(shown) + text.tail)
    else:
        console.write(text.head + text.restore(polished.text) + text.tail)
    if polished.model != chosen and sys.stderr.isatty():
        click.echo(f"pollex: {chosen} is down, {polished.model} answered", err=True)


class _Written:
    """A text on its way to standard output piece by piece, between the blanks of the original."""

    def __init__(self, text: frame.Frame, first: Callable[[], None]) -> None:
        self._frame = text
        self._first = first
        self._so_far = ""

    def add(self, piece: str) -> None:
        """Write the next piece."""
        if not self._so_far:
            self._first()
            console.write(self._frame.head)
        self._so_far += piece
        console.write(self._frame.restore(piece))

    def end(self, whole: str) -> None:
        """Write what is missing of the text that the service stands by, or say that the pieces were not that text."""
        if not whole.startswith(self._so_far):
            raise PollexError(Exit.FAILED, "the final text is not the one that was streamed", "run it without --stream")
        self.add(whole[len(self._so_far) :])
        console.write(self._frame.tail)


def _polished(client: Client, text: str, model: str, tell: Callable[[str], None], written: _Written | None) -> Polished:
    from pollex.client import Delta, Polished, Queued  # noqa: PLC0415

    # closing tells the service to stop, whatever ends this early: ^C, or a reader that went away
    with closing(client.polish(text, model)) as events:
        for event in events:
            match event:
                case Queued(position=0):
                    tell(f"polishing with {model}")
                case Queued(position=position):
                    tell(f"waiting for {model}, {position} before this one")
                case Delta(text=piece) if written is not None:
                    written.add(piece)
                case Polished():
                    return event
    raise AssertionError("the client's last event is Polished")


def _first_model(client: Client) -> str:
    models = client.models()
    if not models:
        raise PollexError(Exit.FAILED, f"{client.url} offers no model", "see its log, and: pollex health")
    return models[0].id


def _bytes(file: str) -> bytes:
    if file != "-":
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise PollexError(Exit.INPUT, f"{file} cannot be read: {error.strerror}") from None
    if sys.stdin.isatty():
        click.echo("pollex: type or paste the text, end it with ^D on a line of its own", err=True)
    return sys.stdin.buffer.read()


@cli.group(invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")
@click.option("--json", "as_json", is_flag=True, help="As the API gives them.")
@_talks
def models(*, service: Target, as_json: bool) -> None:
    """List the models of the service: id, name and provider."""
    with service.connect() as client:
        found = client.models()
    if as_json:
        _write_json([{"id": one.id, "name": one.name, "provider": one.provider} for one in found])
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
        _write_json(found.as_json() | ({"links": [one.as_json() for one in links]} if links is not None else {}))
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


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As the API gives it.")
@_talks
def health(*, service: Target, as_json: bool) -> int:
    """Say which models can answer; ends with 1 if none can."""
    with service.connect() as client:
        found = client.health()
    if as_json:
        adapters = {
            name: {"available": one.available} | ({"reason": one.reason} if one.reason else {})
            for name, one in found.adapters.items()
        }
        _write_json({"status": found.status, "version": found.version, "adapters": adapters})
    else:
        rows = [(name, "available" if one.available else "down", one.reason) for name, one in found.adapters.items()]
        console.table(("model", "state", "reason"), rows)
    return Exit.DONE if any(one.available for one in found.adapters.values()) else Exit.FAILED


@cli.group()
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


@cli.command()
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
    from pollex.serve import run  # noqa: PLC0415 - the server is only needed here

    run(settings)


@cli.command()
@click.argument("contestants", nargs=-1, metavar="[MODEL[@URL]]...", shell_complete=_complete_model)
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
@_talks
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
        _save(json_file, _json(report.as_json()))
    if plot_file is not None:
        _save(plot_file, svg(report))
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
                model = _first_model(client)
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


@cli.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(*, shell: str) -> None:
    """Print what makes a shell complete `pollex`, for its start-up file: eval "$(pollex completion bash)"."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:
        raise PollexError(Exit.USAGE, f"there is no completion for {shell}")
    console.write(kind(cli, {}, "pollex", "_POLLEX_COMPLETE").source())


def _json(value: object) -> str:
    import json  # noqa: PLC0415

    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write_json(value: object) -> None:
    console.write(_json(value))


def _save(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        raise PollexError(Exit.USAGE, f"{file} cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
