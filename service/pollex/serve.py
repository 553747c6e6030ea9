"""Runs the service: `python -m pollex.serve`. Stops on SIGTERM after what runs is done."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

import uvicorn

from pollex import app, logs
from pollex.settings import Settings, SettingsError, load

log = logging.getLogger("pollex")


def run(settings: Settings) -> None:
    """Serve until a signal comes; then finish what runs, for at most `shutdown_timeout` seconds."""
    logs.configure(settings.log_level)
    # uvicorn raises the signal that ended it once more when all is done; that is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("starting", extra={"host": settings.host, "port": settings.port, "models": settings.model_ids()})
    uvicorn.run(
        app.create(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the service decides itself which proxies it believes
        timeout_graceful_shutdown=round(settings.shutdown_timeout),
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line; the original service's flags."""
    parser = argparse.ArgumentParser(prog="python -m pollex.serve", description="Serve the polisher.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML (or POLLEX_CONFIG)")
    parser.add_argument("--port", type=int, help="listen on this port")
    parser.add_argument("--mock", action="store_true", help="serve the model `mock` only")
    given = parser.parse_args(arguments)
    overrides = {key: value for key, value in (("port", given.port), ("mock", given.mock or None)) if value is not None}
    try:
        settings = load(given.config, overrides)
    except SettingsError as error:
        sys.exit(f"error: {error}")
    run(settings)


if __name__ == "__main__":
    main()
