"""What a user waits for: the first word and the last of twelve realistic texts, warm, and after a restart.

    python -m bench.polish [--texts N] [--rounds N] [--restarts N]

Prints a table and writes build/bench/polish.json. The server is the sandbox's own build of llama-server with its small
model, on this machine; `make sandbox` makes both. Ways of asking take turns on every text, greedily, so that they
write the same words:

- service: through the polish service, streamed, the prompt's prefix warm in the server's cache;
- direct: the same request to llama-server itself, streamed and warm: what no service can beat;
- original: the arrangement of the original recipe, one call that is not streamed and finds nothing in the cache.

After a restart the prefix is cold: that run asks for the first word only, with the long prompt that a larger model
gets, through the service, which warms up by itself, and directly, without a warm-up.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from bench import record
from bench.service import free_port, running
from infra import ROOT, plan, review, spec
from pollex import prompts
from sandbox import fetch, mirror

MODEL = "llama.cpp"
"""The service's id of llama-server's model."""
GREEDY = {"temperature": 0.0, "max_tokens": 700}
LONG, SHORT = "polish", "polish-small"
"""The prompts: what a model of the Nano's size gets, and what the sandbox's model understands."""
REQUESTS = 10
"""After a restart: whether the first is as quick as the last of these."""
ALIKE = ("manual", "travel")
"""Two texts of the same length, which take turns at being the first request and the last."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds to the first word and to the last, and the words."""

    first: float
    last: float
    text: str


Way = Callable[[str], Iterator[str]]
"""Sends a text and yields the answer piece by piece."""


def answer(way: Way, text: str, *, pieces: int | None = None) -> Answer:
    """Ask and take the time; no more than so many pieces, after which the connection is closed."""
    begun = time.perf_counter()
    said: list[str] = []
    first = 0.0
    for piece in islice(way(text), pieces):
        first = first or time.perf_counter() - begun
        said.append(piece)
    return Answer(first, time.perf_counter() - begun, "".join(said).strip())


def binary(folder: Path) -> Path:
    """The sandbox's llama-server, out of the archive that `make sandbox` keeps.

    Raises:
        SystemExit: there is none.
    """
    stack = spec.parse(review.values(ROOT / "stacks" / "Pulumi.sandbox.yaml"), file="stacks/Pulumi.sandbox.yaml")
    if not isinstance(stack, spec.HostStack):
        raise SystemExit("error: the sandbox's stack is of another kind")
    item = plan.load(stack).build.item
    archive = mirror.directory() / "store" / f"{item}.tar.gz"
    if not archive.exists():
        raise SystemExit(f"error: {archive} is missing; make it with: make sandbox")
    with tarfile.open(archive) as packed:
        packed.extract(f"{item}/bin/llama-server", folder, filter="data")
    return folder / item / "bin" / "llama-server"


@contextmanager
def llama_server(program: Path, threads: int) -> Iterator[str]:
    """A server that has just loaded the sandbox's model, as its unit starts it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [
        str(program),
        "-m",
        str(fetch.fetch(fetch.MODEL)),
        "--port",
        str(port),
        "-c",
        "2048",
        "-np",
        "1",
        "--slots",
    ]
    others = ["-t", str(threads), "--no-context-shift", "--log-disable"]
    with running([*words, *others], f"{url}/health"):
        yield url


@contextmanager
def service(server: str, prompt: str) -> Iterator[str]:
    """The polish service in front of a server, once it has warmed it up."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings: dict[str, object] = {
        "host": "127.0.0.1", "port": port, "rate_limit": 0, "llamacpp_url": server, "prompt_path": prompt,
        "decoding": json.dumps({MODEL: GREEDY}), "log_level": "error", "probe_seconds": 0.5,
    }  # fmt: skip
    with running([sys.executable, "-m", "pollex.serve"], f"{url}/readyz", **settings):
        yield url


