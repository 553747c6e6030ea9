"""compose.yaml for real: the three containers, from the images of this checkout, on a real engine.

Both servers are given one small instruct model out of an Ollama store, because a registry of packages carries it; what
an embedding model's vectors are worth is proved in tests/embeddings.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from infra.core import stackfile
from infra.kinds.dev import containers, files, mimir, native
from infra.kinds.dev.compose import file as compose_file
from infra.kinds.dev.spec import DevStack, Multiplexer
from sandbox import fetch
from sandbox.images import polish, tools
from sandbox.images.engine import Container, Docker
from sandbox.images.published import published
from sandbox.mirror import Mirror, directory
from sandbox.serving import free_port
from tests.dev.conftest import MIMIRS, OPTIONS, STACK, parsed

# the first run on a machine builds both images
pytestmark = pytest.mark.timeout(3600)

MODEL = "smollm2:135m"
DIMENSIONS = 576
VOLUME = "ollama_models"
PATIENCE = 240
"""Seconds; a busy machine loads a model slowly."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that has both images, and the models in a volume."""

    docker: Docker
    images: dict[str, str]
    folder: Path

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose …` on it."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "DOCKER_HOST": self.docker.host}
        command = [str(tools.ensure().compose), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done


def ollama_store(folder: Path, model: Path) -> None:
    """What `ollama pull` leaves below the home folder that its container keeps in a volume."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    blobs, manifests = folder / "models" / "blobs", folder / "models" / "manifests"
    name, tag = MODEL.split(":")
    manifest = manifests / "registry.ollama.ai" / "library" / name / tag
    for made in (blobs, manifest.parent):
        made.mkdir(parents=True)
    shutil.copy(model, blobs / f"sha256-{digest}")
    layer = {
        "mediaType": "application/vnd.ollama.image.model",
        "digest": f"sha256:{digest}",
        "size": model.stat().st_size,
    }
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine; images and programs come from the cache where they were made before."""
    folder = tmp_path_factory.mktemp("engine")
    with published(folder / "registry") as image, Docker(folder / "docker") as docker:
        server = image.platform("linux/amd64")
        docker.run("pull", server)
        docker.run("load", "--input", str(polish.archive()))
        docker.run("volume", "create", VOLUME)
        mounted = json.loads(docker.run("volume", "inspect", VOLUME).stdout)[0]["Mountpoint"]
        ollama_store(Path(mounted), fetch.fetch(fetch.MODEL))
        yield Engine(docker, {"server": server, "polish": polish.TAG}, folder)


def declared(engine: Engine, **changes: Any) -> DevStack:
    """The committed stack with what can be had here: images, a small model, free ports."""
    values = stackfile.values(STACK)
    embeddings, chat, service = free_port(), free_port(), free_port()
    served = {"model": MODEL, "context": 512}
    values |= {
        "images": engine.images,
        "volume": VOLUME,
        "network": "pollex-dev",
        "foreign": ["volume"],
        "embeddings": {**served, "port": embeddings, "parallel": 2, "pooling": "mean", "dimensions": DIMENSIONS},
        "chat": {**served, "port": chat, "context": 1024},
        "service": {"port": service, "prompt": "polish-small"},
        **changes,
    }
    return parsed(values)


@pytest.fixture(scope="module")
def stack(engine: Engine) -> DevStack:
    """The stack whose containers run."""
    return declared(engine)


@pytest.fixture(scope="module")
def running(engine: Engine, stack: DevStack) -> Iterator[DevStack]:
    """Up, and healthy."""
    (engine.folder / "compose.yaml").write_text(compose_file(stack))
    try:
        done = engine.compose("up", "--detach", "--wait", "--wait-timeout", str(PATIENCE), check=False)
        assert done.returncode == 0, done.stderr + engine.compose("logs").stdout
        yield stack
    finally:
        engine.compose("down", "--timeout", "20", check=False)


def posted(url: str, content: dict[str, Any]) -> Any:
    answer = httpx.post(url, json=content, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_embeddings_answer_where_ollama_would(running: DevStack) -> None:
    """If this fails, Mimir gets no vectors, or vectors of another length than it was told."""
    url = containers.url(running.embeddings)
    answer = posted(f"{url}/v1/embeddings", {"model": MODEL, "input": ["one text", "another"]})
    assert [len(item["embedding"]) for item in answer["data"]] == [DIMENSIONS] * 2
    offered = httpx.get(f"{url}/v1/models", timeout=PATIENCE).json()
    assert [model["id"] for model in offered["data"]] == [running.embeddings.name]


def test_chat_answers(running: DevStack) -> None:
    """If this fails, the polish service has nobody to ask."""
    assert running.chat is not None
    asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    answer = posted(f"{containers.url(running.chat)}/v1/chat/completions", asked)
    assert answer["choices"][0]["message"]["content"]


def test_a_text_is_polished(running: DevStack) -> None:
    """If this fails, the service's container does not reach the chat server by its name in the network."""
    assert running.service is not None
    assert running.chat is not None
    asked = {"text": "She go to the libary yesterday.", "model_id": running.chat.name}
    answer = posted(f"{containers.url(running.service)}/api/polish", asked)
    assert "library" in answer["polished"]


def test_containers_are_confined(engine: Engine, running: DevStack) -> None:
    """If this fails, a container runs as root, may write its root file system, or may write the models."""
    for made in containers.containers(running):
        name = engine.compose("ps", "--quiet", made.name).stdout.strip()
        found = json.loads(engine.docker.run("inspect", name).stdout)[0]
        assert found["State"]["Health"]["Status"] == "healthy"
        assert found["Config"]["User"] == "65532:65532"
        assert found["HostConfig"]["ReadonlyRootfs"] is True
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert all(mount["RW"] is False for mount in found["Mounts"])


def test_a_second_up_changes_nothing(engine: Engine, running: DevStack) -> None:
    """If this fails, every `docker compose up` starts the models anew."""

    def started() -> list[str]:
        names = engine.compose("ps", "--quiet").stdout.split()
        return sorted(
            engine.docker.run("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", *names).stdout.split("\n")
        )

    before = started()
    engine.compose("up", "--detach", "--wait", "--wait-timeout", str(PATIENCE))
    assert started() == before


def test_a_port_that_is_taken_is_named(engine: Engine, running: DevStack, tmp_path: Path) -> None:
    """If this fails, a user whose Ollama still runs does not learn which port is in the way."""
    taken = declared(engine, network="pollex-other", chat=None, service=None)
    file = tmp_path / "compose.yaml"
    with socket.create_server(("127.0.0.1", taken.embeddings.port)):
        file.write_text(compose_file(taken))
        named = ["--file", str(file), "--project-name", "other"]
        done = engine.compose(*named, "up", "--detach", check=False)
        engine.compose(*named, "down")
    assert done.returncode != 0
    assert str(taken.embeddings.port) in done.stderr


@pytest.mark.parametrize("base", MIMIRS, ids=[file.name for file in MIMIRS])
def test_mimir_is_switched_over(engine: Engine, running: DevStack, tmp_path: Path, base: Path) -> None:
    """If this fails, the three lines of the runbook leave Mimir without embeddings."""
    port = free_port()
    served = {"model": MODEL, "context": 512, "pooling": "mean", "dimensions": DIMENSIONS, "port": port}
    stack = declared(engine, embeddings=served, chat=None, service=None)
    file, overlay = tmp_path / base.name, tmp_path / files.MIMIR_COMPOSE
    shutil.copy(base, file)
    overlay.write_text(mimir.overlay(stack))
    (tmp_path / ".env").write_text(mimir.env_file(mimir.variables(stack)))
    named = ["--project-directory", str(tmp_path), "--file", str(file), "--file", str(overlay)]
    up = ["up", "--detach", "--wait", "--wait-timeout", str(PATIENCE), "llama-server"]
    try:
        missing = engine.compose(*named, *up, check=False)
        assert missing.returncode != 0
        assert str(tmp_path / "ollama_models") in missing.stderr
        # where Mimir's own files keep Ollama's home
        ollama_store(tmp_path / "ollama_models", fetch.fetch(fetch.MODEL))
        engine.compose(*named, *up)
        told = json.loads(engine.compose(*named, "config", "--format", "json").stdout)
        read = told["services"]["mimir-server"]["environment"]
        path, model = read["MIMIR_EMBEDDINGS_API_PATH"], read["MIMIR_EMBEDDINGS_MODEL"]
        answer = posted(f"http://127.0.0.1:{port}{path}", {"model": model, "input": "a node of the graph"})
        assert len(answer["data"][0]["embedding"]) == int(read["MIMIR_EMBEDDINGS_DIMENSIONS"])
    finally:
        engine.compose(*named, "down", "--timeout", "20", check=False)


def test_a_model_is_downloaded(engine: Engine, running: DevStack, tmp_path: Path) -> None:
    """If this fails, a stack whose model is named by URL and hash never serves it, or fetches it at every start."""
    network = json.loads(engine.docker.run("network", "inspect", running.network).stdout)[0]
    gateway = network["IPAM"]["Config"][0]["Gateway"]
    model = fetch.fetch(fetch.MODEL)
    with Mirror(directory(), address=gateway) as mirror:
        port = free_port()
        pinned = {"model": f"{mirror.url}/{model.name}", "sha256": hashlib.sha256(model.read_bytes()).hexdigest()}
        served = {**pinned, "port": port, "context": 512, "dimensions": DIMENSIONS, "pooling": "mean"}
        # a volume of its own, made with the stack
        changes = {"volume": "pollex-downloads", "network": running.network, "foreign": ["network"]}
        stack = declared(engine, embeddings=served, chat=None, service=None, **changes)
        file = tmp_path / "compose.yaml"
        file.write_text(compose_file(stack))
        named = ["--file", str(file), "--project-name", "downloads"]
        try:
            engine.compose(*named, "up", "--detach", "--wait", "--wait-timeout", str(PATIENCE))
            url = containers.url(stack.embeddings)
            answer = posted(f"{url}/v1/embeddings", {"input": "a text"})
            assert len(answer["data"][0]["embedding"]) == DIMENSIONS
            offered = httpx.get(f"{url}/v1/models", timeout=PATIENCE).json()
            assert [one["id"] for one in offered["data"]] == [stack.embeddings.name]
        finally:
            engine.compose(*named, "down", "--volumes", "--timeout", "20", check=False)


def test_llama_swap_s_command_serves(engine: Engine, running: DevStack) -> None:
    """If this fails, llama-swap starts a container that never answers on the port that it was given."""
    swap = Multiplexer(models=(MODEL,))
    read = yaml.safe_load(native.llama_swap(swap, engine.images["server"], VOLUME))["models"][MODEL]
    port = free_port()
    words = shlex.split(read["cmd"].replace("${PORT}", str(port)))
    # this engine has no default network
    command = [*words[:2], "--detach", f"--network={running.network}", *words[2:]]
    engine.docker.run(*command[1:])
    try:
        Container(engine.docker, shlex.split(read["cmdStop"])[-1]).wait_healthy(PATIENCE)
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE).json() == {"status": "ok"}
    finally:
        engine.docker.run(*shlex.split(read["cmdStop"])[1:])


def test_the_server_knows_every_argument_of_the_job(engine: Engine) -> None:
    """If this fails, macOS's launchd job ends at once with a usage error, every 30 seconds."""
    stack = declared(engine, metal=OPTIONS["metal"])
    assert stack.metal is not None
    words = native.metal_command(stack.embeddings, stack.metal)[1:]
    # arguments are read in order, and the last one ends the program once all before it were understood
    run = ["run", "--rm", "--network=none", engine.images["server"]]
    assert engine.docker.run(*run, *words, "--version", check=False).returncode == 0
    assert engine.docker.run(*run, *words, "--no-such-thing", "--version", check=False).returncode != 0


def test_everything_stops_in_time(engine: Engine, running: DevStack) -> None:
    """If this fails, `docker compose stop` kills the servers, and a request in flight is lost."""
    names = engine.compose("ps", "--quiet").stdout.split()
    engine.compose("stop")
    codes = engine.docker.run("inspect", "--format", "{{.State.ExitCode}}", *names).stdout.split()
    assert codes == ["0"] * len(names)
