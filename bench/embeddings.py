"""Embeddings: the image's own programs, beside Ollama with the same file and other options of its own.

    python -m bench.embeddings [--rounds N] [--vary]

Prints a table and writes build/bench/embeddings.json. Each contestant has a server of its own on this machine with
all-MiniLM-L6-v2 in F16; they take turns, one input after the other and four at a time, with sentences and with whole
texts of 60 to 250 words, and with sentences over sixteen connections that all stay open, as an application's pool
keeps them. Every vector is compared with Ollama's: a fast wrong one is worth nothing.

--vary adds llama-server with other options than the image's, to find out what makes it faster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bench import ollama, polish, record
from bench.servers import contained
from sandbox import minilm, source
from sandbox.images.published import published
from sandbox.images.unpacked import Unpacked
from sandbox.machine import SandboxError, say

NAME = "all-minilm"
OURS, PEER = "image", "ollama"
POOL = 16
"""Connections that a client keeps open."""
COSINE = 0.999
"""The least that vectors of the same file may have between two programs; measured: at least 0.99998."""

VARIED: Mapping[str, Mapping[str, str]] = {
    "1 thread": {"LLAMA_ARG_THREADS": "1"},
    "4 slots": {"LLAMA_ARG_N_PARALLEL": "4"},
    "4 slots, 1 thread": {"LLAMA_ARG_N_PARALLEL": "4", "LLAMA_ARG_THREADS": "1"},
    "batch 512": {"LLAMA_ARG_BATCH": "512", "LLAMA_ARG_UBATCH": "512"},
    "llama-server's HTTP threads": {"LLAMA_ARG_THREADS_HTTP": "3"},
    "threads wait as libgomp has it": {"OMP_WAIT_POLICY": "", "GOMP_SPINCOUNT": "300000"},
}
"""Other options of llama-server than the image's, as the container's environment."""


def inputs() -> dict[str, list[str]]:
    """What is embedded, by kind."""
    texts = list(polish.texts().values())
    sentences = [one for text in texts for one in re.split(r"(?<=[.?!])\s+", text) if len(one.split()) > 3]  # noqa: PLR2004 - greetings and numbers
    return {"sentence": sentences[:48], "text": texts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A way to send inputs."""

    name: str
    kind: str
    """Of the inputs."""
    parallel: int = 1
    """Inputs at a time, each over a connection of its own."""
    pool: int = 1
    """Open connections that take turns."""
    most: int | None = None
    """Of the inputs."""


FIRST = Load(name="sentences, one after the other", kind="sentence")
LOADS = (
    FIRST,
    Load(name="sentences, 4 at a time", kind="sentence", parallel=4),
    Load(name=f"sentences, over {POOL} connections", kind="sentence", pool=POOL, most=POOL + 2),
    Load(name="texts, one after the other", kind="text"),
    Load(name="texts, 4 at a time", kind="text", parallel=4),
)


