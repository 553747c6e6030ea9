"""What the service costs: latency beside a plain proxy, throughput, memory, start, and 200 clients at once.

    python -m bench.service [--runs N]

Prints a table and writes build/bench/service.json. Upstream of both is `bench/upstream.py`, which answers at once; the
peer is haproxy, which only passes on. The runs alternate, so that a slow phase of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil

from bench import record
from bench.servers import running, service
from sandbox.serving import free_port

TEXT = "I has went to the libary yesterday and buyed two book."
CLIENTS = 200
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    server upstream 127.0.0.1:{upstream}
"""


def latencies(runs: int) -> dict[str, list[float]]:
    """Milliseconds of a polish: straight to the upstream, through haproxy, through the service."""
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        raise SystemExit("error: the peer is missing: apt-get install haproxy")
    with ExitStack() as stack:
        ports = {name: free_port() for name in ("upstream", "port")}
        direct, proxied = (f"http://127.0.0.1:{ports[name]}" for name in ("upstream", "port"))
        script = str(Path(__file__).with_name("upstream.py"))
        stack.enter_context(running([sys.executable, script, str(ports["upstream"])], f"{direct}/health"))
        config = Path(stack.enter_context(tempfile.TemporaryDirectory()), "haproxy.cfg")
        config.write_text(HAPROXY.format(**ports))
        stack.enter_context(running([haproxy, "-db", "-f", str(config)], f"{proxied}/health"))
        ours, _, _ = stack.enter_context(service(llamacpp_url=direct))
        client = stack.enter_context(httpx.Client(timeout=30))
        chat = {"messages": [{"role": "user", "content": TEXT}], "stream": True}
        asked: dict[str, Callable[[], httpx.Response]] = {
            "direct": lambda: client.post(f"{direct}/v1/chat/completions", json=chat),
            "haproxy": lambda: client.post(f"{proxied}/v1/chat/completions", json=chat),
            "pollex": lambda: client.post(f"{ours}/api/polish", json={"text": TEXT, "model_id": "llama.cpp"}),
        }
        taken: dict[str, list[float]] = {name: [] for name in asked}
        for run in range(runs + 20):
            for name, ask in asked.items():
                started = time.perf_counter()
                ask().raise_for_status()
                if run >= 20:  # noqa: PLR2004 - the first ones warm everything up
                    taken[name].append(1000 * (time.perf_counter() - started))
        return taken


async def _flood(url: str, number: int, clients: int) -> tuple[list[str], float]:
    """What `number` different texts come back as, by so many clients at once, and the seconds it took."""
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:

        async def ask(index: int) -> str:
            body = {"text": f"teh text{index}", "model_id": "mock"}
            return str((await client.post(f"{url}/api/polish", json=body)).json().get("polished"))

        started = time.perf_counter()
        answers = await asyncio.gather(*(ask(index) for index in range(number)))
        return answers, time.perf_counter() - started


def throughput() -> tuple[float, int]:
    """Requests a second with the mock, and how many of 200 clients in the queue got exactly their own answer."""
    with service(mock="true", slots=16, queue_length=CLIENTS) as (url, _, _):
        asyncio.run(_flood(url, 100, 16))
        _, seconds = asyncio.run(_flood(url, 1000, 16))
        answers, _ = asyncio.run(_flood(url, CLIENTS, CLIENTS))
    return 1000 / seconds, sum(answer == f"the text{index}" for index, answer in enumerate(answers))


def start_and_memory(runs: int = 5) -> tuple[float, float]:
    """Median seconds to the first answer, and MB resident at rest after one request."""
    seconds, memory = [], []
    for _ in range(runs):
        with service(mock="true") as (url, process, taken):
            httpx.post(f"{url}/api/polish", json={"text": TEXT, "model_id": "mock"})
            memory.append(psutil.Process(process.pid).memory_info().rss / 1024**2)
            seconds.append(taken)
    return statistics.median(seconds), statistics.median(memory)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure what the service costs.")
    parser.add_argument("--runs", type=int, default=300, help="requests to each of the three")
    runs = parser.parse_args().runs
    taken = latencies(runs)
    median = {name: statistics.median(values) for name, values in taken.items()}
    p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in taken.items()}
    per_second, whole = throughput()
    start, memory = start_and_memory()
    report = {
        "name": "service",
        "unit": "ms, median of a polish with an upstream that answers at once",
        "ours": round(median["pollex"], 3),
        "peer": round(median["haproxy"], 3),
        "runs": runs,
        "versions": f"Python {platform.python_version()}",
        "median_ms": {name: round(value, 3) for name, value in median.items()},
        "p99_ms": {name: round(value, 3) for name, value in p99.items()},
        "requests_per_second": round(per_second),
        "queued_clients_answered": f"{whole} of {CLIENTS}",
        "cold_start_seconds": round(start, 3),
        "resident_mb": round(memory, 1),
    }
    print(f"{'':24}{'median':>10}{'p99':>10}   ms")
    for name in taken:
        print(f"{name:24}{median[name]:>10.2f}{p99[name]:>10.2f}")
    print(f"added to direct{'':9}{median['pollex'] - median['direct']:>10.2f}{p99['pollex'] - p99['direct']:>10.2f}")
    print(f"requests a second (mock){per_second:>10.0f}")
    print(f"answered in the queue   {whole:>10} of {CLIENTS}")
    print(f"cold start              {start:>10.2f} s")
    print(f"resident at rest        {memory:>10.1f} MB")
    record.write(report)


if __name__ == "__main__":
    main()
