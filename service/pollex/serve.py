"""Runs the service. Stops on SIGTERM after what runs is done."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import uvicorn

from pollex import app, connections, logs, pace
from pollex.settings import Settings

log = logging.getLogger("pollex")

_EVERYWHERE = "::"
"""The address that means every one of this machine, of both families."""


def run(settings: Settings) -> None:
    """Serve until a signal comes; then finish what runs, for at most `shutdown_timeout` seconds."""
    logs.configure(settings.log_level)
    # uvicorn raises the signal that ended it once more when all is done; that is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    needs = round(pace.needed(settings), 1)
    log.info(
        "starting",
        extra={
            "host": settings.host,
            "port": settings.port,
            "models": settings.model_ids(),
            "characters_per_second_needed": needs,
        },
    )
    config = uvicorn.Config(
        app.create(settings),
        host=settings.host,
        port=settings.port,
        http=connections.limited(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the service decides itself which proxies it believes
        timeout_graceful_shutdown=round(settings.shutdown_timeout),
    )
    server = uvicorn.Server(config)
    server.run([_both_families(settings.port)] if settings.host == _EVERYWHERE else None)
    if not server.started:
        sys.exit(1)


def _both_families(port: int) -> socket.socket:
    """A socket that IPv4 reaches too; one that asyncio opens at `::` is for IPv6 alone."""
    try:
        return socket.create_server((_EVERYWHERE, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
    except (OSError, ValueError) as error:
        log.error("cannot listen at [%s]:%d: %s", _EVERYWHERE, port, getattr(error, "strerror", None) or error)  # noqa: TRY400 - expected, and its trace says nothing
        sys.exit(1)
