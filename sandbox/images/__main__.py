"""`make image`: build the image, push it to a registry on loopback, run it, and say what it is and what to do next.

The declared source and base image are taken where their publishers can be reached, stand-ins otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from infra.provider.registry import Repository
from sandbox import fetch
from sandbox.images import emulation
from sandbox.images.engine import Container, Docker
from sandbox.images.published import Published, published
from sandbox.machine import SandboxError, bring, require_root, say
from sandbox.minilm import model

HEALTHY_SECONDS = 180
"""Emulated on a busy machine; natively it is about a second."""

COMMANDS = (
    *("debootstrap", "docker-registry", "dockerd", "qemu-aarch64-static", "runc", "update-binfmts", "unshare"),
    "/usr/bin/torchrun",  # for the embedding model, which is converted here
)
"""What this needs beyond Python; missing ones are installed."""

NEXT = """
next:
  set image.namespace in stacks/Pulumi.image.yaml to your account
  pulumi config set --secret registryToken --stack image
  pulumi up --stack image"""


def main() -> None:
    """Build, push, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.images", description="Build, push and run the image.")
    parser.add_argument("--stand-ins", action="store_true", help="do not even ask for the real base and source")
    options = parser.parse_args()
    try:
        require_root()
        bring(*COMMANDS)
        with tempfile.TemporaryDirectory(prefix="pollex-image-") as temporary:
            _prove(Path(temporary), real=not options.stand_ins)
    except SandboxError as error:
        sys.exit(f"error: {error}")


def _prove(folder: Path, *, real: bool) -> None:
    with published(folder / "registry", real=real) as image, Docker(folder / "docker") as docker:
        models = _models(folder / "models")
        lines: list[str] = []
        unproved: list[str] = []
        for platform in image.plan.request.platforms:
            try:
                emulation.require(platform.removeprefix("linux/"))
            except emulation.NoEmulationError as error:
                unproved.append(f"{platform} was built and pushed, and not run: {error}")
                continue
            lines += _run(docker, image, platform, models)
        print("\n".join([*_facts(image), *lines, *unproved, NEXT]))
    if unproved:
        raise SandboxError("\n".join(unproved))


def _facts(image: Published) -> Iterator[str]:
    yield f"{image.repository}:{image.stack.image.version} and :latest"
    yield f"  digest     {image.digest}"
    yield f"  key        {image.plan.derivation.key}"
    yield f"  source     llama.cpp {image.stack.source.tag}, {image.stack.source.commit[:9]}"
    yield f"  base       {image.stack.image.base}"
    with Repository(image.repository) as repository:
        for platform, size in repository.sizes(image.digest).items():
            yield f"  size       {platform}  {size / 1e6:.2f} MB compressed"
        for one in repository.referrers(image.digest):
            yield f"  attached   {one['artifactType']}"


def _models(folder: Path) -> Path:
    folder.mkdir()
    shutil.copyfile(fetch.fetch(fetch.MODEL), folder / "chat.gguf")
    shutil.copyfile(model("F16"), folder / "embeddings.gguf")
    folder.chmod(0o755)
    return folder


def _run(docker: Docker, image: Published, platform: str, models: Path) -> Iterator[str]:
    """Start both kinds of server on a platform, ask each, stop each."""
    reference = image.platform(platform)
    say(f"running {platform}")
    docker.run("pull", "--quiet", "--platform", platform, reference)
    with _healthy(docker, reference, models, "embeddings") as (container, seconds):
        answer = _ask(container, "embeddings", {"input": "hello"})
        vector = answer["data"][0]["embedding"]
        yield f"  {platform}  embeddings healthy after {seconds:.1f} s, {len(vector)} dimensions, {_stop(container)}"
    with _healthy(docker, reference, models, "chat") as (container, seconds):
        asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
        answer = _ask(container, "chat/completions", asked)
        words = answer["choices"][0]["message"]["content"]
        yield f"  {platform}  chat healthy after {seconds:.1f} s, says {words!r}, {_stop(container)}"


@contextmanager
def _healthy(docker: Docker, reference: str, models: Path, name: str) -> Iterator[tuple[Container, float]]:
    with docker.container(reference, models=models, environment={"MODEL": name}) as container:
        yield container, container.wait_healthy(HEALTHY_SECONDS)


def _ask(container: Container, path: str, body: object) -> dict[str, list[dict[str, dict[str, str]]]]:
    answer = httpx.post(f"{container.url}/v1/{path}", json=body, timeout=HEALTHY_SECONDS)
    if not answer.is_success:
        raise SandboxError(f"/v1/{path} answers {answer.status_code}: {answer.text[:200]}\n{container.logs}")
    found: dict[str, list[dict[str, dict[str, str]]]] = answer.json()
    return found


def _stop(container: Container) -> str:
    status, seconds = container.stop()
    if status:
        raise SandboxError(f"the server ended with status {status} when it was stopped\n{container.logs}")
    return f"stopped in {seconds:.1f} s"


if __name__ == "__main__":
    main()
