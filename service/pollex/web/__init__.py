"""The web page: static files, sent with a policy under which they can load nothing from anywhere else."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles

if TYPE_CHECKING:
    import os

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

STATIC = Path(__file__).parent / "static"

HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # asked for anew each time and answered with 304: a board that was updated shows its new page at once
    "Cache-Control": "no-cache",
}
"""What every answer of the page carries."""


class _Page(StaticFiles):
    """Static files with the headers above, each told from its former versions by its content.

    Starlette tells them by time and size, and in an image every file has the same time: of two versions with as many
    bytes the browser would go on showing the one that it has.
    """

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response: Response = FileResponse(full_path, status_code=status_code, stat_result=stat_result)
        response.headers["ETag"] = f'"{sha256(Path(full_path).read_bytes()).hexdigest()}"'
        asked = Headers(scope=scope)
        if "If-None-Match" in asked and self.is_not_modified(response.headers, asked):
            response = NotModifiedResponse(response.headers)
        response.headers.update(HEADERS)
        return response


def routes() -> list[BaseRoute]:
    """`/` (the page) and `/web/…` (what it loads); nothing else, so that unknown paths stay the service's own."""
    files = _Page(directory=STATIC)

    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    return [Route("/", index), Mount("/web", files)]
