"""The same declaration gives the same digest, from clean caches and wherever the project lies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.kinds import table
from infra.kinds.image import buildx
from infra.kinds.image.buildx import BuildRequest
from infra.kinds.image.spec import ImageStack
from infra.provider.registry import Repository
from sandbox.deployment import copy_project
from sandbox.images import stack
from sandbox.images.build import BuildError, Built
from sandbox.images.buildkit import BuildKit
from sandbox.images.registry import Registry
from sandbox.machine import CHECKOUT
from sandbox.mirror import Mirror
from sandbox.serving import NEVER

TINY = Path(__file__).parents[1] / "host" / "tiny"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small program in the place of llama.cpp, as a bundle: a folder to be served."""
    folder = tmp_path_factory.mktemp("tiny")
    tree = folder / "tree"
    subprocess.run(["cp", "-r", TINY, tree], check=True)
    # the program in front learns from there which models the server knows
    (tree / "src" / "llama-arch.cpp").write_text('LLM_ARCH_NAMES = {\n    { LLM_ARCH_LLAMA, "llama" },\n};\n')
    git = ["git", "-C", str(tree), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=tiny"]):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run([*git, "bundle", "create", "--quiet", str(folder / "tiny.bundle"), "HEAD"], check=True)
    return folder


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[str]:
    """The URL of that folder."""
    with Mirror(bundle) as mirror:
        yield mirror.url


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of the test's own."""
    with Registry(tmp_path_factory.mktemp("registry") / "here") as here:
        yield here


def asked(registry: Registry, bundle: Path, url: str, name: str) -> BuildRequest:
    """The project's own request, for a small source without patches."""
    stated = table.parse(stack.reachable(registry.address, url, name=name), file="x")
    assert isinstance(stated, ImageStack)
    request = buildx.load(stated).request
    head, tree = (
        subprocess.run(
            ["git", "-C", str(bundle / "tree"), "rev-parse", what], check=True, capture_output=True, text=True
        ).stdout.strip()
        for what in ("HEAD", "HEAD^{tree}")
    )
    changes = {
        "COMMIT": head,
        "TREE": tree,
        "MIRRORS": f"bundle {url}/tiny.bundle",
        "SERIES": "",
        "FLAGS": "-DCMAKE_RUNTIME_OUTPUT_DIRECTORY=/b/bin",
        "FOLDERS": "src common",
    }
    return replace(request, args={**request.args, **changes})


def made(request: BuildRequest, kit: BuildKit, project: Path, *extra: str) -> Built:
    return kit.build(request, lambda _: None, extra, project)


@pytest.fixture(scope="module")
def first(
    tmp_path_factory: pytest.TempPathFactory, registry: Registry, bundle: Path, served: str
) -> Iterator[tuple[BuildKit, str]]:
    """A builder that began with a clean cache, and the digest of what it built first."""
    place = tmp_path_factory.mktemp("first")
    copy_project(place / "project")
    with BuildKit(place / "kit") as kit:
        yield kit, made(asked(registry, bundle, served, "twice"), kit, place / "project").digest


@pytest.fixture
def kit(first: tuple[BuildKit, str]) -> BuildKit:
    """The same one, which has the compilers by now, for what fails early."""
    return first[0]


def test_two_clean_builds_have_one_digest(
    first: tuple[BuildKit, str], tmp_path: Path, registry: Registry, bundle: Path, served: str
) -> None:
    """If this fails, nobody can check that a published image was made from what it says."""
    place = tmp_path / "a/much/longer/place"
    copy_project(place / "project")
    with BuildKit(place / "kit") as another:
        assert made(asked(registry, bundle, served, "twice"), another, place / "project").digest == first[1]


def test_a_wrong_tree_is_one_line(kit: BuildKit, tmp_path: Path, registry: Registry, bundle: Path, served: str) -> None:
    """If this fails, a moved tag is compiled, or the reason why not is hidden in BuildKit's output."""
    copy_project(tmp_path / "project")
    request = asked(registry, bundle, served, "wrong")
    wrong = replace(request, args={**request.args, "TREE": "0" * 40})
    with pytest.raises(BuildError, match=r"no mirror has the tree 0{40}") as caught:
        made(wrong, kit, tmp_path / "project")
    assert "\n" not in str(caught.value)


def test_a_lost_package_version_is_one_line(
    kit: BuildKit, tmp_path: Path, registry: Registry, bundle: Path, served: str
) -> None:
    """If this fails, the day a compiler's pinned version leaves the mirrors is spent on reading apt's output."""
    copy_project(tmp_path / "project")
    packages = tmp_path / "project" / "image" / "packages"
    packages.write_text(packages.read_text().replace("\npatch=", "\npatch=0"))
    with pytest.raises(BuildError, match=r"image/packages cannot be had any more"):
        made(asked(registry, bundle, served, "lost"), kit, tmp_path / "project")


def test_another_platform_is_one_line(
    kit: BuildKit, tmp_path: Path, registry: Registry, bundle: Path, served: str
) -> None:
    """If this fails, an unsupported platform fails deep inside a compiler."""
    copy_project(tmp_path / "project")
    request = replace(asked(registry, bundle, served, "odd"), platforms=("linux/riscv64",))
    with pytest.raises(BuildError, match=r"linux/riscv64 is not supported"):
        made(request, kit, tmp_path / "project")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk on which the base image does not fit."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_line(
    small_disk: Path, tmp_path: Path, registry: Registry, bundle: Path, served: str
) -> None:
    """If this fails, a full disk looks like a defect of the compiler, or leaves half an image under a tag."""
    copy_project(tmp_path / "project")
    with BuildKit(small_disk / "kit") as kit, pytest.raises(BuildError, match="ran out of disk space") as caught:
        made(asked(registry, bundle, served, "full"), kit, tmp_path / "project")
    assert "\n" not in str(caught.value)
    with Repository(f"{registry.address}/sandbox/full") as repository:
        assert repository.manifest("latest") is None


@pytest.mark.parametrize("too", [False, True], ids=["alone", "with its daemon"])
def test_a_builder_whose_owner_was_killed_is_replaced(tmp_path: Path, *, too: bool) -> None:
    """If this fails, one killed run keeps all later ones from building an image until somebody finds the daemon."""
    start = f"BuildKit(Path({str(tmp_path / 'kit')!r})).__enter__(); os.kill(os.getpid(), 9)"
    program = f"import os; from pathlib import Path; from sandbox.images.buildkit import BuildKit; {start}"
    killed = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, check=False, stderr=subprocess.DEVNULL)
    assert killed.returncode == -9
    if too:
        daemon = psutil.Process(int((tmp_path / "kit" / "buildkitd.pid").read_text()))
        daemon.kill()
        daemon.wait(NEVER)
    with BuildKit(tmp_path / "kit") as kit:
        assert kit.log.read_text()
        now = (tmp_path / "kit" / "buildkitd.pid").read_text()
        # what a killed one leaves mounted is looked for below its folder alone
        assert f"TMPDIR={tmp_path / 'kit'}/" in Path(f"/proc/{now}/environ").read_text()
