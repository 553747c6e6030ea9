"""What the image costs: size, build, start, embeddings a second, memory.

    python -m bench.image [--runs N] [--build]

Prints a table and writes build/bench/image.json. The peer is the original recipe's image for ARM64, of about 200 MB
compressed by its author's word; what it costs to emulate a compiler instead of crossing is measured with one file of
llama.cpp, and the whole build is extrapolated from that. `--build` also builds everything from a clean cache, which
takes minutes, and compares the digest.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import gzip
import io
import json
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench import record
from infra.provider.registry import Repository
from infra.toolchain.once import cache, made
from sandbox import source
from sandbox.images import emulation, stack
from sandbox.images.buildkit import BuildKit
from sandbox.images.engine import Container, Docker
from sandbox.images.published import Published, parse, published
from sandbox.images.registry import Registry
from sandbox.machine import SandboxError, run
from sandbox.minilm import model
from sandbox.mirror import Mirror, directory

PEER_MB = 200
"""The original recipe's image, compressed."""
FILE = "src/llama-chat.cpp"
"""A C++ file, which is what most of the build is; a small one, because emulation takes ten times as long."""
TEXT = "The quick brown fox jumps over the lazy dog, and everybody looks on."


def sizes(image: Published) -> dict[str, dict[str, float]]:
    """Platform → MB compressed, as a registry sends it, and unpacked."""
    found: dict[str, dict[str, float]] = {}
    with Repository(image.repository) as repository:
        for name, compressed in repository.sizes(image.digest).items():
            manifest = repository.manifest(image.platform(name).partition("@")[2])
            layers = manifest[1]["layers"] if manifest is not None else []
            unpacked = sum(_unpacked(image, layer["digest"]) for layer in layers)
            found[name] = {"compressed": round(compressed / 1e6, 2), "unpacked": round(unpacked / 1e6, 2)}
    return found


def _unpacked(image: Published, digest: str) -> int:
    place = image.repository.partition("/")[2]
    data = httpx.get(f"http://{image.registry}/v2/{place}/blobs/{digest}").raise_for_status().content
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        return sum(entry.size for entry in tar)


def emulation_factor(folder: Path) -> dict[str, float]:
    """Seconds to compile one file for arm64 with a cross compiler, and with an arm64 compiler under QEMU."""
    emulation.require("arm64")
    llama = source.obtain(source.CURRENT, folder)
    seconds = {}
    compilers = {
        "cross": ("amd64", "g++-12-aarch64-linux-gnu", "aarch64-linux-gnu-g++-12"),
        "emulated": ("arm64", "g++-12", "g++-12"),
    }
    for name, (architecture, package, program) in compilers.items():
        tree = compiler_tree(architecture, package)
        inside = tree / "src"
        shutil.rmtree(inside, ignore_errors=True)
        llama.unpack(inside, "common", "ggml", "include", "src")
        words = [program, "-O3", "-std=c++17", "-march=armv8-a", "-Iinclude", "-Iggml/include", "-Icommon", "-c", FILE]
        command = ["chroot", str(tree), "sh", "-c", f"cd /src && {' '.join(words)} -o /tmp/out.o"]
        run([*command[:-1], "cd /src && cat include/*.h ggml/include/*.h src/*.h >/dev/null"])
        began = time.monotonic()
        run(command)
        seconds[name] = round(time.monotonic() - began, 2)
    return seconds


def compiler_tree(architecture: str, package: str) -> Path:
    """A Debian with a compiler, unpacked but not installed: nothing of it has to be run for that."""

    def make(tree: Path) -> None:
        words = ["debootstrap", f"--arch={architecture}", "--foreign", "--variant=minbase", f"--include={package}"]
        run([*words, "bookworm", tree])
        for archive in sorted((tree / "var/cache/apt/archives").glob("*.deb")):
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as unpack:
                extract = ["tar", "-x", "--keep-directory-symlink", "-C", str(tree)]
                subprocess.run(extract, stdin=unpack.stdout, check=True)

    return made(cache() / "images" / f"compiler-{architecture}-{package}", make)


