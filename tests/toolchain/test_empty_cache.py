"""Everything that is made once and kept, made from an empty cache; the builders are stand-ins, the way to them is real.

Caches that are full hide what happens on a fresh machine, which is the first thing that everybody sees.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from bench import image as bench_image
from bench import load, nvidia, ollama, programs
from infra import ROOT
from infra.toolchain import golang
from sandbox import fetch, minilm, mirror, oldest, source
from sandbox.aarch64 import build
from sandbox.aarch64 import python as standalone
from sandbox.debian import nvcc
from sandbox.debian.rootfs import rootfs
from sandbox.images import base, polish, published, tools

SCRIPTS = {
    "go": """\
case $1 in
env) echo '{"GOVERSION": "go1.26.0", "GOOS": "linux", "GOARCH": "amd64"}' ;;
list) echo "$WORKSHOP/sdk" ;;
build)
    echo "go $*" >>"$WORKSHOP/built"
    while [ "$1" != -o ]; do shift; done
    case $2 in */) file=$2${3##*/} ;; *) file=$2 ;; esac
    mkdir -p "${file%/*}"
    cp "$WORKSHOP/bin/${file##*/}" "$file" 2>/dev/null || echo stand-in >"$file"
    ;;
esac
""",
    "buildkitd": 'touch "${2#unix://}"; exec sleep 1000',
    "buildx": """\
[ "$1" != create ] || exit 0
echo "buildx $*" >>"$WORKSHOP/built"
for word; do
    case $word in
    type=docker,dest=*) word=${word#*dest=}; echo archive >"${word%%,*}" ;;
    --metadata-file=*) file=${word#*=} ;;
    esac
    [ "$before" != --metadata-file ] || file=$word
    before=$word
done
echo '{"containerimage.digest": "sha256:0"}' >"$file"
""",
    "unshare": 'for part; do :; done; echo "unshare $*" >>"$WORKSHOP/built"; mkdir -p "$part/etc"',
    "debootstrap": 'for part; do :; done; echo "debootstrap $*" >>"$WORKSHOP/built"; mkdir -p "$part"',
    "cmake": """\
for word; do
    case $word in
    -DCMAKE_INSTALL_PREFIX=*) mkdir -p "${word#*=}/lib/ollama"; touch "${word#*=}/lib/ollama/libggml-cpu-x.so" ;;
    esac
done
""",
    "ninja": 'echo "ninja $*" >>"$WORKSHOP/built"; [ $# = 2 ] || { mkdir -p "$2/bin"; touch "$2/bin/$3"; }',
    "npm": "exit 1",
    **dict.fromkeys(("apt-config", "apt-get", "c++", "dpkg", "iptables", "objdump", "patch", "runc"), "echo stand-in"),
}
"""Command → what stands in for it; what takes long writes a line into `built`."""

REGISTRY = f"""\
#!{sys.executable}
import json, sys
from http.server import HTTPServer, BaseHTTPRequestHandler
settings = json.load(open(sys.argv[-1]))
from pathlib import Path
Path(settings["storage"]["filesystem"]["rootdirectory"]).mkdir(exist_ok=True)
host, _, port = settings["http"]["addr"].partition(":")
HTTPServer((host, int(port)), BaseHTTPRequestHandler).serve_forever()
"""


def _archive(artefact: fetch.Artefact, scratch: Path) -> Path:
    """What a registry's client would have left: the package, with the file in it."""
    (scratch / artefact.name).write_text("a file")
    with tarfile.open(scratch / "package.tar", "w") as archive:
        archive.add(scratch / artefact.name, artefact.member)
    return scratch / "package.tar"


def _wheel(scratch: Path) -> list[Path]:
    with zipfile.ZipFile(scratch / "one.whl", "w") as wheel:
        wheel.writestr("nvidia/cuda_nvcc/bin/ptxas", "stand-in")
    return [scratch / "one.whl"]


