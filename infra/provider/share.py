"""`Share`: what one host has made is signed and kept, and brought to those that need the same.

The first host that needs a store path makes it, and the others wait for that one. An order among resources would not
do, as with rolls: what depends on a host that cannot be reached is skipped.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

import pulumi
from pulumi import Output

from infra.hosttools.pollex_host.entry import Entry
from infra.hosttools.pollex_host.errors import Exit
from infra.provider import cache
from infra.provider.cache import Cache, CacheError
from infra.provider.connection import Connection
from infra.provider.engine import Log, Voice
from infra.provider.hosts import Hosts
from infra.provider.onhost import OnHost, reached
from infra.provider.server import UNKNOWN, Properties
from infra.provider.tools import TOOLS, command, report
from infra.provider.values import changed

if TYPE_CHECKING:
    from infra.provider.ssh import Completed

_DECIDES: Final = ("identity", "tools")


class Share(pulumi.CustomResource):
    """A store path that hosts share: made once, signed, and brought to all who need it."""

    how: Output[str]
    """How it came to this host: `received` from the operator's cache, or as pollex-host says it."""

    def __init__(
        self,
        name: str,
        *,
        manifest: pulumi.Input[str],
        cache: str,
        private_key: str,
        tools: pulumi.Input[str] = TOOLS,
        opts: pulumi.ResourceOptions | None = None,
        **on_host: Unpack[OnHost],
    ) -> None:
        """Declare what is shared.

        Args:
            name: the resource's name.
            manifest: of a build or a model, as pollex-host reads it.
            cache: the folder, absolute, or the address of the server where it is kept.
            private_key: what it is signed with.
            tools: the path of pollex-host.
            opts: the engine's options.
            on_host: how the host is reached.
        """
        inputs = {**reached(on_host), "tools": tools, "manifest": manifest}
        inputs |= {"cache": cache, "privateKey": Output.secret(private_key)}
        super().__init__("pollex:index:Share", name, {**inputs, "how": None}, opts)


class Firsts:
    """Who makes what, in a process that lives as long as one run of the engine: one host a store path."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._each_for_itself: set[str] = set()

    @asynccontextmanager
    async def turn(self, item: str) -> AsyncIterator[None]:
        """The turn of one host; none waits for what another one could not make."""
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._locks.setdefault(item, asyncio.Lock()))
            if item in self._each_for_itself:
                await held.aclose()
            yield

    def is_taken(self, item: str) -> bool:
        """Whether a host has its turn."""
        return item in self._locks and self._locks[item].locked()

    def give_up(self, item: str) -> None:
        """The first one could not make it: the others need not wait to find out whether they can."""
        self._each_for_itself.add(item)


class ShareLifecycle:
    """A store path on a host, and in the cache.

    Inputs `connection`, `sudo`, `manifest`, `cache`, `privateKey`, `tools`, `identity`; the output is `how`.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._firsts = Firsts()

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Lifecycle's signature
        """Another way to the host, another cache or key changes nothing that is there."""
        was, will = (
            {name: side.get(name) for name in _DECIDES} | {"manifest": _item(side)} for side in (before, inputs)
        )
        return dict.fromkeys(changed(was, will), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """It will be there."""
        return {"how": UNKNOWN}

    async def apply(self, inputs: Properties, outputs: Properties, voice: Voice) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """See that the host has it: let it be made by the first one, and bring it to the others."""
        asked = _Asked.of(inputs)
        if self._firsts.is_taken(asked.item):
            voice(f"{asked.label}: waiting for the host that makes it")
        async with self._firsts.turn(asked.item):
            said = await self._said(asked, voice)
            ended = await self._ask(inputs, f"{asked.verb} --ready")
            if ended.status == Exit.NOWHERE and said is None:
                ended = await self._ask(inputs, asked.verb, voice)
                if ended.status:
                    self._firsts.give_up(asked.item)
            if said is None and not ended.status:
                await self._keep(inputs, asked, voice)
        if ended.status == Exit.NOWHERE and said is not None:
            ended = await self._bring(inputs, asked, said, voice)
        return {"how": report(f"{asked.label} on {Connection.parse(inputs['connection'])}", ended)["how"]}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:  # noqa: ARG002 - Lifecycle's signature
        """That the store path is intact is the generation's to see."""
        return inputs, outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Leave it: what is in the store stays until `pollex-host gc`, and what is in the cache is for others."""

    async def _ask(self, inputs: Properties, verb: str, log: Log | None = None) -> Completed:
        async with self._hosts.connect(Connection.parse(inputs["connection"])) as host:
            return await host.run(command(inputs, verb), stdin=inputs["manifest"], log=log)

    async def _said(self, asked: _Asked, voice: Voice) -> Entry | None:
        """What the cache says of it; one that cannot be used is said, and has nothing."""
        try:
            return await asyncio.to_thread(asked.cache.entry, asked.kind, asked.item)
        except CacheError as error:
            voice.warn(f"{asked.label}: not from the cache: {error}")
            return None

    async def _keep(self, inputs: Properties, asked: _Asked, voice: Voice) -> None:
        """Fetch it from the host, sign it and put it into the cache; a cache that takes nothing holds nobody up."""
        with asked.cache.scratch() as part:
            async with self._hosts.connect(Connection.parse(inputs["connection"])) as host:
                voice(f"{asked.label}: fetching it for the others")
                ended = await host.fetch(command(inputs, f"pack {shlex.quote(asked.item)}"), part)
            why = "".join(ended.tail[-1:]) if ended.status else ""
            try:
                if not why:
                    part.flush()
                    await asyncio.to_thread(asked.cache.keep, asked.kind, asked.item, Path(part.name))
            except CacheError as error:
                why = str(error)
        if why:
            voice.warn(f"{asked.label} is not kept for other hosts: {why}")

    async def _bring(self, inputs: Properties, asked: _Asked, said: Entry, voice: Voice) -> Completed:
        """Send what the cache has; where that is refused on either side, the host makes it after all."""
        try:
            with ExitStack() as held:
                archive = await asyncio.to_thread(held.enter_context, asked.cache.archive(said))
                async with self._hosts.connect(Connection.parse(inputs["connection"])) as host:
                    voice(f"{asked.label}: sending {said.size / 1e6:.1f} MB")
                    ended = await host.run(command(inputs, f"receive {said.key}"), stdin=archive, log=voice)
            why = "".join(ended.tail[-1:])
        except CacheError as error:
            ended, why = None, str(error)
        if ended is not None and not ended.status:
            return ended
        voice.warn(f"{asked.label}: not from the cache: {why}")
        ended = await self._ask(inputs, asked.verb, voice)
        if not ended.status:
            await self._keep(inputs, asked, voice)
        return ended


def _item(inputs: Properties) -> str:
    """The name of the store path in the manifest."""
    given = json.loads(inputs["manifest"])
    return f"{given['key']}-{given['name']}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is shared, and where it is kept."""

    kind: str
    item: str
    label: str
    cache: Cache

    @classmethod
    def of(cls, inputs: Properties) -> _Asked:
        """From a resource's inputs."""
        given = json.loads(inputs["manifest"])
        place = cache.at(inputs["cache"])
        label = f"{given['name']} {given['key'][:6]}…"
        return cls(given["kind"], _item(inputs), label, Cache(place, inputs["privateKey"]))

    @property
    def verb(self) -> str:
        """That makes it exist."""
        return "ensure" if self.kind == "build" else "ensure-model"
