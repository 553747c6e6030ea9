"""The real sources that the series are for, and what is made of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.programs import built
from infra.core import patches
from sandbox.source import CARRIED, NANO, PINS, OutOfReachError, Tree, apply, obtain
from tests.image.conftest import image, shipped  # noqa: F401 - the image's own server, as a fixture
from tests.patches.nano import PROFILE


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tree]:
    """`source(tag)`, as `sandbox.source` obtains it.

    Only the sandbox's is in a package, so a test that asks for another one is skipped, with the reason, where no
    repository that has it can be reached.
    """
    found: dict[str, Tree] = {}

    def get(tag: str) -> Tree:
        if tag not in found:
            try:
                found[tag] = obtain(PINS[tag], tmp_path_factory.mktemp(tag))
            except OutOfReachError as error:
                why = str(error).partition("\n")[0]
                pytest.skip(f"of the patches that are for {tag} only the structure was checked: {why}")
        return found[tag]

    return get


@pytest.fixture(scope="session")
def nano_source(source: Callable[[str], Tree], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Nano's series is for, unpatched: the folders that it touches or concerns."""
    into = tmp_path_factory.mktemp("nano") / "source"
    source(NANO.tag).unpack(into, "CMakeLists.txt", "common", "examples", "ggml", "src")
    return into


@pytest.fixture(scope="session", name="nano")
def patched_nano(nano_source: Path) -> Path:
    """The same with the series applied."""
    into = nano_source.with_name("patched")
    shutil.copytree(nano_source, into)
    apply(into, (patch.name for patch in patches.load(PROFILE.series, tag=NANO.tag)))
    return into


@pytest.fixture(scope="session")
def binary() -> Path:
    """llama-server of the sandbox's source, built as the profile `cpu` says; that takes minutes, so it is kept."""
    return built(CARRIED, (), "llama-server") / "llama-server"


@pytest.fixture(scope="session", params=["binary", pytest.param("shipped", marks=pytest.mark.root)])
def either(request: pytest.FixtureRequest) -> Path:
    """That one, and the image's, of another source and with another series."""
    return Path(request.getfixturevalue(request.param))
