"""What a model that is made for the board loses: perplexity, and how often it polishes a text as its source does.

    python -m bench.quality [--chunks N] [--recipe TYPE,OUTPUT,EMBEDDING …]

Prints a table and writes build/bench/quality.json. What each recipe makes is compared with its source, which is taken
as exact. The only instruct model that a package registry carries is quantised already (Q4_1) and tiny (135 M weights,
which suffer more than those of a larger model), so its figures rank the recipes and are no forecast for another one:
measure that with --model, from its Q8_0 or F16 file.
"""

from __future__ import annotations

import argparse
import gzip
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path

import httpx

from bench import record
from bench.programs import Programs, programs
from infra import ROOT
from infra.core.derivation import sha256
from sandbox import fetch
from sandbox.machine import SandboxError, run, say
from sandbox.serving import PASSIVE

PACKAGE = "dict-devil=1.0-13.1"
MEMBER = "usr/share/dictd/devil.dict.dz"
TEXT_SHA256 = "703d1225d2fb927653bfd8b00e4e96938e0b630c6023edd26702ac6ed50383f8"
"""The Devil's Dictionary by Ambrose Bierce (public domain) as Debian 12 carries it: 384 kB of English prose."""

RECIPES = ("Q4_0,Q8_0,Q8_0", "Q5_0,Q8_0,Q8_0", "Q8_0,Q8_0,Q8_0")
"""Types of the layers, the output matrix and the embedding; the first is what is meant for the board."""

PROMPT = ROOT / "service/pollex/prompts/polish-small.txt"
SEED = 5050

THREADS = max(1, (os.cpu_count() or 1) - 1)
"""Of each program: beside other work, threads that wait for each other are many times slower."""

SENTENCES = (
    "She goes to the library every Saturday because it is quiet there.",
    "We have received your letter and will answer it next week.",
    "The weather was so bad that nobody wanted to leave the house.",
    "He does not know where his brother bought the new bicycle.",
    "Our company offers three weeks of holiday in the first year.",
    "I am writing to ask whether the room is still available.",
    "They were surprised that the children had cleaned the kitchen.",
    "The report describes how much water the old factory used.",
    "You should have told me that the meeting was cancelled.",
    "My grandmother makes the best soup in the whole village.",
    "The train leaves at eight and arrives shortly before noon.",
    "If it rains tomorrow, we will visit the museum instead.",
    "Please send the signed contract back before the end of May.",
    "The students who finished early were allowed to go home.",
    "There are fewer cars in the street since the bridge was closed.",
    "He has lived in this town since he was seven years old.",
    "The doctor said that she needs to rest for a few days.",
    "Neither of the two proposals was accepted by the council.",
    "It took them almost an hour to find the right address.",
    "The book that you lent me was better than the film.",
    "We are looking forward to seeing you at the conference.",
    "A good friend of mine works as a nurse in the hospital.",
    "The software was installed yesterday, but nobody has tested it.",
    "Everybody was tired after the long journey through the mountains.",
    "Could you explain to me how this machine is switched off?",
)


def spoiled() -> list[str]:
    """Fifty texts with mistakes that people make: every sentence twice, each time with other mistakes."""
    rng = random.Random(SEED)  # noqa: S311 - the same texts on every machine
    return [_spoil(sentence, rng) for _ in range(2) for sentence in SENTENCES]


_CONFUSED = {"the": "teh", "a": "an", "is": "are", "was": "were", "has": "have", "does": "do", "for": "four"}


def _spoil(sentence: str, rng: random.Random) -> str:
    """The sentence with mistakes in two of its words."""
    words = sentence.split(" ")
    left = 2
    while left:
        at = rng.randrange(len(words) - 1)
        wrong = _mistake(words[at], rng)
        left -= wrong != words[at]
        words[at] = wrong
    spoiled = " ".join(words)
    return spoiled if spoiled != sentence else _spoil(sentence, rng)


def _mistake(word: str, rng: random.Random) -> str:
    """The word confused with another, without its ending, or with two letters swapped; as it is where none fits."""
    kind = rng.randrange(3)
    if kind == 0:
        return _CONFUSED.get(word, word)
    if kind == 1:
        return re.sub(r"(?<=..)(s|ed)$", "", word)
    if not word.isalpha() or len(word) < 5:  # noqa: PLR2004 - first and last letter stay
        return word
    i = rng.randrange(1, len(word) - 2)
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def prose(folder: Path) -> Path:
    """The text that perplexity is measured on, as a file.

    Raises:
        SandboxError: Debian's archive carries other bytes.
    """
    run(["sh", "-c", f"cd {folder} && apt-get download --quiet {PACKAGE} && dpkg-deb -x ./*.deb ."])
    text = gzip.decompress((folder / MEMBER).read_bytes())
    if sha256(text) != TEXT_SHA256:
        raise SandboxError(f"{PACKAGE} holds another text: SHA-256 {sha256(text)}")
    file = folder / "text"
    file.write_bytes(text)
    return file


