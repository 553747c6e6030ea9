"""Containers made of the image, as people start them: read-only, not root, on both platforms."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from sandbox.images.engine import Container, Docker
from sandbox.images.published import Published
from sandbox.machine import SandboxError
from sandbox.mirror import Mirror
from sandbox.serving import NEVER
from tests.image.conftest import CHAT, EMBEDDINGS, PLATFORMS, add_to_store
from tests.image.entrypoint import gguf

NATIVE = PLATFORMS[0]
HEALTHY_SECONDS = 120
"""Emulated on a busy machine; natively it is about a second."""
STOP_SECONDS = 60
"""After which the engine kills what has not heard its signal."""
IDLE_SECONDS = 5
"""After which llama-server closes a connection that says nothing."""
TEXTS = ["I has went to the library.", "Der Zug fährt um 9 Uhr ab.", "def f(x): return x + 1"]


@pytest.fixture(scope="module", params=PLATFORMS)
def reference(request: pytest.FixtureRequest, docker: Docker, image: Published) -> str:
    """The image of each platform in turn, pulled by digest."""
    return pulled(docker, image, str(request.param))


def pulled(docker: Docker, image: Published, platform: str) -> str:
    reference = image.platform(platform)
    docker.run("pull", "--quiet", "--platform", platform, reference)
    return reference


@pytest.fixture(scope="module")
def native(docker: Docker, image: Published) -> str:
    """The image for this machine."""
    return pulled(docker, image, NATIVE)


@pytest.fixture(scope="module")
def embeddings(docker: Docker, reference: str, models: Path) -> Iterator[Container]:
    """A server for embeddings, out of an Ollama store."""
    with docker.container(reference, models=models, environment={"MODEL": EMBEDDINGS}) as container:
        container.wait_healthy(HEALTHY_SECONDS)
        yield container


@pytest.fixture(scope="module")
def chat(docker: Docker, reference: str, models: Path) -> Iterator[Container]:
    """A server for chat, out of a plain file."""
    with docker.container(reference, models=models, environment={"MODEL": CHAT}) as container:
        container.wait_healthy(HEALTHY_SECONDS)
        yield container


def embed(container: Container, texts: list[str]) -> list[list[float]]:
    answer = httpx.post(f"{container.url}/v1/embeddings", json={"input": texts, "model": EMBEDDINGS}, timeout=60)
    data = answer.raise_for_status().json()["data"]
    assert [one["index"] for one in data] == list(range(len(texts)))
    return [one["embedding"] for one in data]


def test_embeddings_answer_through_the_published_port(embeddings: Container) -> None:
    """If this fails, Mimir gets no vectors, or some of another length than its index has."""
    vectors = embed(embeddings, TEXTS)
    assert {len(one) for one in vectors} == {384}
    assert all(math.isclose(math.hypot(*one), 1, abs_tol=1e-3) for one in vectors)


def test_the_model_has_the_name_that_clients_use(embeddings: Container) -> None:
    """If this fails, a client that asks port 11434 for its models finds a path of the container."""
    listed = httpx.get(f"{embeddings.url}/v1/models", timeout=60).raise_for_status().json()
    assert [one["id"] for one in listed["data"]] == [EMBEDDINGS]


def test_chat_answers_through_the_published_port(chat: Container) -> None:
    """If this fails, the polish service has nobody to ask."""
    asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    answer = httpx.post(f"{chat.url}/v1/chat/completions", json=asked, timeout=120).raise_for_status().json()
    assert answer["usage"]["completion_tokens"] >= 1
    assert answer["choices"][0]["message"]["content"].strip()


def test_too_little_memory_is_said(docker: Docker, native: str, models: Path) -> None:
    """If this fails, a model that the container cannot hold ends with status 137 and no word."""
    limited = ("--memory=64m", "--memory-swap=64m")
    with docker.container(native, models=models, environment={"MODEL": CHAT}, options=limited) as container:
        assert container.wait(HEALTHY_SECONDS) == 7, container.logs
        assert "of memory (the file 99 MB" in container.logs
        assert "the container may use 68 MB" in container.logs


def test_clients_that_keep_connections_do_not_wait_for_each_other(embeddings: Container) -> None:
    """If this fails, an application's pool of connections waits five seconds for each vector."""
    with ExitStack() as stack:
        pool = [stack.enter_context(httpx.Client(base_url=embeddings.url, timeout=60)) for _ in range(24)]
        begun = time.monotonic()
        for client in pool:
            client.get("/health").raise_for_status()  # an answer that costs nothing, also under emulation
        assert time.monotonic() - begun < 6 * IDLE_SECONDS  # three at a time would take seven times as long


