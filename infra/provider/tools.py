"""Calling pollex-host: the command line, and what its end means."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

from infra.hosttools.pollex_host.errors import Exit
from infra.provider.problems import HostError, WentBack
from infra.provider.server import Properties

if TYPE_CHECKING:
    from infra.provider.ssh import Completed

MEANING: Final[dict[int, str]] = {int(status): status.meaning for status in Exit}
"""Exit statuses of pollex-host, in words."""
TOOLS: Final = "/opt/pollex/bin/pollex-host"
"""The host side's one command, once its `prepare` has run."""
_OTHERS: Final = "if another revision of the project was at work there: `pulumi up --refresh` brings this one's tools"
NO_TOOLS: Final = 127
"""Exit status of `command` where the tools are not on the host."""


def command(inputs: Properties, verb: str) -> str:
    """The command line, which tells missing tools apart from a tool that fails."""
    tools: str = shlex.quote(inputs["tools"])
    root = "sudo -n " if inputs["sudo"] else ""
    return f"test -x {tools} || exit {NO_TOOLS}; exec {root}{tools} {verb}"


def report(what: str, ended: Completed) -> dict[str, Any]:
    """The JSON line that a verb ends with.

    Raises:
        HostError: the verb failed; the text has the meaning of its exit status and the end of its stderr.
    """
    if ended.status == NO_TOOLS:
        raise HostError(f"{what}: the tools are not there; `pulumi up --refresh` installs them again")
    if ended.status:
        meaning = MEANING.get(ended.status, Exit.FAILED.meaning)
        kind = WentBack if ended.status == Exit.UNHEALTHY else HostError
        # what this project says is right, so tools that do not understand it are others than it brought
        remedy = [_OTHERS] if ended.status == Exit.USAGE else []
        raise kind("\n  ".join([f"{what}: {meaning} (exit status {ended.status})", *ended.tail, *remedy]))
    line = ended.stdout.rpartition("\n")[2]
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise HostError(f"{what}: the answer does not end in a line of JSON but in {line[:200]!r}") from error
    return answer