def perplexity(tools: Programs, model: Path, text: Path, chunks: int) -> tuple[float, float]:
    """Perplexity over so many chunks of 512 tokens, and its standard error."""
    command = [str(tools / "llama-perplexity"), "-m", str(model), "-f", str(text), "-c", "512", "--chunks", str(chunks)]
    command += ["-t", str(THREADS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", done.stdout + done.stderr)
    if found is None:
        raise SandboxError(f"llama-perplexity gave no estimate for {model.name}:\n{done.stderr[-2000:]}")
    return float(found[1]), float(found[2])


def quantised(tools: Programs, source: Path, recipe: str, folder: Path) -> Path:
    """The model that `pollex:model.quantise` with these types would make."""
    whole, output, embedding = recipe.split(",")
    made = folder / f"{recipe}.gguf"
    types = ["--output-tensor-type", output.lower(), "--token-embedding-type", embedding.lower()]
    run([tools / "llama-quantize", *types, "--allow-requantize", source, made, whole])
    return made


@contextmanager
def served(tools: Programs, model: Path, folder: Path) -> Iterator[httpx.Client]:
    """llama-server with the model, at a socket of its own."""
    socket = folder / "server.sock"
    socket.unlink(missing_ok=True)
    command = [str(tools / "llama-server"), "-m", str(model), "--host", str(socket), "-c", "1024", "-t", str(THREADS)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ | PASSIVE) as process:
        try:
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://x", timeout=300
            ) as client:
                _wait(process, client)
                yield client
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], client: httpx.Client) -> None:
    while process.poll() is None:
        try:
            if client.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SandboxError(f"llama-server ended with {process.returncode} while it loaded")


def polished(client: httpx.Client, text: str) -> str:
    """What the model makes of a text with the small prompt, greedily."""
    system, _, user = PROMPT.read_text().partition("\n---\n")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user.replace("{text}", text)}]
    asked = {"messages": messages, "temperature": 0, "max_tokens": 48, "cache_prompt": True}
    answer = client.post("/v1/chat/completions", json=asked).raise_for_status().json()
    return str(answer["choices"][0]["message"]["content"]).strip()


def agreement(theirs: list[str], ours: list[str]) -> tuple[float, float]:
    """The share of texts that came out the same, and the mean share of words in common."""
    same = [a == b for a, b in zip(theirs, ours, strict=True)]
    near = [SequenceMatcher(None, a.split(), b.split()).ratio() for a, b in zip(theirs, ours, strict=True)]
    return statistics.mean(same), statistics.mean(near)


def measure(source: Path, recipes: list[str], chunks: int) -> dict[str, object]:
    """All figures of a source and of what is made of it."""
    tools = programs("llama-quantize", "llama-perplexity", "llama-server")
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text, reference, base = prose(folder), list[str](), math.nan
        for name in [source.name, *recipes]:
            model = source if name == source.name else quantised(tools, source, name, folder)
            say(f"{name}: perplexity over {chunks} chunks, then {len(spoiled())} texts")
            ppl, error = perplexity(tools, model, text, chunks)
            with served(tools, model, folder) as client:
                answers = [polished(client, one) for one in spoiled()]
            if not reference:
                reference, base = answers, ppl
            same, near = agreement(reference, answers)
            figures = {"perplexity": ppl, "standard_error": error, "ratio": round(ppl / base, 4)}
            rows.append(
                {
                    "model": name,
                    "mb": round(model.stat().st_size / 1e6, 1),
                    **figures,
                    "same": same,
                    "words": round(near, 4),
                }
            )
    return {
        "name": "quality",
        "unit": "perplexity of what is made for the board over that of its source, same text",
        "ours": rows[1]["perplexity"],
        "peer": rows[0]["perplexity"],
        "tag": tools.tag,
        "text": f"{PACKAGE}, {chunks} chunks of 512 tokens",
        "source_is_quantised": source.name == fetch.MODEL,
        "models": rows,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description="What a model for the board loses.")
    parser.add_argument("--chunks", type=int, default=20, help="of 512 tokens, of which perplexity is the mean")
    parser.add_argument("--model", type=Path, help="the GGUF file to start from; the sandbox's unless given")
    parser.add_argument("--recipe", nargs="+", default=list(RECIPES), metavar="TYPE,OUTPUT,EMBEDDING")
    given = parser.parse_args()
    try:
        report = measure(given.model or fetch.fetch(fetch.MODEL), given.recipe, given.chunks)
    except SandboxError as error:
        sys.exit(f"error: {error}")
    print(f"{'':34}{'MB':>8}{'perplexity':>20}{'ratio':>8}{'same text':>11}{'same words':>12}")
    for row in report["models"]:  # type: ignore[attr-defined]
        ppl = f"{row['perplexity']:.2f} ± {row['standard_error']:.2f}"
        print(
            f"{row['model']:34}{row['mb']:>8.1f}{ppl:>20}{row['ratio']:>8.3f}{row['same']:>11.0%}{row['words']:>12.1%}"
        )
    record.write(report)


if __name__ == "__main__":
    main()
