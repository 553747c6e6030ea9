"""Let atheris make up bytes for one reader: python -m tests.fuzz READER [options of libFuzzer] [folders of a corpus].

What a reader may raise is what it says that it raises; everything else ends the run, and is kept as a file.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import atheris
import httpx

with atheris.instrument_imports(include=["pollex", "infra"]):
    from infra.hosttools.pollex_host import manifest
    from pollex import app, gguf, ollama, prompts
    from pollex.languagetool import request as languagetool
    from pollex.lines import Lines
    from pollex.settings import Settings
    from pollex.upstream import UpstreamError, adapters

if TYPE_CHECKING:
    from pollex.upstream import Adapter

_MOST = 10_000
"""Characters of a text."""


def read_gguf(data: bytes) -> None:
    """A model's header."""
    with suppress(gguf.GgufError):
        gguf.parse(io.BytesIO(data), len(data))


def read_ollama(data: bytes) -> None:
    """The manifest of a model in an Ollama store, which is never an error of its reader."""
    place = _STORE / "manifests/registry.ollama.ai/library/made"
    place.mkdir(parents=True, exist_ok=True)
    (place / "up").write_bytes(data)
    ollama.Store(_STORE).models()


def read_manifest(data: bytes) -> None:
    """What a host is told to do."""
    with suppress(manifest.ManifestError):
        manifest.parse(data.decode("utf-8", "replace"))


def read_polish(data: bytes) -> None:
    """The body of a request for a polished text."""
    with suppress(app._BadRequestError):
        app._parse(data, _MOST)


def read_languagetool(data: bytes) -> None:
    """The form of a client of LanguageTool."""
    with suppress(languagetool.RefusedError, ValueError):
        given = dict(parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))
        with suppress(languagetool.RefusedError):
            languagetool.read(given, _MOST)


def read_stream(data: bytes) -> None:
    """The events of an upstream of the OpenAI form."""
    adapter: Adapter = adapters(Settings.model_validate({"llamacpp_url": "http://127.0.0.1:9"}))[0]

    async def ask() -> None:
        answer = httpx.MockTransport(lambda _: httpx.Response(200, content=data))
        http = adapter._http  # type: ignore[attr-defined]
        await http.client.aclose()
        http.client = httpx.AsyncClient(transport=answer, base_url="http://x")
        with suppress(UpstreamError):
            async for _ in adapter.stream(_PROMPT, "teh end", 60):
                pass
        await adapter.close()

    asyncio.run(ask())


def read_lines(data: bytes) -> None:
    """Lines out of pieces: cut anywhere, they are the same lines."""
    cut = data[0] % len(data) if data else 0
    lines, whole = Lines(), Lines()
    pieces = [*lines.feed(data[:cut]), *lines.feed(data[cut:]), *lines.end()]
    assert pieces == [*whole.feed(data), *whole.end()]


READERS: dict[str, Callable[[bytes], None]] = {
    name.removeprefix("read_"): reader for name, reader in list(globals().items()) if name.startswith("read_")
}
_PROMPT = prompts.load("polish")
_STORE = Path(tempfile.gettempdir()) / "unused"


def main(name: str) -> None:
    """Run until libFuzzer's options say that it is enough."""
    global _STORE  # noqa: PLW0603 - one for the whole process
    with tempfile.TemporaryDirectory() as folder:
        _STORE = Path(folder)
        atheris.Setup([sys.argv[0], *sys.argv[2:]], READERS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1])
