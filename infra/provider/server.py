"""The provider protocol: what the engine asks over gRPC, reduced to the questions of `Lifecycle`.

Secrets: the plugin says that it does not take wrapped secrets, so the engine unwraps them before it asks and marks
them again, at the same paths, in the inputs that come back. Lifecycles put nothing that is secret into outputs.
"""
# Methods and their arguments are named and explained by the protocol (pulumi/proto/provider.proto):
# ruff: noqa: ARG002, D102, N802

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any, Final, NoReturn, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.core.masking import masked
from infra.provider import VERSION
from infra.provider.engine import Engine, Log, Voice
from infra.provider.problems import HostError, Unreachable

UNKNOWN: Final[str] = rpc.UNKNOWN
"""What stands for a value that a preview cannot know."""

Properties = dict[str, Any]
"""Property values as plain JSON data; every number is a float."""

_LARGEST_MESSAGE: Final = 400 << 20
"""Bytes; as in the engine (sdk/go/common/util/rpcutil)."""
_GONE_HOST: Final = "docs/how-to/deploy-jetson.md#a-board-that-is-gone"

T = TypeVar("T")


class Lifecycle(Protocol):
    """A type of resource. Creating and updating are the same, because both state the end.

    Inputs and outputs are plain data; `warn` and `log` show a line at the resource.
    """

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:
        """Property paths of what must change from `before` to `inputs`, and whether each is an input (or an output)."""

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:
        """The outputs that a preview shows; `before` and `outputs` are empty for a new resource."""

    async def apply(self, inputs: Properties, outputs: Properties, voice: Voice) -> Properties:
        """Make it so, and return the outputs; `outputs` are the former ones, empty for a new resource."""

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """Inputs and outputs as the host is now, or None when nothing is left of it there."""

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Undo what is still its own: one that was replaced is deleted after its successor was made."""


def plain(message: Struct) -> Properties:
    """The values of a protobuf struct."""
    values: Properties = MessageToDict(message)
    return values


def struct(values: Mapping[str, Any]) -> Struct:
    """The protobuf form of plain values."""
    message = Struct()
    message.update(values)
    return message


Context = grpc.aio.ServicerContext[Any, Any]
Method = Callable[["Servicer", Any, Context], Awaitable[T]]


def _answered(method: Method[T]) -> Method[T]:
    """Let a method end in its answer, in a text that the engine prints as it is, or promptly when cancelled."""

    async def answer(self: Servicer, request: Any, context: Context) -> T:
        work = asyncio.ensure_future(method(self, request, context))
        self.running.add(work)
        try:
            return await work
        except asyncio.CancelledError:
            failure = "cancelled; what ran on the host was left to end by itself, and the next `pulumi up` finds it"
        except HostError as error:
            failure = masked(str(error))
        except Exception as error:  # noqa: BLE001 - anything else would reach the engine as a mere "Unexpected …"
            failure = f"a defect of the pollex provider: {type(error).__name__}: {masked(str(error))}"
        finally:
            self.running.discard(work)
            await self.engine.sent()
        return await _abort(context, failure)

    return answer


async def _abort(context: Context, failure: str) -> NoReturn:
    await context.abort(grpc.StatusCode.UNKNOWN, failure)
    raise AssertionError("abort raises")


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Answers one engine for all types of resources, which are named by their type tokens."""

    def __init__(self, engine: Engine, lifecycles: Mapping[str, Lifecycle]) -> None:
        self.engine = engine
        self.lifecycles = lifecycles
        self.running: set[asyncio.Future[Any]] = set()

    def _kind(self, token: str) -> Lifecycle:
        """What answers for a type of resources; none does for one that only a newer revision's state holds."""
        if token not in self.lifecycles:
            raise HostError(
                f"this revision of the project has no resource {token}: the state is of a newer one. Go on with that "
                f"(git pull); or `pulumi destroy` with it first, and then `pulumi up` with this one"
            )
        return self.lifecycles[token]

    async def GetPluginInfo(self, request: Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    async def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: Context
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "pollex", "version": VERSION}))

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    @_answered
    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        found = self._kind(request.type).differences(
            plain(request.old_inputs), plain(request.olds), plain(request.news)
        )
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=sorted({path.partition(".")[0].partition("[")[0] for path in found}),
            detailedDiff={
                path: provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.UPDATE, inputDiff=is_input)
                for path, is_input in found.items()
            },
            hasDetailedDiff=True,
        )

    @_answered
    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        kind, inputs = self._kind(request.type), plain(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=struct(kind.foresee({}, {}, inputs)))
        outputs = await kind.apply(inputs, {}, self.engine.voice(request.urn))
        return provider_pb2.CreateResponse(id=request.name, properties=struct(outputs))

    @_answered
    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        kind, inputs = self._kind(request.type), plain(request.news)
        if request.preview:
            outputs = kind.foresee(plain(request.old_inputs), plain(request.olds), inputs)
        else:
            outputs = await kind.apply(inputs, plain(request.olds), self.engine.voice(request.urn))
        return provider_pb2.UpdateResponse(properties=struct(outputs))

    @_answered
    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        if not request.HasField("inputs"):
            raise HostError(f"{request.type} cannot be imported: declare it and run `pulumi up`")
        found = await self._kind(request.type).read(
            plain(request.inputs), plain(request.properties), self.engine.warning(request.urn)
        )
        if found is None:
            return provider_pb2.ReadResponse()
        inputs, outputs = found
        return provider_pb2.ReadResponse(id=request.id, inputs=struct(inputs), properties=struct(outputs))

    @_answered
    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> Empty:
        try:
            await self._kind(request.type).delete(
                plain(request.old_inputs), plain(request.properties), self.engine.warning(request.urn)
            )
        except Unreachable as error:
            forget = f"pulumi state delete '{request.urn}'"
            raise HostError(f"{error}\nif that host is gone for good: {forget} ({_GONE_HOST})") from error
        return Empty()

    async def Cancel(self, request: Empty, context: Context) -> Empty:
        for work in tuple(self.running):
            work.cancel()
        return Empty()


