"""The image stack through the real engine, into a registry on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.provider.registry import Repository
from infra.toolchain.once import cache
from sandbox.deployment import copy_project
from sandbox.engine import Pulumi
from sandbox.images import stack
from sandbox.images.buildkit import BuildKit
from sandbox.images.published import Published
from sandbox.images.registry import Registry
from sandbox.mirror import Mirror, directory

TOKEN = "dckr_pat_right"


@dataclass(frozen=True, slots=True)
class Workshop:
    """A copy of the project, BuildKit, and a registry that lets in one user."""

    folder: Path
    registry: Registry
    kit: BuildKit
    mirror: str

    def stack(self, label: str, /, *, token: str = TOKEN, project: Path | None = None, **changes: Any) -> Pulumi:
        """A stack of its own, with settings of `image` changed."""
        own = {"builder": self.kit.name, "user": "you"} | changes
        values = stack.reachable(self.registry.address, self.mirror, **own)
        file = self.folder / f"{label}.yaml"
        # a test's token may stand in a file; JSON is YAML
        config = {f"pollex:{key}": value for key, value in {**values, "registryToken": token}.items()}
        file.write_text(json.dumps({"config": config}))
        project = project or self.folder / "project"
        return Pulumi(
            project=project,
            stack=f"sandbox-image-{label}",
            state=self.folder / "state" / label,
            config_file=file,
            environment={**self.kit.environment, "PYTHONPATH": str(project)},
        )


@pytest.fixture(scope="module")
def workshop(image: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Built after `image`, so that BuildKit has every step in its cache."""
    folder = tmp_path_factory.mktemp("up")
    copy_project(folder / "project")
    with (
        Mirror(directory()) as mirror,
        Registry(folder / "registry", login=("you", TOKEN)) as registry,
        BuildKit(cache() / "images" / "buildkit") as kit,
    ):
        yield Workshop(folder, registry, kit, mirror.url)


@pytest.fixture(scope="module")
def pulumi(workshop: Workshop) -> Pulumi:
    """The stack, up."""
    engine = workshop.stack("shared")
    engine.up()
    return engine


def repository(workshop: Workshop, name: str = "llama-server") -> Repository:
    return Repository(f"{workshop.registry.address}/sandbox/{name}", user="you", token=TOKEN)


def test_up_pushes_the_very_image_that_was_tested(workshop: Workshop, pulumi: Pulumi, image: Published) -> None:
    """If this fails, what is declared is not what all other tests have looked at."""
    outputs = pulumi.outputs()
    assert outputs["reference"].endswith(f"@{image.digest}")
    assert outputs["key"] == image.plan.derivation.key
    assert set(outputs["sizes"]) == {"linux/amd64", "linux/arm64"}
    with repository(workshop) as there:
        for tag in ("latest", image.stack.image.version):
            found = there.manifest(tag)
            assert found is not None
            assert found[0].digest == image.digest
        assert len(there.referrers(image.digest)) == 2


def test_a_second_up_changes_nothing(pulumi: Pulumi) -> None:
    """If this fails, every `up` builds and pushes again."""
    assert pulumi.up().changes == {}
    assert pulumi.refresh().changes == {}


def test_a_preview_builds_nothing(workshop: Workshop) -> None:
    """If this fails, a pull request waits for a build, or needs a builder and a registry."""
    engine = workshop.stack("seen", name="seen", builder="there-is-no-such-builder")
    shown = engine.preview()
    assert shown.changes == {"create": 4}
    with repository(workshop, "seen") as there:
        assert there.manifest("latest") is None


def test_a_wrong_token_stops_before_the_build(workshop: Workshop) -> None:
    """If this fails, a wrong token costs a whole build before anybody hears of it, or stands in the output."""
    engine = workshop.stack("refused", token="dckr_pat_wrong", name="refused")
    done = engine.up(check=False)
    assert done.status != 0
    assert done.steps["llama-pushable"] == "failed"
    assert "llama-image" not in done.steps
    assert "pollex:registryToken" in done.stdout + done.stderr
    assert "dckr_pat_wrong" not in done.stdout + done.stderr
    with repository(workshop, "refused") as there:
        assert there.manifest("latest") is None


def test_other_bytes_under_a_pushed_version_are_refused(workshop: Workshop, pulumi: Pulumi, image: Published) -> None:
    """If this fails, a version that people run is replaced under their feet."""
    project = workshop.folder / "changed"
    copy_project(project)
    # part of the key as compile.sh is, but that one would be minutes of compiling
    with (project / "image" / "entrypoint.sh").open("a") as script:
        script.write(": changed\n")
    done = workshop.stack("changed", project=project).up(check=False)
    assert done.status != 0
    assert "raise pollex:image.version" in done.stdout + done.stderr
    with repository(workshop) as there:
        found = there.manifest(image.stack.image.version)
    assert found is not None
    assert found[0].digest == image.digest


def test_a_failed_build_is_one_line_and_pushes_nothing(workshop: Workshop) -> None:
    """If this fails, the reason is somewhere in a thousand lines, or half an image has a tag."""
    project = workshop.folder / "broken"
    copy_project(project)
    patch = project / "patches" / "0041-server-stop-on-signal.patch"
    lines = patch.read_text().split("\n")
    at = next(number for number, line in enumerate(lines) if line.startswith(" ") and number > lines.index("---"))
    lines[at] = f"{lines[at]} which is not there"
    patch.write_text("\n".join(lines))
    done = workshop.stack("broken", project=project, name="broken").up(check=False)
    assert done.status != 0
    assert "0041-server-stop-on-signal.patch does not apply" in done.stdout + done.stderr
    with repository(workshop, "broken") as there:
        assert there.manifest("latest") is None


def test_destroy_leaves_what_was_published(workshop: Workshop, image: Published) -> None:
    """If this fails, cleaning up a state takes the image from everybody who runs it."""
    engine = workshop.stack("left", name="left")
    engine.up()
    engine.destroy()
    with repository(workshop, "left") as there:
        assert there.manifest("latest") is not None
