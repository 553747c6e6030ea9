"""`Host`: the preflight, and the mark that says that a host is the one that was set up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi import Output

from infra.provider import preflight
from infra.provider.connection import Connection
from infra.provider.engine import Log
from infra.provider.hosts import Hosts
from infra.provider.problems import HostError, NotReady
from infra.provider.server import UNKNOWN, Properties
from infra.provider.values import changed
from infra.provider.wire import plain

_IDENTITY: Final = Path(__file__).with_name("identity.sh")


class Host(pulumi.CustomResource):
    """A host that passed the preflight; everything that is done to it depends on this.

    Creating and updating check everything that `needs` says and report all problems at once, each with the setting to
    change; only when there is none is the host marked. Deleting takes the mark away and leaves the host as it is.
    """

    identity: Output[str]
    """32 hex digits, written at the first success; another one means another host, or one that was set up anew."""
    facts: Output[dict[str, Any]]
    """`architecture`, `os`, `kernel`, `cores`, `memoryMb`, `machine`, as at the last preflight."""

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        needs: preflight.Needs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare a host.

        Args:
            name: the resource's name.
            connection: how to log in.
            needs: what the preflight asks; its `sudo` is whether root's work runs through `sudo -n`.
            opts: the engine's options.
        """
        inputs = {"connection": plain(connection, Output.secret), "sudo": needs.sudo, "needs": plain(needs)}
        super().__init__("pollex:index:Host", name, {**inputs, "identity": None, "facts": None}, opts)


class HostLifecycle:
    """A machine that can take what is declared.

    Inputs `connection`, `sudo`, `needs`; outputs `identity` and `facts`. An empty `identity` means that the host was
    set up anew since.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:
        """Changed inputs are checked again; a lost identity is written again."""
        paths = dict.fromkeys(changed(before, inputs), True)
        return paths if outputs.get("identity") else {**paths, "identity": False}

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:
        """The identity stays as long as the same address leads to a host that was set up."""
        same = bool(outputs.get("identity")) and before.get("connection") == inputs.get("connection")
        return {"identity": outputs["identity"] if same else UNKNOWN, "facts": outputs["facts"] if same else UNKNOWN}

    async def apply(self, inputs: Properties, log: Log) -> Properties:
        """Check everything, and only then mark the host."""
        to = Connection.parse(inputs["connection"])
        needs = preflight.Needs.parse(inputs["needs"], sudo=inputs["sudo"])
        log(f"checking {to}")
        async with self._hosts.connect(to) as host:
            answer = await host.run("sh -s", stdin=preflight.script(needs))
            facts = preflight.parse(answer.stdout)
            problems = preflight.judge(facts, needs)
            if problems:
                raise NotReady(str(to), problems)
            marked = await host.run(f"{_root(inputs)}sh -s keep", stdin=_IDENTITY.read_text())
        if marked.status:
            raise HostError(f"{to}: /opt/pollex/id could not be written: {'; '.join(marked.tail)}")
        return {"identity": marked.stdout.strip(), "facts": preflight.shown(facts)}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """The identity as it is now."""
        to = Connection.parse(inputs["connection"])
        async with self._hosts.connect(to) as host:
            answer = await host.run("cat /opt/pollex/id")
        identity = answer.stdout.strip()
        if outputs.get("identity") and not identity:
            warn(f"{to} has no /opt/pollex/id: it was set up anew, and the next `pulumi up` does everything again")
        return inputs, {**outputs, "identity": identity}

    async def delete(self, inputs: Properties, warn: Log) -> None:
        """Take away the mark and the tools' links, and say what is kept."""
        to = Connection.parse(inputs["connection"])
        async with self._hosts.connect(to) as host:
            removed = await host.run(f"{_root(inputs)}sh -s remove", stdin=_IDENTITY.read_text())
        if removed.status:
            raise HostError(f"{to}: /opt/pollex/id could not be removed: {'; '.join(removed.tail)}")
        if kept := removed.stdout.strip():
            warn(f"{to} {kept}; to be rid of them: sudo rm -rf /opt/pollex ~/.pollex")


def _root(inputs: Properties) -> str:
    return "sudo -n " if inputs["sudo"] else ""
