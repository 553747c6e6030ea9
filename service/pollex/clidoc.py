"""The reference of the command line, made from the command itself.

`python -m pollex.clidoc > docs/reference/cli.md`
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import click

from pollex.cli import cli
from pollex.exits import Exit
from pollex.target import FILE_KEYS

_INTRO = """# Command line

Made from the program by `make docs`.

```sh
pollex polish letter.txt                 # the polished text, to standard output
pollex polish --diff letter.txt          # what would change, word by word, and what was not done and why
pollex polish --mode correct letter.txt  # mistakes only
pbpaste | pollex polish | pbcopy         # a filter: nothing but the text goes to standard output
eval "$(pollex completion bash)"         # completion, also of --model; put it into ~/.bashrc
```

Tables are aligned on a terminal; in a pipe they are one row a line, separated by tabs, without headings. Colours follow
`--color`, else `NO_COLOR`, else whether the output is a terminal. A word diff without colours is written
`[-old-]{+new+}`, as wdiff does.

## In an editor

A command that fails writes nothing to standard output and one that succeeds nothing to standard error. Most editors put
both into the text, and do not look at the status; `--editor` makes a command that fails give the text back as it was
and say nothing. What was wrong then, the same command says without `--editor`.

| program | keys |
|---|---|
| Vim, Neovim | select, then `:!pollex polish -e` |
| Emacs | mark, then `C-u M-\\|` `pollex polish -e` |
| Kakoune | select, then `\\|pollex polish -e` |
| mutt, before you send | `F`, `pollex polish -e`, and `y`: the mail's text may be written over |

These were run, also with the service down. Other programs that write mail, such as aerc, do it in the editor that they
start. Lines that begin with `>` are another's words and stay, unless you say `--quoted`.

The encoding of a text (UTF-8, UTF-16, UTF-32, with a byte order mark or without) stays what it was.

## What a text becomes

`--mode` says what the text is to become, `--keep` which words of it are never touched. Words that you always want to
keep stand in `~/.config/pollex/keep.txt`, one a line; a line that begins with `#` is a remark.

The service judges each change that the model proposes. `--diff` shows those that were taken within the text, and below
it those that were only offered, those that were refused and why, and the parts that stayed as they were because the
model's answer to them was bad.

## Proxies

Services elsewhere are reached through the proxy that `http_proxy`, `https_proxy` or `all_proxy` names (`http://` and
`https://` proxies), unless `no_proxy` names the host, its domain, or a network in which its address is. What is on this
machine is never reached through a proxy. An error says which proxy was in use.

## Which service

A flag wins over the environment, which wins over the configuration file `~/.config/pollex/config.toml` (below
`$XDG_CONFIG_HOME`, if that is set). The key in that file is sent to the address in that file, and to no other."""

_VARIABLES = {
    "POLLEX_URL": "address of the service, as `--url`",
    "POLLEX_API_KEY": "its API key",
    "POLLEX_MODEL": "the model to polish with, as `--model`",
    "POLLEX_MODE": "what texts are to become, as `--mode`",
}


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join(
        [
            _INTRO,
            *_table(("variable", "meaning"), {f"`{name}`": meaning for name, meaning in _VARIABLES.items()}),
            *_table(("key of the file", "meaning"), {f"`{name}`": meaning for name, meaning in FILE_KEYS.items()}),
            "",
            "## Exit statuses",
            *_table(("status", "meaning"), {str(int(status)): status.meaning for status in Exit}),
            *_command(cli, None),
            "",
        ]
    )


def _table(headings: tuple[str, str], rows: Mapping[str, str]) -> list[str]:
    body = [f"| {left} | {right} |" for left, right in ((_cell(left), _cell(right)) for left, right in rows.items())]
    return ["", f"| {' | '.join(headings)} |", "|---|---|", *body]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _command(command: click.Command, parent: click.Context | None) -> Iterator[str]:
    """A command's section, and those of its own commands."""
    # the width is fixed: the page must not depend on the terminal that makes it
    settings = {**command.context_settings, "terminal_width": 100}
    context = click.Context(command, parent, info_name=command.name if parent else "pollex", **settings)
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield from ("", f"## {context.command_path}", "", _paragraphs(command.help or ""), "", "```", usage, "```")
    options = dict(_options(command, context))
    if options:
        yield from _table(("option", "meaning"), options)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _command(inner, context)


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            option, meaning = parameter.get_help_record(context) or ("", "")
            yield f"`{option}`", " ".join(meaning.split())


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


if __name__ == "__main__":
    sys.stdout.write(page())
