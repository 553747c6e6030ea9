"""The command line: verbs, what they take, and how they end. A verb's module is imported when it is asked for."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Callable

from . import say
from .errors import Ended, Exit, HostToolError, refusal

VERBS: dict[str, tuple[str, str, str]] = {
    "prepare": ("prepare", "PACKAGE…", "install these tools and the missing Debian packages"),
    "ensure": ("ensure", "[--ready] [KEY]", "make a build exist; its manifest on stdin unless KEY is given"),
    "ensure-model": (
        "model",
        "[--ready] [KEY]",
        "make a model file exist, downloaded or quantised; its manifest on stdin unless KEY is given",
    ),
    "ensure-bundle": ("bundle", "[KEY]", "make a bundle exist; its manifest on stdin unless KEY is given"),
    "receive": ("bundle", "KEY", "take the archive of a store path on stdin"),
    "activate": ("activate", "", "make the generation on stdin live, or return to the former one"),
    "rollback": ("activate", "[ID]", "make the former generation, or ID, live again"),
    "deactivate": ("activate", "", "take everything out of service, put back what it displaced"),
    "status": ("status", "[--json]", "what is live, compared with what should be; facts; generations"),
    "board": ("board", "", "set of the board what the live generation says (what pollex-board.service runs)"),
    "tune": ("tune", "", "measure how the live model is fastest, and whether another file of it is"),
    "gc": ("gc", "[--keep N] [--dry-run]", "delete what the last N generations (2) do not need"),
    "export": ("site", "FILE", "everything that this host serves with, in one file"),
    "import": (
        "site",
        "FILE [--public-key KEY] [--signature FILE] [--secrets]",
        "set this host up from such a file, without any network",
    ),
    "pack": ("gc", "KEY-NAME", "a store path as tar.gz on stdout, for a cache"),
    "build": ("build", "KEY", "make a build here and now (what pollex-build@KEY.service runs)"),
}
"""Each verb: the module that has a function of its name (`-` is `_` there), its arguments, what it does."""

_NAMES = {"import": "take_in"}
"""Functions that cannot be called as their verbs are."""


def usage() -> str:
    """What `help` says."""
    lines = ["usage: pollex-host VERB", ""]
    for verb, (_, arguments, does) in VERBS.items():
        lines.append(f"  {f'{verb} {arguments}'.rstrip():<20} {does}")
    ends = [f"{status.value} {status.meaning.partition(':')[0]}" for status in Exit]
    lines += ["", "Exit status:", *(f"  {end}" for end in ends)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run a verb; its exit status."""
    # Messages of compilers, git and patch are read by these tools, so they must be in one language.
    os.environ["LC_ALL"] = "C"
    os.environ["PATH"] = os.pathsep.join(
        [os.environ.get("PATH", ""), *(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])]
    ).lstrip(os.pathsep)
    os.umask(0o022)
    verb, *rest = arguments or ["help"]
    if verb in {"help", "-h", "--help"}:
        sys.stdout.write(usage())
        return Exit.DONE
    if verb not in VERBS:
        sys.stderr.write(usage())
        say.complain([f"there is no verb '{verb}'"])
        return Exit.USAGE
    try:
        run: Callable[[list[str]], None] = getattr(
            import_module(f"{__package__}.{VERBS[verb][0]}"), _NAMES.get(verb, verb.replace("-", "_"))
        )
        run(rest)
    except HostToolError as error:
        say.complain(error.lines)
        return error.status
    except Ended as end:
        return end.status
    except OSError as error:
        status, why = refusal(error)
        say.complain([why])
        return status
    return Exit.DONE
