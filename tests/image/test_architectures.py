"""Models of architectures that are newer than the Jetson's source, in the image's server behind its entrypoint."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.image import tiny
from tests.image.entrypoint import kill_first_process
from tests.image.test_entrypoint_health import Real

EMBEDDING = {"qwen3-embedding": "last", "embeddinggemma": "mean", "nomic-embed-text-v2-moe": "mean"}
CHAT = ("qwen3", "gemma3")
TEXTS = ["a cat", "a dog and a cat", "a cat"]

Serve = Callable[[str], Real]


@pytest.fixture
def serve(shipped: Path, tmp_path: Path) -> Iterator[Serve]:
    """`serve(name)`: a server with that tiny model, started by the image's entrypoint and ready."""
    for program in ("entrypoint", "llama-server"):
        shutil.copy(shipped.with_name(program), tmp_path / program)
    (tmp_path / "models").mkdir()

    def run(name: str) -> Real:
        tiny.write(tmp_path / "models" / f"{name}.gguf", name)
        server = Real(tmp_path, name)
        running.callback(server.log.close)
        running.callback(server.process.wait)
        running.callback(kill_first_process, server.process)
        server.ready()
        return server

    with ExitStack() as running:
        yield run


@pytest.mark.parametrize("name", EMBEDDING)
def test_it_embeds(serve: Serve, tmp_path: Path, name: str) -> None:
    """If this fails, an embedding model of the last year does not load, or its vectors say nothing about the text."""
    server = serve(name)
    found = server.post("/v1/embeddings", input=TEXTS, model=name)["data"]
    one, other, same = ([*entry["embedding"]] for entry in found)
    assert {len(vector) for vector in (one, other, same)} == {tiny.WIDTH}
    assert math.hypot(*one) == pytest.approx(1, abs=1e-3)
    assert one == pytest.approx(same, abs=1e-3)
    assert one != pytest.approx(other, abs=1e-2)
    assert f"pooling {EMBEDDING[name]}, as the file says" in (tmp_path / "log").read_text()
    assert server.health() == f"healthy: it answers with {tiny.WIDTH} dimensions\n"


@pytest.mark.parametrize("name", CHAT)
def test_it_chats(serve: Serve, name: str) -> None:
    """If this fails, a chat model of the last year does not load, or says nothing."""
    server = serve(name)
    asked = {"messages": [{"role": "user", "content": "a cat"}], "max_tokens": 4, "ignore_eos": True}
    answer = server.post("/v1/chat/completions", model=name, **asked)
    assert answer["usage"]["completion_tokens"] == 4
    assert answer["usage"]["prompt_tokens"] > 2
    assert server.health().startswith("healthy: ")
