"""One request for a build of the image: what the declared resource and a plain `docker buildx build` both use. Pure.

`load` reads the project's own files; everything after it is a function of values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra import HOST_FOLDER, ROOT
from infra.core import patches
from infra.core.derivation import KEY_LABEL, Derivation, sha256, significant
from infra.core.patches import Patch
from infra.kinds.image.spec import ImageStack

FOLDER = ROOT / "image"

SOURCE_URL = "https://github.com/ggml-org/llama.cpp"
LICENSES = "MIT"

HOST_FILES = ("recipe.sh",)
"""What of infra/hosttools decides bytes: a tree is known by its hash, whatever fetches, verifies and patches it."""


SERIES = "server"
"""Of the patches: the image's source is newer than what a Nano's compilers take, and most of theirs went upstream."""

FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",  # one static program, which cannot load backends as libraries either
    "-DGGML_NATIVE=OFF",  # the builder's own CPU must not decide what is built
    "-DLLAMA_BUILD_IS_DEV=OFF",  # the source is that of a release
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_UI=OFF",  # its page needs npm or a download that no tree hash covers
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",  # models are fetched and verified by the entrypoint, never by the server
    "-DLLAMA_SUBPROCESS=OFF",  # nothing that a client says may start a program; there is none to start
)
"""CMake arguments of every server."""

FOLDERS = ("cmake", "common", "ggml", "include", "scripts", "src", "tools", "vendor")
"""Top-level folders that a build of llama-server reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One llama-server of the image, for one kind of CPU."""

    architecture: str
    """Of the platform, in Docker's words."""
    file: str
    """Its name in the image's root; image/entrypoint chooses by it."""
    flags: tuple[str, ...]
    """CMake arguments that make it what it is."""


SERVERS = (
    # x86-64-v3: every PC since about 2015
    Server(
        architecture="amd64",
        file="llama-server",
        flags=("-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON"),
    ),
    # Cortex-A53 to A72: Raspberry Pi 3 and 4, Jetson Nano
    Server(architecture="arm64", file="llama-server.armv8-a", flags=("-DGGML_CPU_ARM_ARCH=armv8-a",)),
    # Raspberry Pi 5, Apple silicon, Graviton 2 and later
    Server(
        architecture="arm64",
        file="llama-server.armv8.2-a-dotprod",
        flags=("-DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod",),
    ),
)
"""A static program chooses its kernels when it is compiled, so there is a server for each kind of CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """Everything that a build of the image is asked for. Folders are relative to the project's."""

    context: str
    dockerfile: str
    contexts: Mapping[str, str]
    """Named contexts: folders, or the base image by digest."""
    args: Mapping[str, str]
    platforms: tuple[str, ...]
    tags: tuple[str, ...]
    """Whole references, the version's first."""
    labels: Mapping[str, str]
    exports: tuple[str, ...]
    """As `--output` takes them."""
    cache_from: tuple[str, ...]
    """As `--cache-from` takes them."""
    cache_to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What an image stack makes exist; nothing was contacted."""

    derivation: Derivation
    request: BuildRequest
    packages: Mapping[str, str]
    """The pinned Debian packages that compile it: name → version."""
    series: tuple[Patch, ...]


def load(stack: ImageStack) -> ImagePlan:
    """The plan with the project's own Dockerfile, scripts, entry point and patches.

    Raises:
        patches.PatchError: the patch series is wrong, or not for this source.
    """
    series = patches.load(SERIES, tag=stack.source.tag)
    return make(stack, series, texts(FOLDER, HOST_FOLDER))


def make(stack: ImageStack, series: Sequence[Patch], files: Mapping[str, str]) -> ImagePlan:
    """The plan out of values.

    Args:
        stack: what is declared.
        series: the patches, in order.
        files: texts of all files that the build uses, as `texts` reads them.
    """
    made = derivation(stack, series, files)
    return ImagePlan(
        derivation=made,
        request=request(stack, made, series),
        packages=packages(files["packages"]),
        series=tuple(series),
    )


def texts(folder: Path, host: Path) -> dict[str, str]:
    """Every file that decides the image's bytes, by its path in its context; tests of the entry point do not."""
    go = [*folder.glob("entrypoint/**/*.go"), *folder.glob("entrypoint/go.*")]
    used = [file for file in go if not file.name.endswith("_test.go") and "testdata" not in file.parts]
    used += [*folder.glob("*.sh"), folder / "source.py", folder / "Dockerfile", folder / "packages"]
    found = {file.relative_to(folder).as_posix(): file.read_text() for file in used}
    return dict(sorted({**found, **{f"host/{name}": (host / name).read_text() for name in HOST_FILES}}.items()))