def test_it_is_not_root_and_process_one_is_the_server(embeddings: Container) -> None:
    """If this fails, a hole in the server is a hole in the machine, or a stop reaches nobody."""
    status = Path(f"/proc/{embeddings.state['Pid']}/status").read_text()
    assert "Uid:\t65532\t65532\t65532\t65532" in status
    assert "NSpid:" in status
    assert status.partition("NSpid:")[2].split()[1] == "1"
    command = Path(f"/proc/{embeddings.state['Pid']}/cmdline").read_bytes().split(b"\0")
    assert any(word.startswith(b"/llama-server") for word in command)


@pytest.mark.parametrize("kind", ["embeddings", "chat"])
def test_an_idle_server_stops(docker: Docker, reference: str, models: Path, kind: str) -> None:
    """If this fails, every restart takes ten seconds and ends in a kill."""
    environment = {"MODEL": EMBEDDINGS if kind == "embeddings" else CHAT}
    with docker.container(reference, models=models, environment=environment) as container:
        container.wait_healthy(HEALTHY_SECONDS)
        assert stopped(container) == 0


def stopped(container: Container) -> int:
    """The exit status after SIGTERM; of one that did not hear it that is the one of SIGKILL."""
    return container.stop(STOP_SECONDS)[0]


def test_a_loading_server_stops(docker: Docker, reference: str, models: Path) -> None:
    """If this fails, a machine that shuts down while a model loads waits until it kills the server."""
    with docker.container(reference, models=models, environment={"MODEL": CHAT}, options=["--cpus=0.1"]) as container:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while health_status(container) != httpx.codes.SERVICE_UNAVAILABLE:
            assert time.monotonic() < deadline, container.logs
        assert container.health() == "starting"
        docker.run("update", "--cpus=2", container.name)
        assert stopped(container) == 0


def health_status(container: Container) -> int | None:
    try:
        return httpx.get(f"{container.url}/health", timeout=60).status_code
    except httpx.TransportError:
        return None


def test_a_busy_server_stops(docker: Docker, reference: str, models: Path) -> None:
    """If this fails, one long answer keeps a machine from shutting down."""
    asked = {"messages": [{"role": "user", "content": "Tell a long story."}], "max_tokens": 4000, "stream": True}
    with docker.container(reference, models=models, environment={"MODEL": CHAT}) as container:
        container.wait_healthy(HEALTHY_SECONDS)
        begun, ended, lines = threading.Event(), threading.Event(), list[str]()

        def read() -> None:
            try:
                with httpx.stream("POST", f"{container.url}/v1/chat/completions", json=asked, timeout=NEVER) as answer:
                    for line in answer.iter_lines():
                        lines.append(line)
                        begun.set()
            except httpx.TransportError:
                pass
            ended.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        assert begun.wait(NEVER), container.logs
        assert not ended.is_set()
        assert stopped(container) == 0
        assert ended.wait(NEVER)
        assert "data: [DONE]" not in lines, "it was heard only after the answer"


def test_a_busy_server_is_healthy(docker: Docker, native: str, models: Path) -> None:
    """If this fails, an orchestrator kills the server in the middle of its longest answer."""
    story = {"messages": [{"role": "user", "content": "Tell a long story."}], "max_tokens": 4000, "ignore_eos": True}
    options = ["--health-interval=1s", "--health-retries=1"]
    with docker.container(native, models=models, environment={"MODEL": CHAT}, options=options) as container:
        container.wait_healthy(HEALTHY_SECONDS)
        before = checks(container)
        asked = {**story, "stream": True}
        with httpx.stream("POST", f"{container.url}/v1/chat/completions", json=asked, timeout=NEVER) as answer:
            seen, made = set[str](), set(before)
            for _ in answer.iter_lines():
                seen.add(container.health())
                made |= checks(container)
                if len(made - before) > 3:  # the first of them may have begun before the answer
                    break
        assert seen == {"healthy"}
        assert len(made - before) > 3, "the answer was over before its health was asked for"


def checks(container: Container) -> set[str]:
    """When its last health checks began."""
    return {str(check["Start"]) for check in container.state["Health"]["Log"]}


def test_both_platforms_give_the_same_vectors(docker: Docker, image: Published, models: Path) -> None:
    """If this fails, an index that was made on a Mac finds other texts on a PC."""
    vectors = []
    for platform in PLATFORMS:
        reference = pulled(docker, image, platform)
        with docker.container(reference, models=models, environment={"MODEL": EMBEDDINGS}) as container:
            container.wait_healthy(HEALTHY_SECONDS)
            vectors.append(embed(container, TEXTS))
    for one, other in zip(*vectors, strict=True):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-3


def refusal(container: Container) -> tuple[int, str]:
    """The exit status of a container that cannot start, and the last line that it said."""
    status = container.wait(HEALTHY_SECONDS)
    lines = container.logs.strip().splitlines()
    return status, lines[-1]


def test_an_unknown_model_is_one_line(docker: Docker, reference: str, models: Path) -> None:
    """If this fails, a misspelt name is searched for in a page of a loader's output."""
    with docker.container(reference, models=models, environment={"MODEL": "all-minlm"}) as container:
        status, line = refusal(container)
        assert status == 4
        assert "all-minlm" in line
        assert EMBEDDINGS in line
        assert len(container.logs.strip().splitlines()) == 1