def client_of_its_own() -> httpx.Client:
    """A new connection for each request: an answer that is not read to its end takes the connection with it."""
    return httpx.Client(timeout=600, limits=httpx.Limits(max_keepalive_connections=0), trust_env=False)


def through_service(client: httpx.Client, url: str) -> Way:
    """The service's stream."""

    def ask(text: str) -> Iterator[str]:
        body = {"text": text, "model_id": MODEL, "stream": True}
        for data in _events(client, f"{url}/api/polish", body):
            if "polished" not in data and "text" in data:
                yield data["text"]
            elif "error" in data:
                raise SystemExit(f"error: the service refused: {data['error']}")

    return ask


def directly(client: httpx.Client, url: str, prompt: str) -> Way:
    """llama-server's own stream, over the same prompt."""

    def ask(text: str) -> Iterator[str]:
        body = {"messages": _messages(prompt, text), "stream": True, "cache_prompt": True, **GREEDY}
        for data in _events(client, f"{url}/v1/chat/completions", body):
            if said := data["choices"][0]["delta"].get("content"):
                yield said

    return ask


def originally(client: httpx.Client, url: str, prompt: str) -> Way:
    """One answer as a whole, with nothing cached."""

    def ask(text: str) -> Iterator[str]:
        body = {"messages": _messages(prompt, text), "cache_prompt": False, **GREEDY}
        answered = client.post(f"{url}/v1/chat/completions", json=body).raise_for_status()
        yield answered.json()["choices"][0]["message"]["content"]

    return ask


def _messages(prompt: str, text: str) -> list[dict[str, str]]:
    """As the service sends them."""
    loaded = prompts.load(prompt)
    return [{"role": "system", "content": loaded.system}, {"role": "user", "content": loaded.user(text)}]


