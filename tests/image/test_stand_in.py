"""The stand-in for pulumi-docker-build: it sees what has changed, and says why a build failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.kinds.image import buildx
from infra.kinds.image.component import arguments
from infra.provider.server import UNKNOWN
from sandbox.images import packages
from sandbox.images.build import reason
from sandbox.plugins.docker_build.context import context_hash
from sandbox.plugins.docker_build.image import Image, request
from tests.infra.test_buildx import image, made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A context with two files, of which one is ignored."""
    (tmp_path / "entrypoint").mkdir()
    (tmp_path / "entrypoint" / "main.go").write_text("package main\n")
    (tmp_path / "entrypoint" / "main_test.go").write_text("package main\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_text("# why\n*\n!entrypoint\n**/*_test.go\n")
    return tmp_path


def hashed(folder: Path) -> str:
    return context_hash(str(folder / "Dockerfile"), {"": str(folder), "debian": "docker-image://debian@sha256:0"})


@pytest.mark.parametrize("file", ["entrypoint/main.go", "Dockerfile"])
def test_a_changed_file_is_a_changed_image(folder: Path, file: str) -> None:
    """If this fails, an edited program is not built."""
    before = hashed(folder)
    (folder / file).write_text("changed\n")
    assert hashed(folder) != before


@pytest.mark.parametrize("file", ["entrypoint/main_test.go", "notes.txt", "entrypoint/deep/er_test.go"])
def test_an_ignored_file_is_none(folder: Path, file: str) -> None:
    """If this fails, a note left in the folder builds and pushes an image."""
    before = hashed(folder)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("changed\n")
    assert hashed(folder) == before


def test_the_same_files_elsewhere_are_the_same_image(folder: Path, tmp_path: Path) -> None:
    """If this fails, another checkout of the same commit builds anew."""
    copy = tmp_path / "copy"
    (copy / "entrypoint").mkdir(parents=True)
    for name in (".dockerignore", "Dockerfile", "entrypoint/main.go"):
        (copy / name).write_bytes((folder / name).read_bytes())
    assert hashed(copy) == hashed(folder)


def inputs(folder: Path, **changes: Any) -> dict[str, Any]:
    """Those that a program sends."""
    given = {
        "context": {"location": str(folder), "named": {}},
        "dockerfile": {"location": str(folder / "Dockerfile")},
        "tags": ["127.0.0.1:1/a/b:1"],
        "registries": [{"address": "127.0.0.1:1", "username": "you", "password": "first"}],
    }
    return {**given, **changes}


def test_a_new_token_builds_nothing(folder: Path) -> None:
    """If this fails, a rotated token costs a build."""
    stand_in, given = Image(), inputs(folder)
    outputs = stand_in.foresee({}, {}, given)
    other = inputs(folder, registries=[{"address": "127.0.0.1:1", "username": "you", "password": "second"}])
    assert stand_in.differences(given, outputs, other) == {}
    assert stand_in.differences(given, outputs, inputs(folder, tags=["127.0.0.1:1/a/b:2"])) == {"tags": True}


def test_a_token_is_no_output(folder: Path) -> None:
    """If this fails, the token stands in the state in plain text."""
    outputs = Image().foresee({}, {}, inputs(folder))
    assert "first" not in str(outputs)
    assert outputs["digest"] == outputs["ref"] == UNKNOWN


def test_a_changed_file_is_foreseen(folder: Path) -> None:
    """If this fails, `pulumi preview` calls an edited image unchanged."""
    stand_in, given = Image(), inputs(folder)
    outputs = stand_in.foresee({}, {}, given)
    (folder / "entrypoint" / "main.go").write_text("changed\n")
    assert stand_in.differences(given, outputs, given) == {"contextHash": False}


def plain(value: Any) -> Any:
    """Arguments of the SDK as they go over the wire."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "__dict__") and not isinstance(value, str):
        return {key: plain(item) for key, item in vars(value).items() if item is not None}
    return value


CAMEL = {"build_args": "buildArgs", "cache_from": "cacheFrom", "cache_to": "cacheTo"}


def test_the_resource_asks_for_what_the_command_line_asks_for() -> None:
    """If this fails, `pulumi up` builds something else than `make image` has proved."""
    asked = made(image(cache="docker.io/pollex/cache")).request
    declared = plain(arguments(asked, builder=None, registry="docker.io", user="you", token=None))
    spelt = request({CAMEL.get(key, key): value for key, value in declared.items()})
    relative = {"context": "../image", "dockerfile": "../image/Dockerfile"}
    places = {**asked.contexts, "host": "hosttools", "patches": "../patches"}
    assert buildx.argv(spelt, builder=None) == [
        {asked.dockerfile: relative["dockerfile"], asked.context: relative["context"]}.get(
            word, next((f"{n}={places[n]}" for n in places if word == f"{n}={asked.contexts[n]}"), word)
        )
        for word in buildx.argv(asked, builder=None)
    ]


REASONS = {
    "space": (
        ["#9 12.1 /tmp/x.s: fatal error: write: No space left on device", "#9 ERROR: write: no space left on device"],
        "the build ran out of disk space: free some where BuildKit keeps its cache (docker buildx du)",
    ),
    "token": (
        [
            "#26 ERROR: failed to push x: authorization failed: no basic auth",
            "ERROR: failed to push x: authorization failed",
        ],
        "the registry refused the image: failed to push x: authorization failed",
    ),
    "own": (
        [
            "#14 3.017 pollex: no mirror has the tree 0",
            "ERROR: failed to solve: process did not complete: exit code: 3",
        ],
        "pollex: no mirror has the tree 0",
    ),
    "other": (
        ["#1 transferring", "ERROR: failed to build: resolve debian: not found"],
        "failed to build: resolve debian: not found",
    ),
    "silent": ([], "buildx failed and said nothing"),
}


@pytest.mark.parametrize("name", REASONS)
def test_why_a_build_failed_is_one_line(name: str) -> None:
    """If this fails, the reason is somewhere in a thousand lines of progress."""
    output, line = REASONS[name]
    assert reason(output) == line


def test_packages_are_renewed_one_by_one() -> None:
    """If this fails, the day that a pinned version is gone is spent on editing them by hand."""
    text = "# why=1\ng++-12=12.2.0-14\ngit=1:2.39\n"
    assert packages.renewed(text, lambda name: f"2~{name}") == "# why=1\ng++-12=2~g++-12\ngit=2~git\n"
