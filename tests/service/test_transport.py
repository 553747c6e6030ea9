"""What is left of a request that is cancelled at any of its steps."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

import httpx
import psutil

from pollex.upstream.transport import Transport

STEPS = 40
"""Turns of the event loop after which a request is cancelled; from some 15 on it waits for the answer."""


def transport() -> Transport:
    """As the service has it for plain HTTP."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return Transport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), proxy=None, limits=limits)


def test_a_cancelled_request_leaves_no_connection() -> None:
    """If this fails, each client that goes away in a bad moment costs a file descriptor, until there are no more."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        """Nothing, until whoever asks goes away."""
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, httpx.AsyncClient(transport=transport(), base_url=f"http://127.0.0.1:{port}") as client:

            def left() -> list[object]:
                return [one for one in psutil.Process().net_connections() if one.raddr and one.raddr.port == port]

            seen = 0
            for steps in range(STEPS):
                asking = asyncio.create_task(client.get("/"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                seen += len(left())
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
                while left():  # noqa: ASYNC110 - the kernel has no event for it; what stays lets this wait for ever
                    await asyncio.sleep(0.01)
            assert seen > STEPS / 4, "no request came as far as a connection"

    asyncio.run(run())
