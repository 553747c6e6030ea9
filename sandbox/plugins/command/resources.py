"""What the two resources mean: their checks, their life cycle and what they leave in the state.

The inputs of a resource become its outputs untouched, secrets and assets included; a Command adds `stdout` and
`stderr`. SSH is imported where it is first used, so that a preview starts without it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from google.protobuf.struct_pb2 import Struct, Value
from pulumi.runtime.proto import CheckFailure

from sandbox.plugins.command import values

if TYPE_CHECKING:
    from infra.provider.engine import Engine
    from sandbox.plugins.command.remote import Output

DEFAULTS = {
    "user": Value(string_value="root"),
    "port": Value(number_value=22),
    "dialErrorLimit": Value(number_value=10),
    "perDialTimeout": Value(number_value=15),
}
"""Filled into a connection and its proxy, as provider/pkg/provider/remote/connection.go declares them."""

SECRETS = ("password", "privateKey", "privateKeyPassword")
COMMAND_INPUTS = (
    *("triggers", "create", "update", "delete", "stdin", "logging", "connection", "environment"),
    "addPreviousOutputInEnv",
)


def _complete(connection: Value) -> None:
    """Fills in what a connection leaves out and hides its secrets."""
    fields = values.exposed(connection).struct_value.fields
    for key, default in DEFAULTS.items():
        if key not in fields:
            fields[key].CopyFrom(default)
    for key in SECRETS:
        if key in fields:
            fields[key].CopyFrom(values.hidden(fields[key]))
    if "proxy" in fields and not values.is_unknown(fields["proxy"]):
        _complete(fields["proxy"])


def checked(inputs: Struct) -> Struct:
    """The inputs with a complete and secret connection."""
    inputs = values.merged(inputs)
    if "connection" in inputs.fields:
        connection = inputs.fields["connection"]
        if not values.is_unknown(connection):
            _complete(connection)
        connection.CopyFrom(values.hidden(connection))
    return inputs


def _hex() -> str:
    """Eight random hex digits, as Pulumi puts them into names."""
    return secrets.token_hex(4)


class Command:
    """`command:remote:Command`: a command to run when the resource is made, changed or deleted."""

    def failures(self, inputs: Struct) -> list[CheckFailure]:  # noqa: ARG002 - a Command has nothing to reject
        """Nothing: the SDK's types already say what is accepted."""
        return []

    async def create(self, name: str, urn: str, inputs: Struct, engine: Engine, *, preview: bool) -> tuple[str, Struct]:
        """Runs `create`; the id is the name and eight hex digits."""
        if preview:
            return name + _hex(), values.merged(inputs, stdout=values.UNKNOWN, stderr=values.UNKNOWN)
        output = await _run("create", inputs, Struct(), urn, engine)
        return name + _hex(), values.merged(inputs, **output._asdict())

    async def update(self, urn: str, state: Struct, inputs: Struct, engine: Engine, *, preview: bool) -> Struct:
        """Runs `update`, or `create` where there is none; with neither the former output stays."""
        if preview and _output_may_change(state, inputs):
            return values.merged(inputs, stdout=values.UNKNOWN, stderr=values.UNKNOWN)
        step = "update" if "update" in inputs.fields else "create"
        output = await _run(None if preview else step, inputs, state, urn, engine)
        return values.merged(inputs, **output._asdict())

    async def delete(self, urn: str, state: Struct, engine: Engine) -> None:
        """Runs `delete`, if there is one."""
        await _run("delete", state, state, urn, engine)


async def _run(step: str | None, properties: Struct, state: Struct, urn: str, engine: Engine) -> Output:
    """The output of the command that the properties name for `step`; the former output when they name none."""
    from sandbox.plugins.command import remote  # noqa: PLC0415 - see the module's docstring

    declared, former = values.plain_map(properties), values.plain_map(state)
    before = remote.Output(former.get("stdout", ""), former.get("stderr", ""))
    command = declared.get(step) if step is not None else None
    if command is None:
        return before
    return await remote.run(remote.Run.of(declared, command, before), urn, engine)


def _output_may_change(state: Struct, inputs: Struct) -> bool:
    """Whether a preview shows stdout and stderr as unknown: an input is unknown, or differs from the state.

    An input that is new in this update does not count. That is an oversight of the official plugin's framework
    (pulumi-go-provider, infer/resource.go, markComputed), repeated here so that previews look the same.
    """
    for key in COMMAND_INPUTS:
        new = inputs.fields.get(key, Value())
        if values.is_unknown(new) or (key in state.fields and state.fields[key] != new):
            return True
    return False


class CopyToRemote:
    """`command:remote:CopyToRemote`: a text, file or folder to upload; nothing is deleted with the resource."""

    def failures(self, inputs: Struct) -> list[CheckFailure]:
        """Sources that cannot be uploaded: those made of other assets or fetched from an address."""
        source = inputs.fields.get("source", Value())
        described = values.plain(source) or {}
        if values.is_archive(source) and not described.get("path"):
            return [CheckFailure(property="archive", reason="archive must be a path to a file or directory")]
        if values.is_asset(source) and described.get("uri"):
            return [CheckFailure(property="asset", reason="asset must be a path-based file asset or a text asset")]
        if not values.is_archive(source) and not values.is_asset(source) and not values.is_unknown(source):
            return [CheckFailure(property="asset", reason="either asset or archive must be set")]
        return []

    async def create(
        self,
        name: str,  # noqa: ARG002 - its id does not contain the name
        urn: str,
        inputs: Struct,
        engine: Engine,
        *,
        preview: bool,
    ) -> tuple[str, Struct]:
        """Copies; the id is eight hex digits."""
        if preview:
            return "", inputs
        await _copy(urn, inputs, engine)
        return _hex(), inputs

    async def update(self, urn: str, state: Struct, inputs: Struct, engine: Engine, *, preview: bool) -> Struct:
        """Copies again if the content or the path differs; a changed connection alone copies nothing."""
        old, new = values.plain_map(state), values.plain_map(inputs)
        if not preview and (old["source"]["hash"], old["remotePath"]) != (new["source"]["hash"], new["remotePath"]):
            await _copy(urn, inputs, engine)
        return inputs

    async def delete(self, urn: str, state: Struct, engine: Engine) -> None:
        """Leaves the copy where it is."""


async def _copy(urn: str, inputs: Struct, engine: Engine) -> None:
    from sandbox.plugins.command import copy  # noqa: PLC0415 - see the module's docstring

    await copy.copy(values.plain_map(inputs), engine.status(urn))


RESOURCES: dict[str, Command | CopyToRemote] = {
    "command:remote:Command": Command(),
    "command:remote:CopyToRemote": CopyToRemote(),
}