def packages(text: str) -> dict[str, str]:
    """The pinned packages out of `image/packages`: name → version."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def derivation(stack: ImageStack, series: Sequence[Patch], files: Mapping[str, str]) -> Derivation:
    """The image as a derivation: everything that decides its digest, except BuildKit's own way of packing layers."""
    return Derivation(
        "image",
        {
            "source": {"commit": stack.source.commit, "tree": stack.source.tree, "number": stack.source.number},
            "epoch": stack.image.epoch,
            "patches": [patch.identity for patch in series],
            "folders": list(FOLDERS),
            # a comment in Go moves the lines that a stack trace names, so its files count as they are
            "files": {name: sha256(t if name.endswith(".go") else significant(t)) for name, t in files.items()},
            "flags": list(FLAGS),
            "servers": [[s.architecture, s.file, *s.flags] for s in servers(stack)],
            "platforms": list(stack.image.platforms),
            "labels": {**labels(stack)},
            "base": stack.image.base.rpartition("@")[2],
            "packages": dict(packages(files["packages"])),
            "export": FORM,
        },
    )


def servers(stack: ImageStack) -> list[Server]:
    """The servers of the platforms that are declared."""
    wanted = {platform.partition("/")[2] for platform in stack.image.platforms}
    return [server for server in SERVERS if server.architecture in wanted]


def labels(stack: ImageStack) -> dict[str, str]:
    """What the image says of itself, its key apart (https://specs.opencontainers.org/image-spec/annotations)."""
    return {
        "org.opencontainers.image.title": stack.image.name,
        "org.opencontainers.image.description": "llama.cpp's server, static, with a model from an Ollama store",
        "org.opencontainers.image.source": SOURCE_URL,
        "org.opencontainers.image.revision": stack.source.commit,
        "org.opencontainers.image.version": stack.image.version,
        "org.opencontainers.image.licenses": LICENSES,
    }


FORM = "oci-mediatypes=true,rewrite-timestamp=true,compression=gzip,compression-level=9,force-compression=true"
"""Layers whose bytes depend on nothing but files: SOURCE_DATE_EPOCH is every file's time."""


def request(stack: ImageStack, made: Derivation, series: Sequence[Patch]) -> BuildRequest:
    """The build of a stack's image, pushed under its version and as `latest`."""
    image, source = stack.image, stack.source
    kept = f"type=registry,ref={image.cache}" if image.cache is not None else None
    return BuildRequest(
        context="image",
        dockerfile="image/Dockerfile",
        contexts={"debian": image.base, "host": "infra/hosttools", "patches": "patches"},
        args={
            "COMMIT": source.commit,
            "FLAGS": "\n".join(FLAGS),
            "FOLDERS": " ".join(FOLDERS),
            "MIRRORS": "\n".join(source.mirrors),
            "NUMBER": str(source.number),
            "SERIES": " ".join(patch.name for patch in series),
            "SERVERS": "\n".join(" ".join([s.architecture, s.file, *s.flags]) for s in servers(stack)),
            "SOURCE_DATE_EPOCH": str(image.epoch),
            "TREE": source.tree,
        },
        platforms=image.platforms,
        tags=(f"{image.repository}:{image.version}", f"{image.repository}:latest"),
        labels={**labels(stack), KEY_LABEL: made.key},
        exports=(f"type=registry,{FORM}",),
        cache_from=(kept,) if kept is not None else (),
        cache_to=(f"{kept},mode=max",) if kept is not None else (),
    )


def argv(request: BuildRequest, *, builder: str | None, metadata: str | None = None) -> list[str]:
    """The arguments of `docker buildx` for a request, to be run in the project's folder.

    Args:
        request: what is to be built.
        builder: name of the builder; None takes the current one.
        metadata: a file for what was built, as JSON: `containerimage.digest` is the index's.
    """
    return [
        "build",
        *(("--builder", builder) if builder is not None else ()),
        *("--file", request.dockerfile),
        *_each("--build-context", (f"{name}={place}" for name, place in request.contexts.items())),
        *_each("--build-arg", (f"{name}={value}" for name, value in request.args.items())),
        *("--platform", ",".join(request.platforms)),
        *_each("--tag", request.tags),
        *_each("--label", (f"{name}={value}" for name, value in request.labels.items())),
        *_each("--output", request.exports),
        *_each("--cache-from", request.cache_from),
        *_each("--cache-to", request.cache_to),
        # attached they would change the digest with every build; ours are rendered and attached afterwards
        *("--provenance=false", "--sbom=false"),
        *(("--metadata-file", metadata) if metadata is not None else ()),
        request.context,
    ]


def _each(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
