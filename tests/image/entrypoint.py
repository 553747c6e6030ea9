"""The image's entrypoint as a program: built here, and run beside a llama-server that does what a test says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from infra.toolchain import golang
from sandbox.images import emulation
from sandbox.serving import NEVER

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "image/entrypoint"
FAKE = HERE / "fakellama"
ALONE = ["unshare", "--net"]
"""What to put before a program whose ports may be in use here."""


def go(*arguments: str, folder: Path, architecture: str = "") -> subprocess.CompletedProcess[str]:
    """Run the go command on a folder, for this machine or another architecture."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
    if architecture:
        environment["GOARCH"] = architecture
    command = [golang.find_go().command, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


KNOWN = "bert,clip,gemma3,llama,nomic-bert"
"""Architectures that the tests' llama-server knows; the image's are those of its source."""


def build(sources: Path, program: Path, architecture: str = "") -> None:
    """Compile a program as the image does."""
    linked = f"-ldflags=-s -w -buildid= -X main.architectures={KNOWN}"
    options = ["-trimpath", "-buildvcs=false", "-tags=nethttpomithttp2", linked]
    done = go("build", *options, "-o", str(program), ".", folder=sources, architecture=architecture)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the entrypoint and a made-up llama-server beside it, as in the image's root."""
    folder = tmp_path_factory.mktemp("programs")
    build(SOURCES, folder / "entrypoint")
    build(FAKE, folder / "llama-server")
    return folder


@pytest.fixture(scope="session")
def arm64(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for arm64: both of the image's servers, which are this machine's own programs that QEMU can start."""
    if shutil.which("qemu-aarch64-static") is None:
        pytest.fail("arm64 programs cannot be run: no qemu-aarch64-static; `python -m sandbox.machine` brings it")
    emulation.require("arm64")  # the entrypoint starts itself once more, which is the kernel's to emulate
    folder = tmp_path_factory.mktemp("arm64")
    build(SOURCES, folder / "entrypoint", "arm64")
    for name in ("llama-server.armv8-a", "llama-server.armv8.2-a-dotprod"):
        shutil.copy(programs / "llama-server", folder / name)
    return folder


def emulated(cpu: str) -> list[str]:
    """What to put before an arm64 program to run it on a kind of CPU."""
    return ["qemu-aarch64-static", "-cpu", cpu]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a start ended."""

    status: int
    said: str
    """Standard error."""
    server: dict[str, Any] | None
    """How the made-up llama-server was started: `args`, `env`, `pid` and `uid`; None if it was not. Its `args` are
    without the last ones, `inner`, with which the entrypoint puts itself in front."""

    def option(self, name: str) -> str:
        """The value of one of the server's arguments."""
        assert self.server is not None, self.said
        args = self.server["args"]
        return str(args[args.index(name) + 1])


def ended(status: int, out: str, said: str) -> Ended:
    """A start's end, from what it wrote."""
    server = json.loads(out) if out else None
    if server is not None:
        inner = server["args"][-4:]
        isolated = inner[::2] == ["--host", "--port"] and inner[1] == "127.0.0.1"
        server["inner"] = inner if isolated else []
        server["args"] = server["args"][: len(server["args"]) - len(server["inner"])]
    return Ended(status, said, server)


def start(
    folder: Path, *args: str, variables: Mapping[str, str], before: Sequence[str] = (), seconds: float = NEVER
) -> Ended:
    """Run the entrypoint of a folder to its end, with nothing but these variables."""
    command = [*before, str(folder / "entrypoint"), *args]
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    return ended(done.returncode, done.stdout, done.stderr)


def refused(end: Ended, status: int, *words: str) -> None:
    """Check that a start failed with a status and one line that has these words."""
    assert (end.status, end.server) == (status, None), end.said
    lines = end.said.splitlines()
    assert len(lines) == 1, end.said
    for word in words:
        assert word in lines[0]


def gguf(path: Path, architecture: str = "llama", **metadata: str | int) -> Path:
    """Write a whole GGUF file with one small tensor.

    Args:
        path: of the file.
        architecture: its general.architecture.
        metadata: further keys, without the architecture that they begin with; `_file_type` is general.file_type, and
            `split_count` stands alone; `tensor` is the tensor's name.
    """
    tensor = str(metadata.pop("tensor", "token_embd.weight"))
    pairs: dict[str, str | int] = {"general.architecture": architecture}
    for key, value in metadata.items():
        whole = f"general{key.replace('_', '.', 1)}" if key.startswith("_") else f"{architecture}.{key}"
        pairs["split.count" if key == "split_count" else whole] = value
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs))
    for key, value in pairs.items():
        head += _text(key)
        head += struct.pack("<I", 8) + _text(value) if isinstance(value, str) else struct.pack("<II", 4, value)
    head += _text(tensor) + struct.pack("<IQIQ", 1, 8, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(32))
    return path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def root(folder: Path, programs: Path) -> Path:
    """A folder that holds what the image's root does."""
    for name in ("proc", "models", "tmp"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    for name in ("entrypoint", "llama-server"):
        shutil.copy(programs / name, folder / name)
    return folder


class Container:
    """The entrypoint as process 1, without rights, on a read-only root, with a volume that is read-only or not."""

    def __init__(self, root: Path, *args: str, variables: Mapping[str, str], volume: Literal["ro", "rw"]) -> None:
        apart = ["unshare", "--mount", "--pid", "--fork"]
        command = [*apart, "sh", str(HERE / "container.sh"), str(root), volume, "/entrypoint", *args]
        self._root = root
        self._variables = dict(variables)
        self.process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Of process 1, as seen from here."""
        return first_process(self.process.pid)

    def end(self, seconds: float = NEVER) -> Ended:
        """Wait until it ends by itself."""
        out, said = self.process.communicate(timeout=seconds)
        return ended(self.process.returncode, out, said)

    def kill(self) -> str:
        """End it without notice; what it wrote to standard output."""
        kill_first_process(self.process)
        out = self.process.stdout.read() if self.process.stdout is not None and not self.process.stdout.closed else ""
        self.process.communicate()
        return out

    def health(self, *args: str, seconds: float = NEVER) -> subprocess.CompletedProcess[str]:
        """What the image's HEALTHCHECK finds."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid"]
        alike = ["chroot", "--userspec=65532:65532", "--groups=65532", str(self._root)]
        command = [*inside, *alike, "/entrypoint", "health", *args]
        environment = {"PATH": os.environ["PATH"], **self._variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)


@contextmanager
def container(
    root: Path, *args: str, variables: Mapping[str, str], volume: Literal["ro", "rw"] = "ro"
) -> Iterator[Container]:
    """A container that is gone afterwards."""
    running = Container(root, *args, variables=variables, volume=volume)
    try:
        yield running
    finally:
        running.kill()


def first_process(unshare: int) -> int:
    """The child of an `unshare --pid --fork`, once it is there.

    Raises:
        TimeoutError: it started nothing, or has ended.
    """
    deadline = time.monotonic() + NEVER
    while time.monotonic() < deadline:
        if children := _children(unshare):
            return children[0]
        time.sleep(0.01)
    raise TimeoutError(f"process {unshare} started nothing")


def kill_first_process(unshare: subprocess.Popen[Any]) -> None:
    """End an `unshare --pid --fork` without notice, with all that runs in it.

    Its --kill-child is of no use here: the kernel forgets that wish when process 1 becomes another user, or another
    program from a thread that did not express it.
    """
    for child in _children(unshare.pid):
        with suppress(ProcessLookupError):  # it may end by itself meanwhile
            os.kill(child, signal.SIGKILL)
    unshare.kill()


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []
