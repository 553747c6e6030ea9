"""A registry is asked before anything is built, and says clearly what it refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from infra.core.derivation import KEY_LABEL
from infra.provider.image import AttachedLifecycle, PushableLifecycle
from infra.provider.problems import HostError
from infra.provider.registry import MANIFEST, RegistryError, Repository, describe
from sandbox.images.published import Published
from sandbox.images.registry import Registry
from tests.image.conftest import PLATFORMS

TOKEN = "dckr_pat_right"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that lets in one user with one token."""
    with Registry(tmp_path_factory.mktemp("registry") / "guarded", login=("you", TOKEN)) as registry:
        yield registry


def inputs(repository: str, **changes: Any) -> dict[str, Any]:
    """Those of a `Pushable`."""
    return {"repository": repository, "user": "you", "token": TOKEN, "version": "0.1.0", "key": "k", **changes}


def ask(given: dict[str, Any]) -> dict[str, Any]:
    """What a `Pushable` answers."""
    return asyncio.run(PushableLifecycle().apply(given, {}, lambda _: None))


def test_the_right_token_may_push(guarded: Registry) -> None:
    """If this fails, nobody can publish the image."""
    assert ask(inputs(f"{guarded.address}/you/llama-server")) == {"held": ""}


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_wrong_token_is_refused_before_anything_is_built(guarded: Registry, token: str | None) -> None:
    """If this fails, a wrong token shows after the whole build, or stands in the message."""
    with pytest.raises(HostError, match=r"refuses to push.*pollex:registryToken") as caught:
        ask(inputs(f"{guarded.address}/you/llama-server", token=token))
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_a_version_is_not_given_other_bytes(image: Published) -> None:
    """If this fails, who runs a version by its tag gets another program without asking for it."""
    with pytest.raises(HostError, match=r"0\.1\.0 is there already.*raise pollex:image\.version"):
        ask(inputs(image.repository, token=None, key="another"))


def test_the_same_bytes_may_be_pushed_again(image: Published) -> None:
    """If this fails, a second machine cannot take over the stack."""
    key = image.plan.derivation.key
    assert ask(inputs(image.repository, token=None, key=key)) == {"held": key}
    with Repository(image.repository) as repository:
        assert (repository.labels("0.1.0") or {})[KEY_LABEL] == key


def test_an_unreachable_registry_is_one_line() -> None:
    """If this fails, a registry that is down ends in a stack trace."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(HostError, match=rf"127\.0\.0\.1:{port} cannot be reached") as caught:
        ask(inputs(f"127.0.0.1:{port}/you/llama-server"))
    assert "\n" not in str(caught.value)


def test_a_document_is_attached_once_and_changes_nothing(image: Published) -> None:
    """If this fails, every `up` adds another copy, or the index gets another digest."""
    with Repository(image.repository) as repository:
        # to a part of the index, since others look at what is attached to the whole
        digest = image.platform(PLATFORMS[0]).partition("@")[2]
        subject = repository.manifest(digest)
        assert subject is not None
        first, second = (repository.attach(subject[0], "application/x-note", b"hello") for _ in range(2))
        kinds = [one["artifactType"] for one in repository.referrers(digest)]
        after = repository.manifest("latest")
    assert first == second
    assert kinds == ["application/x-note"]
    assert after is not None
    assert after[0].digest == image.digest


def test_lost_documents_are_seen(image: Published) -> None:
    """If this fails, `pulumi refresh` calls an image complete whose documents were deleted."""
    stored = {"repository": image.repository, "digest": image.digest, "documents": {"application/x-none": "{}"}}
    warned: list[str] = []
    found = asyncio.run(AttachedLifecycle().read(stored, {}, warned.append))
    assert found is not None
    assert found[0]["documents"] == {"application/x-none": "missing"}
    gone = {**stored, "digest": "sha256:" + "0" * 64}
    assert asyncio.run(AttachedLifecycle().read(gone, {}, warned.append)) is None
    assert "has lost" in warned[0]


def test_a_descriptor_is_of_the_bytes() -> None:
    """If this fails, a document is attached to something else than what was pushed."""
    assert describe(b"{}", MANIFEST).digest.startswith("sha256:44136fa355b3678a1146ad16f7e8649e")


def test_a_missing_image_has_no_sizes(image: Published) -> None:
    """If this fails, the sizes of nothing are published as an empty table."""
    with Repository(image.repository) as repository, pytest.raises(RegistryError, match="has no nothing"):
        repository.sizes("nothing")
