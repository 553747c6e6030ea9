"""`Generation`: what is live on a host, activated behind the gate, watched item by item, and undone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from secrets import token_hex
from typing import Any, Final, Unpack

import pulumi
from pulumi import Output

from infra.provider.connection import Connection
from infra.provider.engine import Log
from infra.provider.hosts import Hosts
from infra.provider.onhost import OnHost, reached
from infra.provider.problems import HostError
from infra.provider.rolls import Rolls
from infra.provider.server import UNKNOWN, Properties
from infra.provider.tools import NO_TOOLS, TOOLS, command, report
from infra.provider.values import changed

_ABSENT: Final = "absent"
"""What stands for an item that the host says nothing about."""
_USAGE: Final = 2
"""Exit status of pollex-host where it does not know an argument."""


class Generation(pulumi.CustomResource):
    """What is live on a host: activated behind the gate, watched item by item, deactivated at the end.

    A generation that fails its gate fails the update, and the host itself returns to the former one.
    """

    generation: Output[str]
    """The id of the generation that is live; known once it has passed its gate."""
    live: Output[dict[str, str]]
    """What is live, item by item (docs/design.md, live map)."""
    facts: Output[dict[str, Any]]
    """What `pollex-host status` says of the host."""
    changed: Output[list[str]]
    """The items that the last activation changed."""
    holder: Output[str]
    """A name that no other resource has, under which the host knows who made live what is live."""

    def __init__(
        self,
        name: str,
        *,
        manifest: pulumi.Input[str],
        live: pulumi.Input[Mapping[str, str]],
        owner: pulumi.Input[str],
        secrets: pulumi.Input[Mapping[str, str]] | None = None,
        tools: pulumi.Input[str] = TOOLS,
        roll: tuple[str, int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
        **on_host: Unpack[OnHost],
    ) -> None:
        """Declare what is live.

        Args:
            name: the resource's name.
            manifest: the generation, as `pollex-host activate` reads it.
            live: item by item, what the host looks like when the generation is in force.
            owner: the `owner` of the Host: a host that belongs to another stack refuses to activate.
            secrets: texts of files that only the host may see, by their paths.
            tools: the path of pollex-host.
            roll: a name that hosts share which must not all be away together, and how many of them may be.
            opts: the engine's options.
            on_host: how the host is reached.
        """
        inputs = {**reached(on_host), "tools": tools, "owner": owner, "manifest": manifest, "live": live}
        inputs |= {} if secrets is None else {"secrets": secrets}
        inputs |= {} if roll is None else {"roll": {"name": roll[0], "atOnce": roll[1]}}
        outputs = {"generation": None, "facts": None, "changed": None, "holder": None}
        super().__init__("pollex:index:Generation", name, {**inputs, **outputs}, opts)


class GenerationLifecycle:
    """Units, links and store paths that are live together.

    Inputs `connection`, `sudo`, `manifest`, `secrets`, `live`, `tools`, `identity`, `owner` and `roll`; outputs
    `generation`, `live`, `facts`, `changed` and `holder`. `live` as an input is what should be live; reading replaces
    it with what is, so that the engine shows the difference by name and the next update mends it.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._rolls = Rolls()

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Kind's signature
        """Whatever differs is activated in place, behind the gate; nothing is ever replaced."""
        return dict.fromkeys(changed(before, inputs), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - Kind's signature
        """What is asked for is what will be live."""
        live = inputs["live"]
        generation = live["generation"] if isinstance(live, Mapping) else UNKNOWN
        kept = {name: outputs.get(name, UNKNOWN) for name in ("facts", "holder")}
        return {"generation": generation, "live": live, "changed": UNKNOWN, **kept}

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:
        """Activate; the host itself returns to the former generation when the gate fails."""
        holder = outputs.get("holder") or f"generation-{token_hex(8)}"
        desired = inputs["live"]
        to = Connection.parse(inputs["connection"])
        what = f"activating generation {desired['generation'][:12]} on {to}"
        async with self._turn(inputs, str(to)), self._hosts.connect(to) as host:
            ended = await host.run(command(inputs, f"activate {_by(holder, inputs)}"), stdin=_whole(inputs), log=log)
            answer = report(what, ended)
        live = _observed(desired, answer)
        if items := _differing(desired, live):
            lines = [f"{item} is {live[item]}, not {desired[item]}" for item in items]
            raise HostError("\n  ".join([f"{what} succeeded, and yet the host differs", *lines]))
        return {**_outputs(live, answer), "holder": holder}

    def _turn(self, inputs: Properties, where: str) -> AbstractAsyncContextManager[None]:
        roll = inputs.get("roll")
        return nullcontext() if roll is None else self._rolls.turn(roll["name"], int(roll["atOnce"]), where)

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """What is live now; None when the tools are gone, and with them everything that was set up."""
        to = Connection.parse(inputs["connection"])
        async with self._hosts.connect(to) as host:
            ended = await host.run(command(inputs, "status --json"))
        if ended.status == NO_TOOLS:
            warn(f"{to} has no {inputs['tools']}: it was set up anew, and the next `pulumi up` activates again")
            return None
        answer = report(f"asking {to} what is live", ended)
        live = _observed(inputs["live"], answer)
        for item in _differing(inputs["live"], live):
            warn(f"drifted: {item} is {live[item]}, and was {inputs['live'][item]}")
        return {**inputs, "live": live}, {**outputs, **_outputs(live, answer), "changed": outputs.get("changed", [])}

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Deactivate what this very resource made live; a host without the tools has nothing to undo."""
        to = Connection.parse(inputs["connection"])
        holder = outputs.get("holder", "")
        async with self._hosts.connect(to) as host:
            ended = await host.run(command(inputs, f"deactivate {_by(holder, inputs)}"))
            if ended.status == _USAGE and not holder:
                # made by a provider that knew no holders, and still with the tools of that time
                ended = await host.run(command(inputs, "deactivate"))
        if ended.status == NO_TOOLS:
            warn(f"{to} has no {inputs['tools']}, so there was nothing to undo")
            return
        answer = report(f"deactivating on {to}", ended)
        if why := answer.get("leftAlone"):
            warn(f"left alone on {to}: {why}")


def _whole(inputs: Properties) -> str:
    """The manifest with what only the host may see."""
    given: str = inputs["manifest"]
    secrets = inputs.get("secrets", {})
    return json.dumps({**json.loads(given), "secrets": secrets}) if secrets else given


def _by(holder: str, inputs: Properties) -> str:
    """The arguments with which pollex-host is told who asks."""
    return f"--resource {shlex.quote(holder)} --owner {shlex.quote(inputs.get('owner', ''))}"


def _observed(items: Mapping[str, str], answer: Mapping[str, Any]) -> dict[str, str]:
    """The live map of the host, for these items only: what else is live there is not ours."""
    live: Mapping[str, str] = answer["live"]
    return {item: live.get(item, _ABSENT) for item in items}


def _differing(wanted: Mapping[str, str], live: Mapping[str, str]) -> list[str]:
    return [item for item in sorted(wanted) if wanted[item] != live[item]]


def _outputs(live: Mapping[str, str], answer: Mapping[str, Any]) -> Properties:
    return {
        "generation": live["generation"],
        "live": live,
        "facts": answer["facts"],
        "changed": answer.get("changed", []),
    }