def test_an_unknown_architecture_is_one_line(docker: Docker, reference: str, tmp_path: Path) -> None:
    """If this fails, a model that is newer than the image's llama.cpp ends in a page of a loader's output."""
    tmp_path.chmod(0o755)
    gguf(tmp_path / "new.gguf", "imaginary")
    with docker.container(reference, models=tmp_path, environment={"MODEL": "new"}) as container:
        status, line = refusal(container)
        assert status == 5
        assert 'new has the architecture "imaginary", which this image\'s llama.cpp does not know' in line
        assert len(container.logs.strip().splitlines()) == 1


def test_a_missing_blob_is_one_line(docker: Docker, native: str, tmp_path: Path) -> None:
    """If this fails, an interrupted `ollama pull` looks like a defect of the image."""
    tmp_path.chmod(0o755)
    model = tmp_path / "model"
    model.write_bytes(b"GGUF")
    add_to_store(tmp_path, "gone", model).unlink()
    with docker.container(native, models=tmp_path, environment={"MODEL": "gone"}) as container:
        status, line = refusal(container)
        assert status not in {0, 1}
        assert "sha256" in line


def test_a_truncated_model_ends_as_process_one(docker: Docker, reference: str, models: Path, tmp_path: Path) -> None:
    """If this fails, a half-downloaded model hangs the container or dumps core instead of saying so."""
    tmp_path.chmod(0o755)
    whole = (models / CHAT).read_bytes()
    (tmp_path / "half.gguf").write_bytes(whole[: len(whole) // 2])
    with docker.container(reference, models=tmp_path, environment={"MODEL": "half"}) as container:
        status, line = refusal(container)
        assert 0 < status < 128
        assert line
        assert "half" in container.logs


@contextmanager
def on_this_network(docker: Docker, image: str, *options: str, **environment: str) -> Iterator[Container]:
    """A container that shares this machine's network, without models."""
    name = docker.run(
        *("run", "--detach", "--read-only", "--network", "host", *options),
        *(word for item in environment.items() for word in ("--env", "=".join(item))),
        image,
    ).stdout.strip()
    try:
        yield Container(docker, name[:12])
    finally:
        docker.run("rm", "--force", name)


@pytest.fixture(scope="module")
def url(models: Path) -> Iterator[str]:
    """Where the models can be downloaded."""
    with Mirror(models) as mirror:
        yield mirror.url


def test_wrong_bytes_are_not_served(docker: Docker, native: str, url: str) -> None:
    """If this fails, a model that was replaced at its address is served under the name of the one that was pinned."""
    wrong = {"MODEL": f"{url}/{CHAT}", "MODEL_SHA256": "0" * 64, "MODEL_CACHE": "/cache"}
    with on_this_network(docker, native, "--tmpfs", "/cache:uid=65532", **wrong) as container:
        status, line = refusal(container)
        assert status == 3
        assert "0" * 64 in line


def test_a_full_disk_is_one_line(docker: Docker, native: str, url: str) -> None:
    """If this fails, a download that does not fit leaves half a model, or a stack trace."""
    wanted = {"MODEL": f"{url}/{CHAT}", "MODEL_SHA256": "0" * 64, "MODEL_CACHE": "/cache"}
    with on_this_network(docker, native, "--tmpfs", "/cache:size=1m,uid=65532", **wanted) as container:
        status, line = refusal(container)
        assert status == 6
        assert "/cache" in line


def test_a_taken_port_is_one_line(docker: Docker, native: str, models: Path) -> None:
    """If this fails, two servers on one network share a port, and each gets some of the other's requests."""
    with socket.create_server(("0.0.0.0", 0), reuse_port=True) as taken:
        port = str(taken.getsockname()[1])
        options = ["--volume", f"{models}:/models:ro"]
        with on_this_network(docker, native, *options, MODEL=EMBEDDINGS, LLAMA_ARG_PORT=port) as container:
            status, line = refusal(container)
            assert status == 1
            assert f"0.0.0.0:{port} is taken by another program" in line


def test_a_port_that_is_published_already_is_one_line(docker: Docker, native: str, models: Path) -> None:
    """If this fails, a second server for the port of Ollama looks as if it had started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        publish = f"127.0.0.1:{taken.getsockname()[1]}:8080"
        with pytest.raises(SandboxError, match="address already in use"):
            docker.run("run", "--rm", "--network", "pollex", "--publish", publish, native, "--version")


def test_the_wrong_platform_is_refused(docker: Docker, image: Published) -> None:
    """If this fails, an unsupported machine pulls something that cannot run."""
    with pytest.raises(SandboxError, match=r"no matching manifest|no match for platform"):
        docker.run("pull", "--quiet", "--platform", "linux/riscv64", image.reference)
