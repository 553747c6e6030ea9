"""`Bundle`: programs that are packed here and not built on the host; packed and sent only when it lacks them."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from typing import Any, Final, Unpack

import pulumi
from pulumi import Output

from infra.core.bundle import Recipe
from infra.core.derivation import ROOT
from infra.hosttools.pollex_host.errors import Exit
from infra.provider.connection import Connection
from infra.provider.engine import Log
from infra.provider.hosts import Hosts
from infra.provider.onhost import OnHost, reached
from infra.provider.problems import HostError
from infra.provider.server import UNKNOWN, Properties
from infra.provider.tools import TOOLS, command, report
from infra.provider.values import changed

_MISSING: Final = "missing"
_DECIDES: Final = ("item", "identity", "tools")


class Bundle(pulumi.CustomResource):
    """Programs in the host's store that are packed where pulumi runs, and sent once."""

    path: Output[str]
    """The store path."""
    how: Output[str]
    """How it came there: `present`, `substituted`, `restored` or `received`."""

    def __init__(
        self,
        name: str,
        *,
        manifest: pulumi.Input[str],
        item: pulumi.Input[str],
        recipe: Recipe,
        tools: pulumi.Input[str] = TOOLS,
        opts: pulumi.ResourceOptions | None = None,
        **on_host: Unpack[OnHost],
    ) -> None:
        """Declare a bundle.

        Args:
            name: the resource's name.
            manifest: the bundle, as `pollex-host ensure-bundle` reads it.
            item: the store path's name, `<key>-<name>`.
            recipe: what is packed, and for which host.
            tools: the path of pollex-host.
            opts: the engine's options.
            on_host: how the host is reached.
        """
        inputs = {**reached(on_host), "tools": tools}
        inputs |= {"manifest": manifest, "item": item, "recipe": recipe.plain()}
        super().__init__("pollex:index:Bundle", name, {**inputs, "path": None, "how": None}, opts)


class BundleLifecycle:
    """A bundle in the host's store.

    Inputs `connection`, `sudo`, `manifest`, `item`, `recipe`, `tools`, `identity`; outputs `path` and `how`. `item` as
    an input is the store path's name; reading replaces it when the host can no longer make that path again.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Lifecycle's signature
        """Another way to the same host, or another place to fetch from, changes nothing that is there."""
        was, will = ({name: side.get(name) for name in _DECIDES} for side in (before, inputs))
        return dict.fromkeys(changed(was, will), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Where it will lie."""
        return {"path": f"{ROOT}/store/{inputs['item']}", "how": UNKNOWN}

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Ask the host, then pack and send; the archive stays there, to mend a damaged store path from."""
        to = Connection.parse(inputs["connection"])
        async with self._hosts.connect(to) as host:
            ended = await host.run(command(inputs, "ensure-bundle"), stdin=inputs["manifest"])
            if ended.status == Exit.NOWHERE:
                loop = asyncio.get_running_loop()
                archive = await asyncio.to_thread(_pack, inputs, lambda line: loop.call_soon_threadsafe(log, line))
                log(f"sending {len(archive) / 1e6:.1f} MB to {to}")
                receive = command(inputs, f"receive {shlex.quote(inputs['item'].partition('-')[0])}")
                ended = await host.run(receive, stdin=archive, log=log)
        answer = report(f"bringing {inputs['item']} to {to}", ended)
        return {"path": answer["path"], "how": answer["how"]}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """Whether the host could make it again; that the store path is intact is the generation's to see."""
        to, item = Connection.parse(inputs["connection"]), shlex.quote(inputs["item"])
        kept = f"test -f {ROOT}/archive/{item}.tar.gz"
        async with self._hosts.connect(to) as host:
            gone = (await host.run(kept)).status
        if gone:
            warn(f"{to} has lost {inputs['item']}; the next `pulumi up` brings it again")
        return ({**inputs, "item": _MISSING} if gone else inputs), outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Leave it: what is in the store stays until `pollex-host gc`."""


def _pack(inputs: dict[str, Any], log: Callable[[str], object]) -> bytes:
    """The archive; runs in a thread of its own, so `log` must come back to the loop by itself."""
    from infra.provider import packing  # noqa: PLC0415 - its HTTP client is a tenth of the plugin's start, and seldom needed

    try:
        return packing.pack(Recipe.parse(inputs["recipe"]), inputs["item"], log)
    except packing.PackError as error:
        raise HostError(str(error)) from error