def clean_build(image: Published, folder: Path) -> dict[str, Any]:
    """Seconds to build and push everything from an empty cache, and whether the digest is the same."""
    with Mirror(directory()) as mirror, Registry(folder / "again") as registry, BuildKit(folder / "kit") as kit:
        _, plan = parse(stack.reachable(registry.address, mirror.url))
        began = time.monotonic()
        built = kit.build(plan.request, lambda _: None)
        return {"seconds": round(time.monotonic() - began), "same_digest": built.digest == image.digest}


def serving(docker: Docker, image: Published, models: Path, runs: int) -> dict[str, float]:
    """Start to healthy, embeddings a second, and memory above the model's own size."""
    reference = image.platform("linux/amd64")
    docker.run("pull", "--quiet", reference)
    starts = []
    for _ in range(runs):
        began = time.monotonic()
        with _server(docker, reference, models) as container:
            container.wait_healthy(60)
            starts.append(time.monotonic() - began)
    with _server(docker, reference, models) as container:
        container.wait_healthy(60)
        rates = {parallel: _rate(container, parallel) for parallel in (1, 4)}
        resident = psutil.Process(container.state["Pid"]).memory_info().rss / 1e6
    return {
        "start_to_healthy_seconds": round(statistics.median(starts), 2),
        "embeddings_per_second": round(rates[1], 1),
        "embeddings_per_second_4_parallel": round(rates[4], 1),
        "memory_above_model_mb": round(resident - (models / "embeddings.gguf").stat().st_size / 1e6, 1),
    }


def _server(docker: Docker, reference: str, models: Path) -> Any:
    options = ["--health-interval=200ms", "--health-start-period=60s"]
    environment = {"MODEL": "embeddings", "LLAMA_ARG_N_PARALLEL": "4"}
    return docker.container(reference, models=models, environment=environment, options=options)


def _rate(container: Container, parallel: int, requests: int = 200) -> float:
    with httpx.Client(base_url=container.url, timeout=60) as client:

        def ask(number: int) -> None:
            client.post("/v1/embeddings", json={"input": f"{number}: {TEXT}"}).raise_for_status()

        ask(0)
        with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
            began = time.monotonic()
            list(pool.map(ask, range(requests)))
            return requests / (time.monotonic() - began)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure what the image costs.")
    parser.add_argument("--runs", type=int, default=5, help="starts to take the median of")
    parser.add_argument("--build", action="store_true", help="also build from a clean cache and compare the digest")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="pollex-bench-") as temporary:
            report = measure(Path(temporary), options.runs, whole=options.build)
    except SandboxError as error:
        sys.exit(f"error: {error}")
    for name, value in report.items():
        print(f"{name:34}{value if not isinstance(value, dict) else json.dumps(value)}")
    record.write(report)


def measure(folder: Path, runs: int, *, whole: bool) -> dict[str, Any]:
    """Everything, in the fields that all benches share and some of its own."""
    models = folder / "models"
    models.mkdir()
    models.chmod(0o755)
    shutil.copyfile(model("F16"), models / "embeddings.gguf")
    with published(folder / "registry") as image, Docker(folder / "docker") as docker:
        found = sizes(image)
        served = serving(docker, image, models, runs)
        built = clean_build(image, folder) if whole else None
    compiled = emulation_factor(folder)
    factor = compiled["emulated"] / compiled["cross"]
    ours = found["linux/arm64"]["compressed"]
    return {
        "name": "image",
        "unit": "MB, the arm64 image compressed, against the original recipe's",
        "ours": ours,
        "peer": PEER_MB,
        "runs": runs,
        "versions": f"llama.cpp {source.CURRENT.tag}",
        "sizes_mb": found,
        **served,
        "compile_one_file_seconds": {"file": FILE, **compiled},
        "emulation_factor": round(factor, 1),
        **(
            {"clean_build": built, "emulated_build_seconds_extrapolated": round(built["seconds"] * factor)}
            if built is not None
            else {}
        ),
    }


if __name__ == "__main__":
    main()
