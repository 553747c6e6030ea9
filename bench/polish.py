"""What a user waits for: the first word and the last of twelve realistic texts, warm, and after a restart.

    python -m bench.polish [--texts N] [--rounds N] [--restarts N] [--threads N]

Prints a table and writes build/bench/polish.json. All contestants answer with the sandbox's small model, greedily, so
that they write the same words, each with a server of its own on this machine; on every text they take turns:

- service: the polish service in front of llama-server, streamed;
- direct: the same request to llama-server itself, streamed: what no service can beat;
- original: the arrangement of the original recipe, one call to llama-server that is not streamed;
- ollama: Ollama's own server, streamed.

All of them keep the prompt's beginning in their cache from text to text. After a restart it is gone: that run asks for
the first word with the prompt that the Nano's model gets, which is longer; the service has warmed up by then, as it
does by itself, and is asked the same once more when it has answered nine requests.

The headline is over all texts. Pairs of wall times are compared only where both wrote the same words, which is said
beside each ratio, with the seconds of those texts alone; where the small model loses a paragraph, for example, the
service asks again, paragraph by paragraph, and takes longer for more words.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from bench import ollama, record
from bench.programs import Programs, programs
from bench.servers import llama_server, service
from infra import ROOT
from pollex import prompts
from sandbox import fetch
from sandbox.machine import SandboxError, say

MODEL = "smollm2:135m"
LIMIT = 700
"""Tokens that no right answer needs."""
GREEDY = {"temperature": 0.0, "repeat_penalty": 1.1, "max_tokens": LIMIT}
"""Always the likeliest word, and no circles: so small a model runs into them with the longer texts."""
LONG, SHORT = "polish", "polish-small"
"""The prompts: what a model of the Nano's size gets, and what the sandbox's model understands."""
CONTEXT = 2048
OURS = "service"
REQUESTS = 10
"""After a restart: whether the first is as quick as the last of these."""
GOALS = {
    "first word, service / direct": 1.1,
    "last word, service / ollama": 0.95,
    "after a restart, first / tenth": 1.0,
}
"""At most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds to the first word and to the last, and the words."""

    first: float
    last: float
    text: str


Way = Callable[[str], Generator[str, None, str]]
"""Sends a text, yields the answer piece by piece, and returns it as it is in the end."""

Runs = dict[str, dict[str, list[Answer]]]
"""Answers by way and text, in the order of the rounds."""


def answer(way: Way, text: str) -> Answer:
    """Ask, and take the time of the whole answer."""
    begun = time.perf_counter()
    stream, first = way(text), 0.0
    while True:
        try:
            next(stream)
        except StopIteration as end:
            return Answer(first, time.perf_counter() - begun, end.value.strip())
        first = first or time.perf_counter() - begun


def first_word(way: Way, text: str) -> float:
    """Ask, take the time of the first piece, and close the connection."""
    begun = time.perf_counter()
    stream = way(text)
    next(stream)
    taken = time.perf_counter() - begun
    stream.close()
    return taken


def texts() -> dict[str, str]:
    """What is polished, by title."""
    return {title: text.strip() for title, text in tomllib.loads((ROOT / "bench/texts.toml").read_text()).items()}


class Lab:
    """What the servers of a run have in common."""

    def __init__(self, tools: Programs, folder: Path, threads: int) -> None:
        self.tools = tools
        self.folder = folder
        self.threads = threads
        self.model = fetch.fetch(fetch.MODEL)
        self.client = httpx.Client(
            # an answer that is not read to its end takes its connection with it
            timeout=600,
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )

    @contextmanager
    def server(self) -> Iterator[str]:
        """The URL of a llama-server that has just loaded the model, as the sandbox's unit starts it."""
        options = ["-c", str(CONTEXT), "-np", "1", "-t", str(self.threads), "--no-context-shift", "--slots"]
        with llama_server(self.tools / "llama-server", self.model, *options) as url:
            yield url

    @contextmanager
    def service(self, prompt: str) -> Iterator[Way]:
        """The polish service in front of a new server, which it has warmed up."""
        with ExitStack() as stack:
            server = stack.enter_context(self.server())
            settings: dict[str, object] = {
                "llamacpp_url": server, "llamacpp_model": MODEL, "prompt_path": prompt,
                "decoding": json.dumps({MODEL: GREEDY}), "log_level": "error",
            }  # fmt: skip
            url, _, _ = stack.enter_context(service("/readyz", **settings))
            yield self._through_service(url)

    @contextmanager
    def direct(self, prompt: str) -> Iterator[Way]:
        """A new server's own stream, over the same prompt."""
        with self.server() as url:
            yield self._streamed(url, prompt)

    @contextmanager
    def original(self, prompt: str) -> Iterator[Way]:
        """A new server's answer as a whole."""
        with self.server() as url:
            yield self._whole(url, prompt)

    @contextmanager
    def ollama(self, prompt: str) -> Iterator[Way]:
        """Ollama's stream of the same model with the same threads; it loads with the first request."""
        with ollama.serving(self.folder / "ollama") as server:
            # its OpenAI interface leaves the penalty to the model's own settings
            same = {"num_ctx": CONTEXT, "num_thread": self.threads, "repeat_penalty": GREEDY["repeat_penalty"]}
            server.add(MODEL, self.model, same)
            yield self._streamed(server.url, prompt)

    def _through_service(self, url: str) -> Way:
        def ask(text: str) -> Generator[str, None, str]:
            polished = ""
            for data in self._events(f"{url}/api/polish", {"text": text, "model_id": MODEL, "stream": True}):
                if "error" in data:
                    raise SandboxError(f"the service refused: {data['error']}")
                if "polished" in data:  # what lost its shape was done again, paragraph by paragraph
                    polished = data["polished"]
                elif "text" in data:
                    yield data["text"]
            return polished

        return ask

    def _streamed(self, url: str, prompt: str) -> Way:
        def ask(text: str) -> Generator[str, None, str]:
            whole = ""
            body = {"model": MODEL, "messages": _messages(prompt, text), "stream": True, **GREEDY}
            for data in self._events(f"{url}/v1/chat/completions", body):
                if data["choices"] and (said := data["choices"][0]["delta"].get("content")):
                    whole += said
                    yield said
            return whole

        return ask

    def _whole(self, url: str, prompt: str) -> Way:
        def ask(text: str) -> Generator[str, None, str]:
            body = {"model": MODEL, "messages": _messages(prompt, text), "stream": False, **GREEDY}
            answered = self.client.post(f"{url}/v1/chat/completions", json=body).raise_for_status()
            whole = str(answered.json()["choices"][0]["message"]["content"])
            yield whole
            return whole

        return ask

    def _events(self, url: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The JSON of an answer's server-sent events."""
        with self.client.stream("POST", url, json=body) as answered:
            if answered.is_error:
                raise SandboxError(f"{url}: {answered.status_code}: {answered.read().decode(errors='replace')}")
            for line in answered.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])


