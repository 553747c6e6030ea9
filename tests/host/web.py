"""A web server for the length of a test."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def answering(
    handler: type[BaseHTTPRequestHandler], address: str = "127.0.0.1", secured: tuple[Path, Path | None] | None = None
) -> Iterator[str]:
    """Its URL, while it answers; by https with a certificate and its key, which may be in the same file."""
    with ThreadingHTTPServer((address, 0), handler) as http:
        if secured is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*secured)
            http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
        http.handle_error = lambda *_: None  # type: ignore[method-assign]  # that clients hang up is what is tried
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http{'' if secured is None else 's'}://{address}:{http.server_port}"
        http.shutdown()
        thread.join()
