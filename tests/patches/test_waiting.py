"""How the patched llama-servers' threads wait for each other: seen by the processor time that they spend on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from bench.servers import running
from sandbox import fetch
from sandbox.serving import NEVER, free_port

RUNS = 5
"""Starved ones, of which one has to be as it should: without the patch all of them take 36 to 200 times as long."""


def write(url: str, process: int) -> dict[int, float]:
    """Let it read some tokens and write one; the seconds that each thread computed for that, by its number."""
    before = spent(process)
    asked = {"prompt": "Once upon a time", "n_predict": 1, "ignore_eos": True, "cache_prompt": False}
    httpx.post(f"{url}/completion", json=asked, timeout=NEVER, trust_env=False).raise_for_status()
    return {thread: seconds - before.get(thread, 0) for thread, seconds in spent(process).items()}


def spent(process: int) -> dict[int, float]:
    """Seconds of processor time of each thread."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}


def test_a_thread_that_waits_for_a_starved_one_sleeps(either: Path) -> None:
    """If this fails, a server beside others burns the processor time that the thread it waits for would need."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command: list[str | Path] = [
        either,
        "-m",
        fetch.fetch(fetch.MODEL),
        "-c",
        "128",
        "-t",
        "2",
        "--no-warmup",
        "--port",
        str(port),
    ]
    with running(command, f"{url}/health", {"OMP_WAIT_POLICY": "active"}) as (server, _):
        write(url, server.pid)  # all threads are there afterwards
        alone = write(url, server.pid)
        first, second = sorted(alone, key=lambda thread: (thread != server.pid, -alone[thread]))[:2]
        core = min(os.sched_getaffinity(0))
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
            try:
                os.sched_setaffinity(busy.pid, {core})
                os.sched_setaffinity(second, {core})
                os.setpriority(os.PRIO_PROCESS, second, 19)
                # How a computation ends is waited for in libgomp's way, which goes round in circles here. To be starved
                # in just that moment happens now and then; hundreds of waits within it are what every run has.
                starved = [write(url, server.pid)[first]]
                while min(starved) >= 10 * alone[first] and len(starved) < RUNS:
                    starved.append(write(url, server.pid)[first])
            finally:
                busy.kill()
    assert min(starved) < 10 * alone[first], starved
