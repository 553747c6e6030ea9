"""The way back to the engine: messages for the user, and the news that it is gone."""

from __future__ import annotations

import sys

import grpc
import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

INFO = engine_pb2.INFO
WARNING = engine_pb2.WARNING
ERROR = engine_pb2.ERROR


class Engine:
    """One Pulumi engine, reached at `address` (`127.0.0.1:PORT`)."""

    def __init__(self, address: str) -> None:
        # A proxy configured in the environment is for the outside world, not for this machine.
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._stub = engine_pb2_grpc.EngineStub(self._channel)

    async def status(self, urn: str, message: str) -> None:
        """Shows a line in the resource's row of the progress display; it does not stay in the final output."""
        await self._log(urn, message, INFO, ephemeral=True)

    async def tell(self, urn: str, message: str, severity: engine_pb2.LogSeverity.ValueType) -> None:
        """Shows a message that stays in the final output."""
        await self._log(urn, message, severity, ephemeral=False)

    async def _log(
        self, urn: str, message: str, severity: engine_pb2.LogSeverity.ValueType, *, ephemeral: bool
    ) -> None:
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            await self._stub.Log(request)  # type: ignore[misc] # the stub is typed for the blocking API
        except grpc.aio.AioRpcError:
            # A message that cannot be delivered is no reason to fail a command that is running on the host.
            print(message, file=sys.stderr, flush=True)

    async def gone(self) -> None:
        """Returns once the engine no longer listens, also when it was killed without notice."""
        while True:
            state = self._channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return
            await self._channel.wait_for_state_change(state)
