"""What is in the registry: small, complete, described, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from infra.kinds.image import attest
from infra.provider.registry import Repository
from sandbox.images.published import Published
from sandbox.images.unpacked import Unpacked
from tests.image.conftest import PLATFORMS

MEGABYTE = 1_000_000
LARGEST = 12 * MEGABYTE
"""Compressed, per platform: what the image was made for."""

FILES = {
    "linux/amd64": {"llama-server"},
    "linux/arm64": {"llama-server.armv8-a", "llama-server.armv8.2-a-dotprod"},
}
ALWAYS = {"entrypoint", "etc/ssl/certs/ca-certificates.crt"}
PT_INTERP = 3
"""ELF's name for the program header that asks for a dynamic linker."""


@pytest.fixture(scope="module", params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    """Each platform in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def unpacked(image: Published, platform: str) -> Unpacked:
    """Its files and settings."""
    return Unpacked(image, platform)


def test_it_is_small(image: Published) -> None:
    """If this fails, what was made for small boards takes minutes to pull on one."""
    with Repository(image.repository) as repository:
        sizes = repository.sizes(image.digest)
    assert set(sizes) == set(PLATFORMS)
    assert max(sizes.values()) <= LARGEST, sizes


def test_it_holds_what_it_needs_and_nothing_else(unpacked: Unpacked, platform: str) -> None:
    """If this fails, a server for one kind of CPU is missing, or something unknown is shipped."""
    assert set(unpacked.files) == FILES[platform] | ALWAYS


def test_its_programs_are_static(unpacked: Unpacked, platform: str) -> None:
    """If this fails, the program asks for a library that the image does not hold, and does not start."""
    for name in FILES[platform] | {"entrypoint"}:
        program = unpacked.files[name]
        table, size, count = (
            int.from_bytes(program[a:b], "little") for a, b in ((0x20, 0x28), (0x36, 0x38), (0x38, 0x3A))
        )
        kinds = {int.from_bytes(program[at : at + 4], "little") for at in range(table, table + size * count, size)}
        assert program[:4] == b"\x7fELF", name
        assert PT_INTERP not in kinds, name


def test_nothing_of_the_build_shows(image: Published, unpacked: Unpacked) -> None:
    """If this fails, the image's bytes depend on when and where it was built."""
    assert {entry.mtime for entry in unpacked.entries} == {image.stack.image.epoch}
    for name, program in unpacked.files.items():
        assert b"/src/ggml/" not in program, name


def test_how_it_runs(image: Published, unpacked: Unpacked) -> None:
    """If this fails, it runs as root, cannot be stopped, is never found unhealthy, or hides its port."""
    settings = unpacked.config["config"]
    assert settings["User"] == "65532:65532"
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Healthcheck"]["Test"] == ["CMD", "/entrypoint", "health"]
    assert settings["Entrypoint"] == ["/entrypoint"]
    assert set(settings["ExposedPorts"]) == {"8080/tcp"}
    assert settings["Labels"] == dict(image.plan.request.labels)


def test_the_models_folder_belongs_to_the_server(unpacked: Unpacked) -> None:
    """If this fails, a model cannot be downloaded into a new volume."""
    folder = next(entry for entry in unpacked.entries if entry.name.rstrip("/") == "models")
    assert (folder.uid, folder.gid, folder.isdir()) == (65532, 65532, True)


def test_both_tags_are_the_index(image: Published) -> None:
    """If this fails, `latest` is another image than the newest version."""
    with Repository(image.repository) as repository:
        found = [repository.manifest(tag) for tag in ("latest", image.stack.image.version)]
    assert [one[0].digest for one in found if one is not None] == [image.digest] * 2


def test_its_documents_lie_beside_it(image: Published) -> None:
    """If this fails, nobody can tell what the image is made of, or the documents changed its digest."""
    wanted = attest.documents(image.stack, image.plan, image.digest)
    with Repository(image.repository) as repository:
        referrers = {str(one["artifactType"]): one for one in repository.referrers(image.digest)}
        assert set(referrers) == set(wanted)
        for kind, text in wanted.items():
            found = repository.manifest(referrers[kind]["digest"])
            assert found is not None
            assert found[1]["subject"]["digest"] == image.digest
            blob = found[1]["layers"][0]["digest"]
            base = f"http://{image.registry}/v2/{image.repository.partition('/')[2]}"
            assert httpx.get(f"{base}/blobs/{blob}").text == text
