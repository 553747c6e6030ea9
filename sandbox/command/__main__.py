"""Serves the provider to one engine: `python -m sandbox.command [FLAG…] ENGINE_ADDRESS`.

The engine's address (`127.0.0.1:PORT`) is the last argument; the engine may put its own logging flags before it.
The only thing written to stdout is the port, by which the engine finds the provider. The process ends when the
engine does, however that ends.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

import grpc.aio
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.command.engine import Engine
from sandbox.command.servicer import Provider

# As in the engine (sdk/go/common/util/rpcutil): state and assets outgrow the library's default of 4 MiB.
LARGEST_MESSAGE = 400 << 20


async def serve(address: str) -> None:
    """Serves until the engine at `address` is gone, or says so."""
    engine = Engine(address)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
        ]
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    leaving = asyncio.create_task(engine.gone())
    for request in (signal.SIGINT, signal.SIGTERM):  # the engine interrupts its plugins when it has finished
        asyncio.get_running_loop().add_signal_handler(request, leaving.cancel)
    with suppress(asyncio.CancelledError):
        await leaving
    await server.stop(None)


def main() -> None:
    """Runs the provider for the engine that is named on the command line."""
    if len(sys.argv) < 2 or sys.argv[-1].startswith("-"):  # noqa: PLR2004 - the program and one argument
        sys.exit("pulumi-resource-command: the engine's address is missing; this program is started by `pulumi`")
    asyncio.run(serve(sys.argv[-1]))


if __name__ == "__main__":
    main()