def _events(client: httpx.Client, url: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with client.stream("POST", url, json=body) as answered:
        if answered.is_error:
            raise SystemExit(f"error: {url}: {answered.status_code}: {answered.read().decode(errors='replace')}")
        for line in answered.iter_lines():
            if line.startswith("data: {"):
                yield json.loads(line[6:])


Runs = dict[str, dict[str, list[Answer]]]
"""Answers by way and text."""


def warm(program: Path, threads: int, texts: dict[str, str], rounds: int) -> Runs:
    """Every way for every text, in turns; the first text, asked once more than the others, warms all of them up."""
    with (
        llama_server(program, threads) as shared,
        llama_server(program, threads) as uncached,
        service(shared, SHORT) as served,
        client_of_its_own() as client,
    ):
        ways = {
            "service": through_service(client, served),
            "direct": directly(client, shared, SHORT),
            "original": originally(client, uncached, SHORT),
        }
        for way in ways.values():
            answer(way, next(iter(texts.values())), pieces=1)
        taken: Runs = {name: {text: [] for text in texts} for name in ways}
        for turn in range(rounds):
            for number, (title, text) in enumerate(texts.items()):
                order = list(ways)
                shift = (turn + number) % len(order)
                for name in order[shift:] + order[:shift]:
                    # the whole text would be found in the cache of the server that the way before it asked
                    answer(directly(client, shared, SHORT), "x", pieces=1)
                    taken[name][title].append(answer(ways[name], text))
        return taken


def restarted(program: Path, threads: int, texts: dict[str, str], times: int) -> dict[str, list[float]]:
    """Seconds to the first word after a restart: first and tenth request of the service, and a direct first one."""
    taken: dict[str, list[float]] = {
        "service, first": [],
        f"service, {REQUESTS}th": [],
        "direct, first, not warmed": [],
    }
    between = [text for title, text in texts.items() if title not in ALIKE][: REQUESTS - 2]
    for turn in range(times):
        first, last = (texts[title] for title in (ALIKE if turn % 2 else ALIKE[::-1]))
        with llama_server(program, threads) as server, client_of_its_own() as client:
            cold = answer(directly(client, server, LONG), first, pieces=1)
            taken["direct, first, not warmed"].append(cold.first)
        with llama_server(program, threads) as server, service(server, LONG) as served, client_of_its_own() as client:
            way = through_service(client, served)
            taken["service, first"].append(answer(way, first, pieces=1).first)
            for text in between:
                answer(way, text, pieces=1)
            taken[f"service, {REQUESTS}th"].append(answer(way, last, pieces=1).first)
    return taken


def ratios(runs: Runs, ours: str, peer: str, what: Callable[[Answer], float]) -> list[float]:
    """Ours over the peer's, for each pair of answers to the same text in the same round."""
    pairs = [(a, b) for text in runs[ours] for a, b in zip(runs[ours][text], runs[peer][text], strict=True)]
    return [what(a) / what(b) for a, b in pairs]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.polish", description="Measure what a user waits for.")
    parser.add_argument("--texts", type=int, default=12, help="how many of the twelve texts")
    parser.add_argument("--rounds", type=int, default=3, help="times that each text is polished each way")
    parser.add_argument("--restarts", type=int, default=4, help="times that the servers are started anew")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of llama-server; 1 on a busy machine")
    options = parser.parse_args()
    before = record.load()
    everything = {t: text.strip() for t, text in tomllib.loads((ROOT / "bench" / "texts.toml").read_text()).items()}
    texts = dict(islice(everything.items(), options.texts))
    with tempfile.TemporaryDirectory(prefix="pollex-bench-") as folder:
        program = binary(Path(folder))
        digest = hashlib.sha256(program.read_bytes()).hexdigest()
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stderr.split("\n")[
            0
        ]
        runs = warm(program, options.threads, texts, options.rounds)
        starts = restarted(program, options.threads, everything, options.restarts)
    first, last = (lambda one: one.first), (lambda one: one.last)
    table = {
        name: {
            "first word, s": record.spread([one.first for taken in by_text.values() for one in taken]),
            "last word, s": record.spread([one.last for taken in by_text.values() for one in taken]),
        }
        for name, by_text in runs.items()
    }
    service_first, direct_first = (table[name]["first word, s"]["median"] for name in ("service", "direct"))
    same = sum(runs["service"][text][0].text == runs["direct"][text][0].text for text in texts)
    pairs = {
        "first word, service / direct": record.spread(ratios(runs, "service", "direct", first)),
        "last word, service / direct": record.spread(ratios(runs, "service", "direct", last)),
        "first word, service / original": record.spread(ratios(runs, "service", "original", first)),
        "last word, service / original": record.spread(ratios(runs, "service", "original", last)),
        "after a restart, first / tenth": record.spread(
            [a / b for a, b in zip(starts["service, first"], starts[f"service, {REQUESTS}th"], strict=True)]
        ),
    }
    cold = {name: {"first word, s": record.spread(values)} for name, values in starts.items()}
    for name, row in (table | cold).items():
        print(f"{name:28}" + "".join(f"{what[:10]:>12}{value['median']:>9.3f}" for what, value in row.items()))
    for name, value in pairs.items():
        print(f"{name:34}{value['median']:>7.3f}  ({value['q1']:.3f}–{value['q3']:.3f})")
    record.write(
        {
            "name": "polish",
            "unit": "s to the first word, median; peer: the same request to llama-server itself, streamed and warm",
            "ours": service_first,
            "peer": direct_first,
            "ratio": pairs["first word, service / direct"]["median"],
            "runs": options.rounds * len(texts),
            "restarts": options.restarts,
            "threads": options.threads,
            "versions": [version, f"llama-server SHA-256 {digest[:16]}…", fetch.MODEL],
            "load_before": before,
            "texts": f"{len(texts)} of {len(everything)}",
            "same words as directly": f"{same} of {len(texts)}",
            "first_word_and_last": table,
            "after_a_restart": cold,
            "ratios_of_pairs": pairs,
        }
    )


if __name__ == "__main__":
    main()
