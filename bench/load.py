"""Load: 1 to 64 clients that ask for vectors without a pause, of the image's server and of Ollama with the same file.

    python -m bench.load [--seconds N] [--clients 1,4,16,64]

Prints a table and writes build/bench/load.json: requests a second, the median and the 99th percentile of what one
waits, errors, and how much memory the server has before and after. Vegeta asks, each client over a connection of its
own that stays open. Each number of clients asks twice, for so many seconds, of which the second time counts; the two
servers take turns, and an error or a vector of another length ends the measurement.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import embeddings, ollama, record
from infra.toolchain import golang
from sandbox import goprograms, minilm, source
from sandbox.machine import SandboxError, run, say

MODULE = golang.Module(folder=Path(__file__).parent / "peers" / "vegeta")
PACKAGE = "github.com/tsenart/vegeta/v12"
CLIENTS = (1, 4, 16, 64)
GROWTH = 1.2
"""What a server may grow by while the same number of clients asks for the same again: caches fill, leaks go on."""


def program() -> Path:
    """Vegeta; the first caller builds it.

    Raises:
        SandboxError: no Go, or the build failed; holds the end of its log.
    """
    return goprograms.kept("peers/vegeta", MODULE, {"vegeta": PACKAGE}, what="Vegeta") / "vegeta"


def targets(url: str, texts: Sequence[str]) -> str:
    """The requests, which Vegeta takes in turn: JSON, one a line."""
    return "".join(
        json.dumps(
            {
                "method": "POST",
                "url": f"{url}/v1/embeddings",
                "header": {"Content-Type": ["application/json"]},
                "body": base64.b64encode(json.dumps({"model": embeddings.NAME, "input": text}).encode()).decode(),
            }
        )
        + "\n"
        for text in texts
    )


@dataclass(frozen=True, slots=True)
class Server:
    """One that is asked, and the processes whose memory is its own."""

    url: str
    processes: tuple[psutil.Process, ...]

    def megabytes(self) -> float:
        """The memory of those processes and all that they started, shared pages by their share."""
        family = [one for each in self.processes for one in (each, *each.children(recursive=True))]
        return round(sum(one.memory_full_info().pss for one in family) / 1e6, 1)


def ask(server: Server, clients: int, seconds: int, folder: Path) -> dict[str, Any]:
    """Let so many clients ask for so long, and say what they met.

    Raises:
        SandboxError: an answer was an error.
    """
    asked, answers = folder / "targets", folder / "answers"
    asked.write_text(targets(server.url, embeddings.inputs()["sentence"]))
    how = ["-rate=0", f"-max-workers={clients}", f"-workers={clients}", f"-connections={clients}", "-timeout=120s"]
    run([program(), "attack", "-format=json", f"-targets={asked}", f"-output={answers}", f"-duration={seconds}s", *how])
    found = json.loads(run([program(), "report", "-type=json", answers]).stdout)
    if found["success"] != 1:
        raise SandboxError(f"{clients} clients of {server.url} met errors: {found['status_codes']} {found['errors']}")
    return {
        "requests": found["requests"],
        "a_second": round(found["throughput"], 1),
        "p50_ms": round(found["latencies"]["50th"] / 1e6, 1),
        "p99_ms": round(found["latencies"]["99th"] / 1e6, 1),
        "errors": 0,
        "megabytes_after": server.megabytes(),
    }


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, Server]]:
    """Both servers, by the names that bench.embeddings has for them."""
    with ExitStack() as stack:
        found = stack.enter_context(embeddings.contestants(folder, vary=False))
        yield {name: Server(each.url, listening(each.url)) for name, each in found.items()}


def listening(url: str) -> tuple[psutil.Process, ...]:
    """The processes of a server: whoever listens at its port, and, where that is a program in front, its parent.

    Raises:
        SandboxError: nobody listens there.
    """
    port = int(url.rpartition(":")[2])
    for socket in psutil.net_connections("tcp"):
        if socket.status == psutil.CONN_LISTEN and socket.laddr and socket.laddr.port == port and socket.pid:
            process = psutil.Process(socket.pid)
            parent = process.parent()
            return (parent,) if parent and process.cmdline()[1:2] == ["front"] else (process,)
    raise SandboxError(f"nobody listens at {url}")


def measure(found: Mapping[str, Server], clients: Sequence[int], seconds: int, folder: Path) -> dict[str, Any]:
    """What each met with each number of clients, the same number twice, so that a leak shows.

    Raises:
        SandboxError: an answer was an error, or a server grew.
    """
    said: dict[str, Any] = {name: {} for name in found}
    for number in clients:
        for name, server in found.items():
            say(f"{name}: {number} clients for 2 × {seconds} s")
            before = ask(server, number, seconds, folder)["megabytes_after"]
            row = said[name][str(number)] = {"megabytes_before": before, **ask(server, number, seconds, folder)}
            if row["megabytes_after"] > GROWTH * before:
                raise SandboxError(f"{name} grew from {before} to {row['megabytes_after']} MB with {number} clients")
    return said


def table(said: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """The report for people."""
    yield f"{'':12}{'clients':>8}{'requests':>10}{'errors':>8}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}{'MB':>16}"
    for name, rows in said.items():
        for clients, row in rows.items():
            memory = f"{row['megabytes_before']} → {row['megabytes_after']}"
            numbers = (
                f"{row['requests']:>10}{row['errors']:>8}{row['a_second']:>10}{row['p50_ms']:>9}{row['p99_ms']:>9}"
            )
            yield f"{name:12}{clients:>8}{numbers}{memory:>16}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="Measure embeddings under load.")
    parser.add_argument("--seconds", type=int, default=60, help="that each number of clients asks, twice")
    parser.add_argument("--clients", default=",".join(map(str, CLIENTS)), help="how many, with commas between")
    options = parser.parse_args()
    before = record.load()
    try:
        with tempfile.TemporaryDirectory(prefix="pollex-bench-") as temporary:
            folder = Path(temporary)
            with servers(folder) as found:
                said = measure(found, [int(one) for one in options.clients.split(",")], options.seconds, folder)
    except SandboxError as error:
        sys.exit(f"error: {error}")
    print("\n".join(table(said)))
    most = options.clients.rpartition(",")[2]
    record.write(
        {
            "name": "load",
            "unit": f"requests a second of {most} clients; peer: Ollama with the same file",
            "ours": said[embeddings.OURS][most]["a_second"],
            "peer": said[embeddings.PEER][most]["a_second"],
            "runs": 1,
            "clients": {f"{name}, {number}": row for name, rows in said.items() for number, row in rows.items()},
            "seconds": options.seconds,
            "model": f"{minilm.NAME}, F16",
            "cores": os.cpu_count(),
            "versions": [f"llama.cpp {source.CURRENT.tag}", f"Ollama {ollama.version()}"],
            "load_before": before,
        }
    )


if __name__ == "__main__":
    main()