def main(
    arguments: Sequence[str],
    lifecycles: Mapping[str, Lifecycle],
    held: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """Serve types of resources to the engine that is named on the command line, as `serve` does.

    Args:
        arguments: of the command line.
        lifecycles: by their type tokens.
        held: what they share, closed at the end.
    """
    serve(arguments, lambda engine: Servicer(engine, lifecycles), held)


def serve(
    arguments: Sequence[str],
    answering: Callable[[Engine], provider_pb2_grpc.ResourceProviderServicer],
    held: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """Serve the engine whose address is the last argument, until it is gone; stdout carries the port and no more.

    Args:
        arguments: of the command line; the engine may put its own logging flags before its address.
        answering: makes what answers an engine.
        held: open for as long as it is served.
    """
    if not arguments or arguments[-1].startswith("-"):
        raise SystemExit("the engine's address is missing: `pulumi` starts this program")
    asyncio.run(_serve(arguments[-1], answering, held or nullcontext()))


async def _serve(
    address: str,
    answering: Callable[[Engine], provider_pb2_grpc.ResourceProviderServicer],
    held: AbstractAsyncContextManager[object],
) -> None:
    engine = Engine(address)
    sizes = [("grpc.max_receive_message_length", _LARGEST_MESSAGE), ("grpc.max_send_message_length", _LARGEST_MESSAGE)]
    server = grpc.aio.server(options=sizes)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(answering(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    async with held:
        await server.start()
        print(port, flush=True)
        leaving = asyncio.create_task(engine.gone())
        for request in (signal.SIGINT, signal.SIGTERM):  # the engine interrupts its plugins when it has finished
            asyncio.get_running_loop().add_signal_handler(request, leaving.cancel)
        with suppress(asyncio.CancelledError):
            await leaving
        await server.stop(None)