class _Tree:
    """In place of llama.cpp's source."""

    def unpack(self, into: Path, *_paths: str) -> None:
        """One file that is not empty."""
        into.mkdir(parents=True)
        (into / "CMakeLists.txt").write_text("stand-in\n")


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing was ever made; `built` in it gets a line for each thing that takes long."""
    monkeypatch.setenv("WORKSHOP", str(tmp_path))
    monkeypatch.setenv("POLLEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    for name, script in SCRIPTS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin/docker-registry").write_text(REGISTRY)
    for program in (tmp_path / "bin").iterdir():
        program.chmod(0o755)
    for script in golang.SCRIPTS:
        (tmp_path / "sdk" / script).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sdk" / script).touch()
    sha256 = hashlib.sha256(b"a file").hexdigest()
    for name, artefact in fetch.ARTEFACTS.items():
        monkeypatch.setitem(fetch.ARTEFACTS, name, replace(artefact, sha256=sha256))

    def python(_script: str, *arguments: object, **_options: object) -> None:
        Path(str(arguments[-1])).write_text("[[0.5]]")

    def install(command: list[str]) -> None:
        Path(command[command.index("--target") + 1]).mkdir()

    monkeypatch.setattr(fetch, "_download", _archive)
    monkeypatch.setattr(nvcc, "require", lambda: None)
    monkeypatch.setattr(nvidia, "_download", _wheel)
    monkeypatch.setattr(source, "obtain", lambda *_: _Tree())
    monkeypatch.setattr(source, "apply", lambda *_: None)
    monkeypatch.setattr(minilm, "_packages_key", lambda: "key")
    monkeypatch.setattr(minilm, "_python", python)
    monkeypatch.setattr(minilm, "run", install)
    monkeypatch.setattr(published, "attach", lambda *_: {})
    (tmp_path / "built").touch()
    return tmp_path


def _published(workshop: Path) -> None:
    with published.published(workshop / "registry") as image:
        assert image.digest == "sha256:0"


def _fetched(name: str, _workshop: Path) -> None:
    fetch.fetch(name)


def _written(to: IO[bytes]) -> None:
    to.write(b"a build")
    with Path(os.environ["WORKSHOP"], "built").open("a") as built:
        built.write("a build\n")


def _interpreter(workshop: Path) -> None:
    """Out of a root file system with as much of Python as is looked for."""
    usual = workshop / "usual"
    for file in ("usr/bin/python3.11", "usr/lib/python3.11/os.py"):
        (usual / file).parent.mkdir(parents=True, exist_ok=True)
        (usual / file).write_text("stand-in")
    libraries = usual / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(exist_ok=True, parents=True)
    for name in ("ld-linux-x86-64.so.2", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1"):
        (libraries / name).write_text("stand-in")
    oldest._stand_in(usual)


MAKERS: dict[str, dict[str, Callable[[Path], object]]] = {
    "bench/image.py": {"compiler": lambda _: bench_image.compiler_tree("amd64", "g++-12")},
    "bench/nvidia.py": {"NVIDIA's assembler": lambda _: nvidia.toolkit()},
    "bench/programs.py": {"llama.cpp's programs": lambda _: programs.built(source.CARRIED, (), "llama-server")},
    "sandbox/aarch64/python.py": {"interpreter for aarch64": lambda _: standalone.stand_in()},
    "sandbox/debian/__init__.py": {
        "cross compiler": lambda _: build.root(),
        "nvcc": lambda _: nvcc.chroot(),
        "root file system": lambda _: rootfs(),
        "root file system for aarch64": lambda _: rootfs("aarch64"),
    },
    "sandbox/fetch.py": {name: partial(_fetched, name) for name in fetch.NAMES},
    "sandbox/goprograms.py": {
        "BuildKit": lambda _: tools.ensure(),
        "Ollama": lambda _: ollama.program(),
        "Vegeta": lambda _: load.program(),
    },
    "sandbox/images/base.py": {"base image": lambda _: base.stand_in()},
    "sandbox/images/polish.py": {"polish image": lambda _: polish.archive()},
    "sandbox/images/published.py": {"image": _published},
    "sandbox/mirror.py": {"build for other boards": lambda _: mirror.keep("key-llama-server", _written)},
    "sandbox/oldest.py": {"interpreter of the oldest board": _interpreter},
    "sandbox/minilm/__init__.py": {
        "embedding model": lambda _: minilm.model("F16"),
        "reference vectors": lambda _: minilm.vectors(["a text"]),
    },
    "infra/toolchain/golang.py": {"pulumi": lambda cache: golang.ensure(cache / "cache", golang.find_go())},
}
"""File → what it makes once: a call that is given the workshop."""

CALLS = {name: call for calls in MAKERS.values() for name, call in calls.items()}


@pytest.mark.timeout(60)  # nothing of it waits for anything: what hangs here hangs for ever
@pytest.mark.parametrize("name", CALLS)
def test_it_is_made_from_nothing_and_once(name: str, workshop: Path) -> None:
    """On a fresh machine the first command would crash or wait for itself, or every command would build again."""
    CALLS[name](workshop)
    log = (workshop / "built").read_text()
    assert any((workshop / "cache").rglob("*"))
    CALLS[name](workshop)
    assert (workshop / "built").read_text() == log
    assert not list((workshop / "cache").rglob(".*.part-*"))


def test_every_maker_is_tried_here() -> None:
    """A new thing that is made once would first be made from nothing on somebody else's machine."""
    makers = set()
    for file in (file for room in ("infra", "sandbox", "bench") for file in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"made", "once.made"}:
                makers.add(str(file.relative_to(ROOT)))
    assert makers == set(MAKERS)
