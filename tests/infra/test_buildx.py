"""The image as it is asked for, named by everything that decides its bytes, and documented from the same values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra import HOST_FOLDER
from infra.core import patches
from infra.core.report import ConfigError
from infra.kinds import table
from infra.kinds.image import attest, buildx
from infra.kinds.image.spec import ImageStack
from tests.infra.conftest import values_of

Golden = Callable[[str, str], None]
FILES = {
    "Dockerfile": "FROM scratch\n",
    "compile.sh": "cc\n",
    "packages": "# why\ng++-12=12.2.0-14+deb12u1\ngit=1:2~x\n",
}
"""Stand-ins, so that an edit of a script does not change these golden files."""
DIGEST = "sha256:" + "d" * 64


def image(**changes: Any) -> ImageStack:
    """The committed stack, with settings of `image` changed."""
    values = values_of("image")
    stack = table.parse({**values, "image": {**values["image"], **changes}}, file="x")
    assert isinstance(stack, ImageStack)
    return stack


def made(stack: ImageStack, **files: str) -> buildx.ImagePlan:
    """Its plan, with stand-ins for the project's files."""
    return buildx.make(stack, patches.load(buildx.SERIES, tag=stack.source.tag)[:2], {**FILES, **files})


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def test_the_command_line(golden: Golden) -> None:
    """If this fails, the image is built otherwise than was reviewed."""
    plan = made(image(cache="docker.io/pollex/cache", builder="big"))
    golden("image/docker-buildx.txt", "\n".join(buildx.argv(plan.request, builder="big", metadata="made.json")) + "\n")


def test_the_derivation(golden: Golden) -> None:
    """If this fails, an input of the image came or went unseen, and with it what its key means."""
    golden("image/derivation.json", pretty(dict(made(image()).derivation.inputs)))


@pytest.mark.parametrize("name", ["spdx.json", "provenance.json"])
def test_the_documents(golden: Golden, name: str) -> None:
    """If this fails, what is published about the image's parts and origin is not what was reviewed."""
    stack = image()
    texts = attest.documents(stack, made(stack), DIGEST)
    golden(f"image/{name}", texts[attest.SPDX if "spdx" in name else attest.PROVENANCE])


CHANGES: dict[str, dict[str, Any]] = {
    "version": {"version": "0.2.0"},
    "platforms": {"platforms": ["linux/arm64"]},
    "base": {"base": "docker-image://debian@sha256:" + "0" * 64},
    "epoch": {"epoch": 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_bytes_changes_the_key(change: str) -> None:
    """If this fails, a version tag could be given other bytes without anybody noticing."""
    assert made(image(**CHANGES[change])).derivation.key != made(image()).derivation.key


@pytest.mark.parametrize("file", ["Dockerfile", "compile.sh", "packages"])
def test_each_file_is_in_the_key(file: str) -> None:
    """If this fails, another script or compiler makes other bytes under the same key."""
    changed = {file: FILES[file] + "x=1\n"}
    assert made(image(), **changed).derivation.key != made(image()).derivation.key


def test_where_it_is_pushed_and_cached_is_not_in_the_key() -> None:
    """If this fails, the same image in another registry counts as another image."""
    elsewhere = image(registry="ghcr.io", namespace="you", builder="b", cache="ghcr.io/you/cache", user="me")
    assert made(elsewhere).derivation.key == made(image()).derivation.key


def test_the_mirrors_are_in_the_request_but_not_in_the_key() -> None:
    """If this fails, a source found at another place counts as another source."""
    stack = image()
    other = replace_mirror(stack, "git https://example.org/llama.cpp")
    assert made(other).derivation.key == made(stack).derivation.key
    assert made(other).request.args["MIRRORS"] == "git https://example.org/llama.cpp"


def replace_mirror(stack: ImageStack, mirror: str) -> ImageStack:
    return stack.model_copy(update={"source": stack.source.model_copy(update={"mirrors": (mirror,)})})


def test_every_file_of_the_build_is_read() -> None:
    """If this fails, a file that the Dockerfile uses can change without changing the key."""
    used = buildx.texts(buildx.FOLDER, HOST_FOLDER)
    dockerfile = used["Dockerfile"]
    sources = [word.removeprefix("source=") for word in dockerfile.replace(",", " ").split() if "source=" in word]
    for source in [one for one in sources if not one.startswith("/")]:
        assert any(name in {source, f"host/{source}"} or name.startswith(f"{source}/") for name in used), source
    assert not [name for name in used if name.endswith("_test.go")]


WRONG = {
    "registry": ("https://docker.io", "pollex:image.registry"),
    "version": ("latest", "pollex:image.version"),
    "platforms": (["linux/riscv64"], "pollex:image.platforms"),
    "base": ("debian:bookworm-slim", "pollex:image.base"),
    "base without a digest": ("docker-image://debian:bookworm-slim", "pollex:image.base"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_named(name: str) -> None:
    """If this fails, a wrong setting shows only after a long build, or the image is built on what a tag means today."""
    value, key = WRONG[name]
    with pytest.raises(ConfigError, match=rf"{key}.*") as caught:
        image(**{name.partition(" ")[0]: value})
    assert len(caught.value.problems) == 1


def test_a_platform_twice_is_named() -> None:
    """If this fails, buildx would build one platform twice, or say something about a manifest."""
    with pytest.raises(ConfigError, match=r"pollex:image\.platforms.*twice"):
        image(platforms=["linux/arm64", "linux/arm64"])


def test_the_token_is_not_shown() -> None:
    """If this fails, the registry's token stands in a log."""
    values = values_of("image")
    stack = table.parse({**values, "registryToken": "dckr_pat_secret"}, file="x")
    assert "dckr_pat_secret" not in repr(stack)
    with pytest.raises(ConfigError) as caught:
        table.parse({**values, "registryToken": ["dckr_pat_secret"]}, file="x")
    assert "dckr_pat_secret" not in str(caught.value)