def _messages(prompt: str, text: str) -> list[dict[str, str]]:
    """As the service sends them."""
    loaded = prompts.load(prompt)
    return [{"role": "system", "content": loaded.system}, {"role": "user", "content": loaded.user(text)}]


def warm(lab: Lab, texts: Mapping[str, str], rounds: int) -> Runs:
    """Every way for every text, in turns: who begins changes with every text."""
    with ExitStack() as stack:
        starts = {OURS: lab.service, "direct": lab.direct, "original": lab.original, "ollama": lab.ollama}
        ways = {name: stack.enter_context(start(SHORT)) for name, start in starts.items()}
        for way in ways.values():
            answer(way, "She go home.")
        taken: Runs = {name: {text: [] for text in texts} for name in ways}
        order = list(ways)
        for turn in range(rounds):
            for title, text in texts.items():
                order.append(order.pop(0))
                for name in order:
                    taken[name][title].append(answer(ways[name], text))
                last = {name: taken[name][title][-1].last for name in ways}
                say(f"round {turn + 1}, {title}: " + ", ".join(f"{name} {last[name]:.2f} s" for name in ways))
        return taken


def restarted(lab: Lab, texts: Mapping[str, str], times: int) -> dict[str, list[float]]:
    """Seconds to the first word after a restart: the service's first and tenth request, and others' first."""
    tenth = f"service, {REQUESTS}th"
    taken: dict[str, list[float]] = {"service, first": [], tenth: [], "direct, not warmed up": [], "ollama": []}
    first, *between = list(texts.values())[: REQUESTS - 1]
    for turn in range(times):
        with lab.direct(LONG) as way:
            taken["direct, not warmed up"].append(first_word(way, first))
        with lab.ollama(LONG) as way:
            taken["ollama"].append(first_word(way, first))
        with lab.service(LONG) as way:
            taken["service, first"].append(first_word(way, first))
            for text in between:
                first_word(way, text)
            taken[tenth].append(first_word(way, first))  # the others have taken its place in the cache
        say(f"restart {turn + 1}: " + ", ".join(f"{name} {values[-1]:.2f} s" for name, values in taken.items()))
    return taken


def pairs(runs: Runs, peer: str) -> Iterator[tuple[Answer, Answer]]:
    """Our answer and the peer's to the same text in the same round."""
    for text in runs[OURS]:
        yield from zip(runs[OURS][text], runs[peer][text], strict=True)


