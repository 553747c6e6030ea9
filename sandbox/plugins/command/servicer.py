"""The raw provider protocol: what the engine asks, passed on to the resources.

The SDK's own provider framework cannot carry assets back to the engine, which CopyToRemote needs.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.plugins.command import VERSION
from sandbox.plugins.command.resources import RESOURCES, Command, CopyToRemote, checked

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import grpc.aio

    from infra.provider.engine import Engine

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

CANCELLED = "cancelled: the connection was closed; a command that was running on the host may still run there"


class UnknownTypeError(Exception):
    """A resource of the official plugin that the stand-in does not serve."""


def _resource(urn: str) -> Command | CopyToRemote:
    """The resource behind `urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME`."""
    kind = urn.split("::", 3)[2].rpartition("$")[2]
    try:
        return RESOURCES[kind]
    except KeyError:
        raise UnknownTypeError(
            f"this stand-in for pulumi-command serves {' and '.join(RESOURCES)}, not {kind}; "
            f"for that, install the official plugin: pulumi plugin install resource command {VERSION}"
        ) from None


def _name(urn: str) -> str:
    return urn.split("::", 3)[3]


# ruff: noqa: N802, D102, ARG002 - the methods' names and meanings are the protocol's (proto/pulumi/provider.proto)
class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process, serving one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._work: set[asyncio.Task[object]] = set()
        self._cancelled = False

    async def _done(self, context: Context, work: Coroutine[object, object, T]) -> T:
        """The result of `work`; its error becomes the resource's error, and Cancel ends it."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        if self._cancelled:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            failure = (grpc.StatusCode.CANCELLED, CANCELLED)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the user's to see, at this resource
            failure = (grpc.StatusCode.UNKNOWN, str(error))
        finally:
            self._work.discard(task)
            await self._engine.sent()
        await context.abort(*failure)
        raise AssertionError("abort raises")

    async def GetPluginInfo(self, request: Empty, context: Context) -> proto.PluginInfo:
        return proto.PluginInfo(version=VERSION)

    async def GetSchema(self, request: proto.GetSchemaRequest, context: Context) -> proto.GetSchemaResponse:
        return proto.GetSchemaResponse(schema=json.dumps({"name": "command", "version": VERSION}))

    async def CheckConfig(self, request: proto.CheckRequest, context: Context) -> proto.CheckResponse:
        return proto.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: proto.DiffRequest, context: Context) -> proto.DiffResponse:
        return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)

    async def Configure(self, request: proto.ConfigureRequest, context: Context) -> proto.ConfigureResponse:
        return proto.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    async def Check(self, request: proto.CheckRequest, context: Context) -> proto.CheckResponse:
        async def work() -> proto.CheckResponse:
            return proto.CheckResponse(
                inputs=checked(request.news), failures=_resource(request.urn).failures(request.news)
            )

        return await self._done(context, work())

    async def Diff(self, request: proto.DiffRequest, context: Context) -> proto.DiffResponse:
        # The engine compares the inputs itself, by the same code as the official plugin; the SDK adds that a changed
        # entry of `triggers` replaces. What neither knows is that triggers replace when they come or go as a whole.
        came_or_went = ("triggers" in request.old_inputs.fields) != ("triggers" in request.news.fields)
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_UNKNOWN, replaces=["triggers"] if came_or_went else []
        )

    async def Create(self, request: proto.CreateRequest, context: Context) -> proto.CreateResponse:
        async def work() -> proto.CreateResponse:
            ident, properties = await _resource(request.urn).create(
                _name(request.urn), request.urn, request.properties, self._engine, preview=request.preview
            )
            return proto.CreateResponse(id=ident, properties=properties)

        return await self._done(context, work())

    async def Read(self, request: proto.ReadRequest, context: Context) -> proto.ReadResponse:
        return proto.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def Update(self, request: proto.UpdateRequest, context: Context) -> proto.UpdateResponse:
        async def work() -> proto.UpdateResponse:
            properties = await _resource(request.urn).update(
                request.urn, request.olds, request.news, self._engine, preview=request.preview
            )
            return proto.UpdateResponse(properties=properties)

        return await self._done(context, work())

    async def Delete(self, request: proto.DeleteRequest, context: Context) -> Empty:
        async def work() -> Empty:
            await _resource(request.urn).delete(request.urn, request.properties, self._engine)
            return Empty()

        return await self._done(context, work())

    async def Cancel(self, request: Empty, context: Context) -> Empty:
        self._cancelled = True
        for task in self._work:
            task.cancel()
        return Empty()