@dataclass(slots=True)
class Contestant:
    """A server, and what it took."""

    url: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Per input, by load; one value a round."""
    vectors: dict[str, list[list[float]]] = field(default_factory=dict)
    """Of every input, by kind."""

    def round(self, load: Load, texts: Sequence[str]) -> None:
        """Embed every text once, and take the time of all together."""
        places = [texts[n :: load.parallel] for n in range(load.parallel)]
        with ThreadPoolExecutor(load.parallel) as workers:
            begun = time.perf_counter()
            answers = list(workers.map(self._ask, places, [load.pool] * load.parallel))
            taken = time.perf_counter() - begun
        self.seconds.setdefault(load.name, []).append(taken / len(texts))
        if load.parallel == load.pool == 1:
            self.vectors[load.kind] = answers[0]

    def _ask(self, texts: Sequence[str], pool: int) -> list[list[float]]:
        """The vectors of these texts, one request each, over so many connections in turn."""
        address = urlsplit(self.url)
        with ExitStack() as stack:
            connections = [HTTPConnection(address.hostname or "", address.port, timeout=300) for _ in range(pool)]
            for connection in connections:
                stack.callback(connection.close)
            return [self._one(connection, text) for connection, text in zip(cycle(connections), texts)]

    def _one(self, connection: HTTPConnection, text: str) -> list[float]:
        body = json.dumps({"model": NAME, "input": text})
        try:
            answer = self._post(connection, body)
        except (BrokenPipeError, ConnectionResetError, RemoteDisconnected):
            connection.close()  # the server was tired of it; any client opens another one then
            answer = self._post(connection, body)
        said = json.loads(answer.read())
        if answer.status != 200:  # noqa: PLR2004 - HTTP's "OK"
            raise SandboxError(f"{self.url} answers {answer.status}: {said}")
        vector: list[float] = said["data"][0]["embedding"]
        return vector

    def _post(self, connection: HTTPConnection, body: str) -> HTTPResponse:
        connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        return connection.getresponse()


@contextmanager
def contestants(folder: Path, *, vary: bool) -> Iterator[dict[str, Contestant]]:
    """Every server, by the name of the contestant.

    Raises:
        SandboxError: something could not be built.
    """
    model = minilm.model("F16")
    # a setting that is empty counts as not set: those of this machine must decide nothing
    known = {"MODEL_SHA256": "", "POOLING": "", "CONTEXT": "", "DIMENSIONS": "", "MODE": ""}
    with ExitStack() as stack:
        with published(folder / "registry") as image:
            unpacked = Unpacked(image, "linux/amd64")
        unpacked.write("llama-server", folder)
        program = unpacked.write("entrypoint", folder)
        peer = stack.enter_context(ollama.serving(folder / "ollama"))
        peer.add(NAME, model, {})
        found = {PEER: Contestant(peer.url)}
        ours: dict[str, Mapping[str, str]] = {OURS: {}, **(VARIED if vary else {})}
        for name, settings in ours.items():
            found[name] = Contestant(stack.enter_context(contained(program, model, {**known, **settings})))
        yield found


def measure(servers: Mapping[str, Contestant], rounds: int) -> None:
    """Let them take turns; the first round, which loads and warms up, does not count."""
    order, sent = list(servers), inputs()
    for turn in range(rounds + 1):
        for load in LOADS:
            order.append(order.pop(0))
            for name in order:
                servers[name].round(load, sent[load.kind][: load.most])
        if turn == 0:
            for server in servers.values():
                server.seconds.clear()
        say(f"round {turn} of {rounds}")


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Of the angle between two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def least_cosine(servers: Mapping[str, Contestant]) -> float:
    """Of any vector with the peer's for the same text.

    Raises:
        SandboxError: it is so small that one of the two is wrong.
    """
    found = 1.0
    for name, server in servers.items():
        for kind, vectors in server.vectors.items():
            least = min(cosine(a, b) for a, b in zip(vectors, servers[PEER].vectors[kind], strict=True))
            if least < COSINE:
                raise SandboxError(f"{name} and {PEER} disagree about a {kind}: the cosine of their vectors is {least}")
            found = min(found, least)
    return found


def report(servers: Mapping[str, Contestant]) -> dict[str, Any]:
    """What was measured, in the fields of build/bench/embeddings.json."""
    milliseconds = {
        name: {what: record.spread([1000 * one for one in taken], 2) for what, taken in server.seconds.items()}
        for name, server in servers.items()
    }
    ratios = {
        name: {
            what: record.spread([a / b for a, b in zip(taken, servers[PEER].seconds[what], strict=True)], 2)
            for what, taken in server.seconds.items()
        }
        for name, server in servers.items()
        if name != PEER
    }
    return {
        "name": "embeddings",
        "unit": "ms for the vector of a sentence, one after the other; peer: Ollama with the same file",
        "ours": milliseconds[OURS][FIRST.name]["median"],
        "peer": milliseconds[PEER][FIRST.name]["median"],
        "least_cosine_between_them": round(least_cosine(servers), 6),
        "milliseconds_an_input": milliseconds,
        "ratio_to_ollama": ratios,
    }


def table(said: Mapping[str, Any]) -> Iterator[str]:
    """The report for people: milliseconds, and the ratio to the peer."""
    columns = list(said["milliseconds_an_input"][PEER])
    yield f"{'ms an input (over Ollama)':28}" + "".join(f"{column:>33}" for column in columns)
    for name, row in said["milliseconds_an_input"].items():
        cells = []
        for what in columns:
            ratio = said["ratio_to_ollama"].get(name, {}).get(what)
            share = f" ({ratio['median']:.2f}, {ratio['q1']:.2f}–{ratio['q3']:.2f})" if ratio else ""
            cells.append(f"{row[what]['median']:.2f}{share}")
        yield f"{name:28}" + "".join(f"{cell:>33}" for cell in cells)
    yield f"least cosine between them: {said['least_cosine_between_them']}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.embeddings", description="Measure embeddings beside Ollama.")
    parser.add_argument("--rounds", type=int, default=10, help="times that everything is embedded by each")
    parser.add_argument("--vary", action="store_true", help="other options of llama-server, too")
    options = parser.parse_args()
    before = record.load()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pollex-bench-") as folder,
            contestants(Path(folder), vary=options.vary) as servers,
        ):
            measure(servers, options.rounds)
            said = report(servers)
    except SandboxError as error:
        sys.exit(f"error: {error}")
    said |= {
        "runs": options.rounds,
        "inputs": {
            kind: f"{len(texts)} of {median(len(t.split()) for t in texts):.0f} words"
            for kind, texts in inputs().items()
        },
        "model": f"{minilm.NAME}, F16",
        "cores": os.cpu_count(),
        "versions": [f"llama.cpp {source.CURRENT.tag}", f"Ollama {ollama.version()}"],
        "load_before": before,
    }
    print("\n".join(table(said)))
    record.write(said)


if __name__ == "__main__":
    main()
