"""The polish service's image is asked for as reviewed, and built anew when what it holds changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import ROOT, buildpolish
from infra.core import stackfile
from infra.kinds import table
from infra.kinds.image import buildx, polishimage
from infra.kinds.image.spec import ImageStack

Golden = Callable[[str, str], None]


@pytest.fixture
def stack() -> ImageStack:
    """The committed image stack."""
    parsed = table.parse(stackfile.values(ROOT / "stacks" / "Pulumi.image.yaml"), file="x")
    assert isinstance(parsed, ImageStack)
    return parsed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the image is made of, in a folder to change at will."""
    for part in ("image/polish", "service/pollex"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "service.txt", tmp_path / "requirements")
    return tmp_path


def test_request(stack: ImageStack, golden: Golden) -> None:
    """If this fails, buildx is asked for another image than the one that was reviewed."""
    made = polishimage.derivation(stack, {"fixed": "so that an edit of the service does not change this file"})
    request = polishimage.request(stack, made)
    golden("argv.json", json.dumps(buildx.argv(request, builder="pollex"), indent=2) + "\n")


@pytest.mark.parametrize(("machine", "platform"), [("x86_64", "linux/amd64"), ("arm64", "linux/arm64")])
def test_for_this_machine_alone(stack: ImageStack, machine: str, platform: str) -> None:
    """If this fails, `--load` pushes, or gives the engine an image that it cannot run."""
    request = polishimage.local(polishimage.request(stack, polishimage.derivation(stack, {})), machine)
    words = buildx.argv(request, builder=None)
    assert words[words.index("--platform") + 1] == platform
    assert [word for word in words if word.startswith("type=")] == ["type=docker,rewrite-timestamp=true"]


def test_another_kind_of_stack_is_refused() -> None:
    """If this fails, a wrong file ends in a stack trace, or in an image of nothing."""
    with pytest.raises(SystemExit, match="declares dev, not image"):
        buildpolish.main([str(ROOT / "stacks" / "Pulumi.dev.yaml")])


@pytest.mark.parametrize(
    "file",
    [
        "image/polish/Dockerfile",
        "image/polish/unpack.sh",
        "requirements/service.txt",
        "service/pollex/app.py",
        "service/pollex/web/static/page.js",
    ],
)
def test_what_makes_another_image(stack: ImageStack, project: Path, file: str) -> None:
    """If this fails, a changed service is pushed as the version that is already there, or never."""
    before = polishimage.derivation(stack, polishimage.texts(project)).key
    (project / file).write_text((project / file).read_text() + "\n")
    assert polishimage.derivation(stack, polishimage.texts(project)).key != before


def test_what_makes_no_other_image(stack: ImageStack, project: Path) -> None:
    """If this fails, running the tests makes the image another one."""
    before = polishimage.derivation(stack, polishimage.texts(project)).key
    cached = project / "service" / "pollex" / "__pycache__"
    cached.mkdir()
    (cached / "app.cpython-311.pyc").write_bytes(b"\xff")
    assert polishimage.derivation(stack, polishimage.texts(project)).key == before
    assert before == polishimage.derivation(stack, polishimage.texts(ROOT)).key
