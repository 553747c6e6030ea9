"""The way back to the engine: messages for the person at it, and the news that it is gone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import grpc
import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from infra.core.masking import masked

CHANNEL: Final = [("grpc.enable_http_proxy", 0)]
"""A proxy that the environment names is for the world outside, not for an engine on this machine."""

Log = Callable[[str], None]
"""Shows a line; returns at once."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How one resource speaks; called, it shows progress."""

    progress: Log
    warn: Log
    """For what must not be missed."""

    def __call__(self, line: str) -> None:
        """Show progress."""
        self.progress(line)


class Engine:
    """One Pulumi engine, at `address` (`127.0.0.1:PORT`)."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL)
        # On an asynchronous channel the generated stub is this one, a class that exists for type checkers only.
        self._stub = cast("engine_pb2_grpc.EngineAsyncStub", engine_pb2_grpc.EngineStub(self._channel))
        self._sending: asyncio.Task[None] | None = None

    def status(self, urn: str) -> Log:
        """A log for progress: each line replaces the one before it in the resource's row."""
        return lambda line: self._send(urn, line, engine_pb2.INFO, ephemeral=True)

    def voice(self, urn: str) -> Voice:
        """Both: progress, and what must not be missed."""
        return Voice(self.status(urn), self.warning(urn))

    def warning(self, urn: str) -> Log:
        """A log for what must not be missed: its lines stay in the final output."""
        return lambda line: self._send(urn, line, engine_pb2.WARNING, ephemeral=False)

    def error(self, urn: str) -> Log:
        """A log for what makes the resource fail, besides the failure's own message."""
        return lambda line: self._send(urn, line, engine_pb2.ERROR, ephemeral=False)

    async def sent(self) -> None:
        """Wait for the lines under way, so that none comes after the answer it belongs to."""
        if self._sending is not None:
            await self._sending

    async def gone(self) -> None:
        """Return once the engine no longer listens, also when it was killed without notice."""
        while True:
            state = self._channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return
            await self._channel.wait_for_state_change(state)

    def _send(self, urn: str, line: str, severity: engine_pb2.LogSeverity.ValueType, *, ephemeral: bool) -> None:
        request = engine_pb2.LogRequest(severity=severity, message=masked(line), urn=urn, ephemeral=ephemeral)
        self._sending = asyncio.create_task(self._deliver(request, after=self._sending))

    async def _deliver(self, request: engine_pb2.LogRequest, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await after
        try:
            await self._stub.Log(request)
        except grpc.aio.AioRpcError:
            # A line that cannot be delivered is no reason to fail what goes on at the host.
            print(request.message, file=sys.stderr, flush=True)
