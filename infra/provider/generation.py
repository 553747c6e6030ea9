"""`Generation`: what is live on a host, activated behind the gate, watched item by item, and undone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

from infra.provider import ssh
from infra.provider.engine import Log
from infra.provider.problems import HostError
from infra.provider.server import UNKNOWN, Properties
from infra.provider.values import changed

_MEANING: Final = {
    1: "failed",
    2: "the tools on the host do not know this command",
    3: "the source or the model has other bytes than its identity says",
    4: "a patch does not apply",
    5: "the build failed",
    6: "no space left",
    7: "unhealthy, so the host returned to what was live before",
    8: "no mirror could be reached",
    9: "another activation is running on the host",
}
"""Exit statuses of pollex-host (docs/design.md)."""
_NO_TOOLS: Final = 127
"""Exit status of `_command` where the tools are not on the host."""
_ABSENT: Final = "absent"
"""What stands for an item that the host says nothing about."""


class Generation:
    """Units, links and store paths that are live together.

    Inputs `connection`, `sudo`, `sheet`, `live`, `tools`, `identity`; outputs `generation`, `live`, `facts` and
    `changed`. `live` as an input is what should be live; reading replaces it with what is, so that the engine shows
    the difference by name and the next update mends it.
    """

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Kind's signature
        """Whatever differs is activated in place, behind the gate; nothing is ever replaced."""
        return dict.fromkeys(changed(before, inputs), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - Kind's signature
        """What is asked for is what will be live."""
        live = inputs["live"]
        generation = live["generation"] if isinstance(live, Mapping) else UNKNOWN
        return {"generation": generation, "live": live, "facts": outputs.get("facts", UNKNOWN), "changed": UNKNOWN}

    async def apply(self, inputs: Properties, log: Log) -> Properties:
        """Activate; the host itself returns to the former generation when the gate fails."""
        desired = inputs["live"]
        to = ssh.Connection.parse(inputs["connection"])
        what = f"activating generation {desired['generation'][:12]} on {to}"
        async with ssh.connect(to) as host:
            ended = await host.run(_command(inputs, "activate"), stdin=inputs["sheet"], log=log)
        report = _report(what, ended)
        live = _observed(desired, report)
        if items := _differing(desired, live):
            lines = [f"{item} is {live[item]}, not {desired[item]}" for item in items]
            raise HostError("\n  ".join([f"{what} succeeded, and yet the host differs", *lines]))
        return _outputs(live, report)

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """What is live now; None when the tools are gone, and with them everything that was set up."""
        to = ssh.Connection.parse(inputs["connection"])
        async with ssh.connect(to) as host:
            ended = await host.run(_command(inputs, "status --json"))
        if ended.status == _NO_TOOLS:
            warn(f"{to} has no {inputs['tools']}: it was set up anew, and the next `pulumi up` activates again")
            return None
        report = _report(f"asking {to} what is live", ended)
        live = _observed(inputs["live"], report)
        for item in _differing(inputs["live"], live):
            warn(f"drifted: {item} is {live[item]}, and was {inputs['live'][item]}")
        return {**inputs, "live": live}, {**_outputs(live, report), "changed": outputs.get("changed", [])}

    async def delete(self, inputs: Properties, warn: Log) -> None:
        """Deactivate; a host without the tools has nothing to undo."""
        to = ssh.Connection.parse(inputs["connection"])
        async with ssh.connect(to) as host:
            ended = await host.run(_command(inputs, "deactivate"))
        if ended.status == _NO_TOOLS:
            warn(f"{to} has no {inputs['tools']}, so there was nothing to undo")
            return
        _report(f"deactivating on {to}", ended)


def _command(inputs: Properties, verb: str) -> str:
    """The command line, which tells missing tools apart from a tool that fails."""
    tools = shlex.quote(inputs["tools"])
    root = "sudo -n " if inputs["sudo"] else ""
    return f"test -x {tools} || exit {_NO_TOOLS}; exec {root}{tools} {verb}"


def _report(what: str, ended: ssh.Completed) -> dict[str, Any]:
    """The JSON line that a verb ends with.

    Raises:
        HostError: the verb failed; the text has the meaning of its exit status and the end of its stderr.
    """
    if ended.status == _NO_TOOLS:
        raise HostError(f"{what}: the tools are not there; `pulumi up --refresh` installs them again")
    if ended.status:
        meaning = _MEANING.get(ended.status, "failed")
        raise HostError("\n  ".join([f"{what}: {meaning} (exit status {ended.status})", *ended.tail]))
    line = ended.stdout.rpartition("\n")[2]
    try:
        report: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise HostError(f"{what}: the answer does not end in a line of JSON but in {line[:200]!r}") from error
    return report


def _observed(items: Mapping[str, str], report: Mapping[str, Any]) -> dict[str, str]:
    """The live map of the host, for these items only: what else is live there is not ours."""
    live: Mapping[str, str] = report["live"]
    return {item: live.get(item, _ABSENT) for item in items}


def _differing(wanted: Mapping[str, str], live: Mapping[str, str]) -> list[str]:
    return [item for item in sorted(wanted) if wanted[item] != live[item]]


def _outputs(live: Mapping[str, str], report: Mapping[str, Any]) -> Properties:
    return {
        "generation": live["generation"],
        "live": live,
        "facts": report["facts"],
        "changed": report.get("changed", []),
    }
