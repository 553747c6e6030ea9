"""`Tools`: pollex-host itself on a host, which needs nothing there but a shell and tar.

They go to the host's own folder through the same connection that installs them, and not to the home of whoever logs in:
another login, or a home that was lost, changes nothing. A read notices what is missing.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import shlex
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import pulumi
from pulumi import Output

from infra import HOST_FOLDER
from infra.hosttools.pollex_host import tools
from infra.hosttools.pollex_host.errors import Exit
from infra.provider.connection import Connection
from infra.provider.engine import Log
from infra.provider.hosts import Hosts
from infra.provider.onhost import OnHost, reached
from infra.provider.problems import HostError
from infra.provider.server import UNKNOWN, Properties
from infra.provider.tools import report
from infra.provider.values import changed

if TYPE_CHECKING:
    from infra.provider.ssh import Completed, Session

_SCRIPT: Final = Path(__file__).with_name("deliver.sh")
_MISSING: Final = "missing"
_DECIDES: Final = ("hash", "packages", "identity", "python")


class Tools(pulumi.CustomResource):
    """The host's tools: delivered where they are others, or missing; with the Debian packages that they need."""

    hash: Output[str]
    """Names the tools that are in force."""

    def __init__(
        self,
        name: str,
        *,
        hash: pulumi.Input[str],  # noqa: A002 - the input's name
        packages: pulumi.Input[Sequence[str]],
        python: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
        **on_host: Unpack[OnHost],
    ) -> None:
        """Declare the tools.

        Args:
            name: the resource's name.
            hash: what `infra.hosttools.pollex_host.tools.tools_hash` says of infra/hosttools.
            packages: Debian packages that must be there.
            python: `sha256` and `urls` of a standalone CPython, for a host whose own is missing or too old.
            opts: the engine's options.
            on_host: how the host is reached.
        """
        inputs = {**reached(on_host), "hash": hash, "packages": packages}
        inputs |= {} if python is None else {"python": python}
        super().__init__("pollex:index:Tools", name, inputs, opts)


class ToolsLifecycle:
    """The tools on a host, with an interpreter that runs them and the packages that they need.

    Inputs `connection`, `sudo`, `hash`, `packages`, `python`, `identity`; the output `hash` is that of the tools in
    force. `hash` as an input is that of the tools here; reading replaces it when the host has others, or none.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Kind's signature
        """Another way to the same host changes nothing that is there."""
        was, will = ({name: side.get(name) for name in _DECIDES} for side in (before, inputs))
        return dict.fromkeys(changed(was, will), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - Kind's signature
        """They will be those of this project."""
        return {"hash": inputs.get("hash", UNKNOWN)}

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Kind's signature
        """Send them, and let them install themselves; an interpreter goes first where the host has none that fits."""
        to = Connection.parse(inputs["connection"])
        archive = packed(inputs["hash"])
        async with self._hosts.connect(to) as host:
            ended = await _install(host, inputs, archive, log)
            python = inputs.get("python")
            if ended.status == Exit.NO_PYTHON and python is not None:
                loop = asyncio.get_running_loop()
                content = await asyncio.to_thread(_fetch, python, lambda line: loop.call_soon_threadsafe(log, line))
                log(f"sending an interpreter, {len(content) / 1e6:.1f} MB, to {to}")
                brought = await host.run(_command(inputs, "python", python["sha256"]), stdin=content, log=log)
                if brought.status:
                    raise HostError("\n  ".join([f"bringing an interpreter to {to} failed", *brought.tail]))
                ended = await _install(host, inputs, archive, log)
        answer = report(f"bringing the tools to {to}", ended)
        return {"hash": answer["tools"]}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """Which tools are in force; `missing` where a part of them is gone."""
        to = Connection.parse(inputs["connection"])
        async with self._hosts.connect(to) as host:
            answer = await host.run(f"sh -c {shlex.quote(_SCRIPT.read_text())} deliver.sh which")
        there = answer.stdout.strip() or _MISSING
        if there != outputs.get("hash"):
            warn(f"{to} has lost its tools, or has others; the next `pulumi up` brings them again")
            return {**inputs, "hash": there}, {**outputs, "hash": there}
        return inputs, outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Leave them: what they made may still be there, and the Host's end takes their links away."""


async def _install(host: Session, inputs: Properties, archive: bytes, log: Log) -> Completed:
    return await host.run(_command(inputs, "tools", *inputs["packages"]), stdin=archive, log=log)


def _command(inputs: Properties, step: str, *arguments: str) -> str:
    """The command line; its data comes on stdin."""
    words = ["sh", "-c", _SCRIPT.read_text(), "deliver.sh", step, *arguments]
    return ("sudo -n " if inputs["sudo"] else "") + shlex.join(words)


def packed(wanted: str, folder: Path = HOST_FOLDER) -> bytes:
    """The tools as tar.gz: the same bytes for the same tools.

    Raises:
        HostError: they are not those that were declared.
    """
    if (now := tools.tools_hash(str(folder))) != wanted:
        raise HostError(f"the tools in {folder} changed meanwhile: they are {now}, not {wanted}; run it again")
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name in tools.names(str(folder)):
            content = (folder / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _fetch(python: dict[str, Any], log: Callable[[str], object]) -> bytes:
    """The interpreter; runs in a thread of its own, so `log` must come back to the loop by itself."""
    from infra.provider import packing  # noqa: PLC0415 - its HTTP client is a tenth of the plugin's start

    try:
        return packing.download(python["urls"], python["sha256"], log)
    except packing.PackError as error:
        raise HostError(str(error)) from error
