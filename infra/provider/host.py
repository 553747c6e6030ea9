"""`Host`: the preflight, and the mark that says that a host is the one that was set up."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any, Final

import pulumi
from pulumi import Output

from infra.provider import preflight
from infra.provider.connection import Connection
from infra.provider.engine import Log, Voice
from infra.provider.hosts import Hosts
from infra.provider.owner import Owner
from infra.provider.problems import HostError, NotReady
from infra.provider.server import UNKNOWN, Properties
from infra.provider.values import changed
from infra.provider.wire import plain

_IDENTITY: Final = Path(__file__).with_name("identity.sh")


class Host(pulumi.CustomResource):
    """A host that passed the preflight and belongs to this stack; everything that is done to it depends on this.

    Creating and updating check everything that `needs` says and report all problems at once, each with the setting to
    change; only when there is none is the host marked. Deleting takes the mark away and leaves the host as it is. One
    that is replaced gives the host up before it takes it again, because it takes nothing that belongs to somebody.
    """

    identity: Output[str]
    """32 hex digits, written at the first success.

    Another one means another host, or one that was set up anew or taken over: everything is done to it again.
    """
    facts: Output[dict[str, Any]]
    """`architecture`, `os`, `kernel`, `cores`, `memoryMb`, `machine`, as at the last preflight."""
    owner: Output[str]
    """To whom the host belongs: `PROJECT/STACK#CLAIM`, where the claim is known to this state and no other."""

    dialled: Output[str]
    """The numeric address where the first machine on the way was reached: programs that ask no NSS know no mDNS."""

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        needs: preflight.Needs,
        takeover: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare a host.

        Args:
            name: the resource's name.
            connection: how to log in.
            needs: what the preflight asks; its `sudo` is whether root's work runs through `sudo -n`.
            takeover: the owner from whom the host may be taken, as it is shown; None takes it from nobody.
            opts: the engine's options.
        """
        inputs: dict[str, Any] = {"connection": plain(connection, Output.secret), "sudo": needs.sudo}
        inputs |= {"needs": plain(needs), "stack": f"{pulumi.get_project()}/{pulumi.get_stack()}"}
        inputs |= {} if takeover is None else {"takeover": takeover}
        outputs = dict.fromkeys(("identity", "facts", "owner", "address", "dialled"))
        first = pulumi.ResourceOptions(delete_before_replace=True)
        super().__init__("pollex:index:Host", name, {**inputs, **outputs}, pulumi.ResourceOptions.merge(first, opts))


class HostLifecycle:
    """A machine that can take what is declared.

    Inputs `connection`, `sudo`, `needs`, `stack`, `takeover`; outputs `identity`, `facts`, `owner`, `address` and
    `dialled`. An empty `identity` means that the host was set up anew since, an empty `owner` that it belongs to
    nobody.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:
        """Changed inputs are checked again; a lost identity or claim is written again, an unknown address found."""
        lost = [name for name in ("identity", "owner", "dialled") if not outputs.get(name)]
        return dict.fromkeys(changed(before, inputs), True) | dict.fromkeys(lost, False)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:
        """The identity stays as long as the same address leads to a host that was set up and is not taken over."""
        same = bool(outputs.get("identity")) and before.get("connection") == inputs.get("connection")
        same = same and inputs.get("takeover") in {None, before.get("takeover")}
        # a state that an earlier version left may lack what has come since
        seen = {name: outputs.get(name, UNKNOWN) if same else UNKNOWN for name in ("identity", "facts", "dialled")}
        known = bool(outputs.get("owner")) and before.get("stack") == inputs.get("stack")
        to = str(Connection.parse(inputs["connection"]))
        return {**seen, "owner": outputs["owner"] if known else UNKNOWN, "address": to}

    async def apply(self, inputs: Properties, outputs: Properties, voice: Voice) -> Properties:
        """Check everything, and only then mark the host and claim it."""
        to = Connection.parse(inputs["connection"])
        needs = preflight.Needs.parse(inputs["needs"], sudo=inputs["sudo"])
        own = Owner.of(inputs["stack"], outputs.get("owner"))
        voice(f"checking {to}")
        async with self._hosts.connect(to) as host:
            answer = await host.run("sh -s", stdin=preflight.script(needs))
            facts = preflight.parse(answer.stdout)
            former = Owner.written(preflight.first(facts, "owner"))
            problems = [*preflight.judge(facts, needs), *own.refused(former, inputs.get("takeover"))]
            if problems:
                raise NotReady(str(to), problems)
            taken = former is not None and former.claim != own.claim
            given = f"owner={quote(own.text)}\nbefore={quote(former.text if former else '')}\n"
            given += "taken=yes\n" if taken else ""
            dialled = host.first
            marked = await host.run(f"{_root(inputs)}sh -s keep", stdin=given + _IDENTITY.read_text())
        if marked.status:
            raise HostError(f"{to}: /opt/pollex/id could not be written: {'; '.join(marked.tail)}")
        identity = marked.stdout.strip()
        if taken:
            voice.warn(f"{to} was taken over from the stack {former}; pollex:host.takeover is of no more use")
        left = outputs.get("address", "")
        if outputs.get("identity") not in {None, "", identity} and left not in {"", str(to)}:
            voice.warn(
                f"this stack moves from {left} to {to}; what it left there goes on serving and belongs to it still: "
                f"`sudo pollex-host deactivate` there takes it out of service"
            )
        seen = {"identity": identity, "facts": preflight.shown(facts), "dialled": dialled}
        return {**seen, "owner": str(own), "address": str(to)}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """The identity as it is now, and whether the host still belongs to this stack."""
        to = Connection.parse(inputs["connection"])
        async with self._hosts.connect(to) as host:
            answer = await host.run("cat /opt/pollex/id; echo; cat /opt/pollex/owner.json")
            dialled = host.first
        identity, _, written = answer.stdout.partition("\n")
        identity, own = identity.strip(), outputs.get("owner", "")
        if outputs.get("identity") and not identity:
            warn(f"{to} has no /opt/pollex/id: it was set up anew, and the next `pulumi up` does everything again")
        owner = Owner.written(written.strip())
        if owner is None:
            own = ""
        elif own and owner.claim != Owner.of("", own).claim:
            warn(f"{to} belongs to the stack {owner} now, and not to {own}: nothing here changes it any more")
            identity = outputs.get("identity", "")
        return inputs, {**outputs, "identity": identity, "owner": own, "dialled": dialled}

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Take away the mark, the claim and the tools' links, and say what is kept."""
        to = Connection.parse(inputs["connection"])
        own = Owner.of(inputs.get("stack", ""), outputs.get("owner"))
        async with self._hosts.connect(to) as host:
            owner = Owner.written((await host.run("cat /opt/pollex/owner.json")).stdout.strip())
            if owner is not None and owner.claim != own.claim:
                who = f"the stack {owner}, and not to {outputs.get('owner') or inputs.get('stack') or 'this one'}"
                warn(f"left alone: {to} belongs to {who}")
                return
            removed = await host.run(f"{_root(inputs)}sh -s remove", stdin=_IDENTITY.read_text())
        if removed.status:
            raise HostError(f"{to}: /opt/pollex/id could not be removed: {'; '.join(removed.tail)}")
        if kept := removed.stdout.strip():
            warn(f"{to} {kept}; to be rid of them: sudo rm -rf /opt/pollex ~/.pollex")


def _root(inputs: Properties) -> str:
    return "sudo -n " if inputs["sudo"] else ""
