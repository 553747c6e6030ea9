"""A llama-server that answers at once, to measure what stands in front of it: `python bench/upstream.py PORT`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

WORDS = 20
"""Events of an answer, about those of a sentence."""


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [{"delta": delta, "finish_reason": reason}]}).encode()


async def _words() -> AsyncIterator[bytes]:
    for _ in range(WORDS):
        yield _event({"content": "word "})
    yield _event({}, "stop") + b"data: [DONE]\n\n"


async def _chat(request: Request) -> Response:
    if (await request.json()).get("stream"):
        return StreamingResponse(_words(), media_type="text/event-stream")
    return JSONResponse({"choices": [{"message": {"content": "word"}}]})


async def _tokenize(request: Request) -> Response:
    return JSONResponse({"tokens": (await request.json())["content"].split()})


def _fixed(answer: object) -> Callable[[Request], Response]:
    return lambda _: JSONResponse(answer)


app = Starlette(
    routes=[
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/tokenize", _tokenize, methods=["POST"]),
        Route("/apply-template", _fixed({"prompt": "prompt"}), methods=["POST"]),
        Route("/props", _fixed({"default_generation_settings": {"n_ctx": 2048}})),
        Route("/slots", _fixed([{"id_task": 1}])),
        Route("/health", _fixed({"status": "ok"})),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
