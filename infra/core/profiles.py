"""Build profiles: what a kind of machine needs, so that a stack file only says which one it is."""

from __future__ import annotations

from dataclasses import dataclass

COMMON_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",  # one binary: nothing else to install, nothing to mismatch
    "-DGGML_NATIVE=OFF",  # the builder's own CPU must not decide what is built
    "-DLLAMA_CURL=OFF",  # models are fetched and verified by pollex-host, never by the server
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=ON",  # the server lives among the examples at this version
    "-DLLAMA_BUILD_SERVER=ON",
)

SPARSE = ("cmake", "common", "examples", "ggml", "include", "pocs", "scripts", "src")
"""Top-level folders that a build of llama-server reads; the rest (models, docs, …) is neither fetched nor written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one kind of machine needs to build llama-server."""

    series: str
    """The patch series, patches/<series>.series."""
    flags: tuple[str, ...]
    """CMake arguments, before those of the stack."""
    toolchain: str
    """The compilers by name and version, as far as the profile fixes them; part of every key."""
    packages: tuple[str, ...]
    """apt packages that bring them."""
    commands: tuple[str, ...]
    """Programs that must exist before a build, by name or absolute path, and that no package above brings."""
    gpu: bool
    """Whether the server runs on the GPU; decides the unit's description and groups."""
    devices: tuple[str, ...]
    """Nodes below /dev that the server opens, where it opens any."""


TEGRA = (
    "/dev/nvmap",
    "/dev/nvhost-ctrl",
    *(f"/dev/nvhost-{part}" for part in ("ctrl-gpu", "gpu", "as-gpu", "tsg-gpu", "ctxsw-gpu", "sched-gpu")),
    *(f"/dev/nvhost-{part}" for part in ("dbg-gpu", "prof-gpu")),
)
"""What CUDA opens on a Tegra X1 with JetPack 4: recipes of JetPack 4.2 and later hand a container these ten nodes and
no others for CUDA to run in it. One that a board lacks is passed over by systemd."""

PROFILES = {
    "cuda10": Profile(
        series="cuda10",
        flags=(
            *COMMON_FLAGS,
            "-DGGML_CUDA=ON",
            "-DCMAKE_CUDA_ARCHITECTURES=53-real",  # the Nano's, without PTX: that costs minutes at the first start
            "-DCMAKE_CUDA_STANDARD=14",  # nvcc 10.2 knows no C++17
            "-DCMAKE_CUDA_STANDARD_REQUIRED=ON",
            "-DGGML_CUDA_FA=OFF",  # only its FP32 kernels could run on 5.3, and cost a third of all compiling
            "-DGGML_CUDA_GRAPHS=OFF",  # need CUDA 11
            "-DGGML_CUDA_NO_VMM=ON",  # does without the driver library, whose calls for this the Tegra may lack
            "-DGGML_CPU_ARM_ARCH=armv8-a",  # Cortex-A57: no dot product, no half-precision arithmetic
            "-DCMAKE_C_COMPILER=gcc-8",
            "-DCMAKE_CXX_COMPILER=g++-8",
            "-DCMAKE_CUDA_HOST_COMPILER=g++-8",
            "-DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc",
        ),
        toolchain="gcc-8, CUDA 10.2",
        packages=("gcc-8", "g++-8", "make", "ninja-build", "ccache"),
        commands=("/usr/local/cuda/bin/nvcc", "cmake"),
        gpu=True,
        devices=TEGRA,
    ),
    "cpu": Profile(
        series="cpu",
        flags=COMMON_FLAGS,
        toolchain="the distribution's gcc",
        packages=("gcc", "g++", "cmake", "ninja-build", "ccache"),
        commands=(),
        gpu=False,
        devices=(),
    ),
}

HOST_COMMANDS = ("curl", "git", "gzip", "journalctl", "patch", "sed", "systemctl", "tar")
"""What pollex-host itself calls beyond coreutils."""

RUNTIME_PACKAGES = ("libgomp1", "libstdc++6")
"""apt packages that a built llama-server needs; a build that came from a substituter brings no compiler with them."""

HOST_PACKAGES = ("ca-certificates", "curl", "git", "gzip", "patch", "sed", "tar")
"""apt packages that bring those commands."""