def same(runs: Runs, peer: str) -> list[tuple[Answer, Answer]]:
    """The pairs in which both wrote the same words: only there are wall times of the same work."""
    return [(ours, its) for ours, its in pairs(runs, peer) if ours.text == its.text]


def ratios(runs: Runs, starts: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """What is compared with what: ours over the peer's, pair by pair."""
    found = {
        "first word, service / direct": [a.first / b.first for a, b in pairs(runs, "direct")],
        "first word, service / original": [a.first / b.first for a, b in pairs(runs, "original")],
        "first word, service / ollama": [a.first / b.first for a, b in pairs(runs, "ollama")],
        **{
            f"last word, service / {peer}": [a.last / b.last for a, b in same(runs, peer)]
            for peer in ("direct", "original", "ollama")
        },
        "after a restart, first / tenth": [
            a / b for a, b in zip(starts["service, first"], starts[f"service, {REQUESTS}th"], strict=True)
        ],
        "after a restart, service / not warmed up": [
            a / b for a, b in zip(starts["service, first"], starts["direct, not warmed up"], strict=True)
        ],
    }
    return {name: values for name, values in found.items() if values}


def report(runs: Runs, starts: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """What the runs say, in the fields of build/bench/polish.json."""
    every = {name: [one for taken in by_text.values() for one in taken] for name, by_text in runs.items()}
    last = {name: record.spread([one.last for one in answers]) for name, answers in every.items()}
    peers = [name for name in runs if name != OURS]
    return {
        "name": "polish",
        "unit": "s to the last word of a text, median; peer: Ollama with the same model file",
        "ours": last[OURS]["median"],
        "peer": last["ollama"]["median"],
        "runs": len(every[OURS]),
        "same words as the service": {peer: f"{len(same(runs, peer))} of {len(every[OURS])}" for peer in peers},
        "seconds_warm": {
            name: {"first word": record.spread([one.first for one in answers]), "last word": last[name]}
            for name, answers in every.items()
        },
        "seconds_after_a_restart": {name: {"first word": record.spread(values)} for name, values in starts.items()},
        "seconds_to_the_last_word_where_both_wrote_the_same": {
            f"{OURS} / {peer}": {
                OURS: record.spread([ours.last for ours, _ in some]),
                "the other": record.spread([its.last for _, its in some]),
            }
            for peer in peers
            if (some := same(runs, peer))
        },
        "ratios_of_pairs": {
            name: {"ratio": record.spread(values), "pairs": len(values), "goal": GOALS.get(name, "")}
            for name, values in ratios(runs, starts).items()
        },
    }


def table(said: Mapping[str, Any]) -> Iterator[str]:
    """The report for people."""
    for head in ("seconds_warm", "seconds_after_a_restart"):
        yield f"{head.replace('_', ' ')}:"
        for name, row in said[head].items():
            cells = (f"{what} {v['median']:6.3f} ({v['q1']:.3f}–{v['q3']:.3f})" for what, v in row.items())
            yield f"  {name:40}{'   '.join(cells)}"
    yield "ratios of pairs, median and quartiles:"
    for name, row in said["ratios_of_pairs"].items():
        value, goal = row["ratio"], row["goal"]
        wanted = f"   goal: at most {goal}" if goal != "" else ""
        yield f"  {name:40}{value['median']:6.3f} ({value['q1']:.3f}–{value['q3']:.3f}){wanted}"
    yield f"same words as the service: {', '.join(f'{n} {c}' for n, c in said['same words as the service'].items())}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.polish", description="Measure what a user waits for.")
    parser.add_argument("--texts", type=int, default=12, help="how many of the twelve texts")
    parser.add_argument("--rounds", type=int, default=3, help="times that each text is polished each way")
    parser.add_argument("--restarts", type=int, default=6, help="times that the servers are started anew")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each model server")
    options = parser.parse_args()
    before = record.load()
    every = texts()
    some = dict(islice(every.items(), options.texts))
    try:
        tools = programs("llama-server")
        ollama.program()
        with tempfile.TemporaryDirectory(prefix="pollex-bench-") as folder:
            lab = Lab(tools, Path(folder), options.threads)
            said = report(warm(lab, some, options.rounds), restarted(lab, every, options.restarts))
    except (SandboxError, httpx.HTTPError) as error:
        sys.exit(f"error: {error}")
    said |= {
        "restarts": options.restarts,
        "texts": f"{len(some)} of {len(every)}",
        "model": fetch.MODEL,
        "threads": options.threads,
        "versions": [f"llama.cpp {tools.tag}", f"Ollama {ollama.version()}"],
        "load_before": before,
    }
    print("\n".join(table(said)))
    record.write(said)


if __name__ == "__main__":
    main()
