"""Whoever publishes the image gives no secret away: a whole run of the kind `image` through the real engine."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.kinds.image import attest
from infra.provider.registry import Repository
from infra.toolchain.once import cache
from sandbox.deployment import copy_project
from sandbox.engine import HOME, VERBOSE, Pulumi
from sandbox.images import stack
from sandbox.images.buildkit import BuildKit
from sandbox.images.published import Published
from sandbox.images.registry import Registry
from sandbox.mirror import Mirror, directory
from tests.e2e import canary

NEIGHBOUR = "registry.example.org"
"""Another registry that this user has logged in to."""


SETTINGS = ("registryToken", "a wrong registryToken")
VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "HF_TOKEN", "GITHUB_TOKEN", "SSH_PASSWORD")
"""What stands in a publisher's environment: the passphrase of the stack, and what has nothing to do with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop(canary.Hearing):
    """Everything that a run can leave something in, and the secrets that were made up for it."""

    folder: Path
    registry: Registry
    kit: BuildKit
    values: Mapping[str, Any]
    environment: Mapping[str, str]

    def stack(self, label: str, token: str, **image: str) -> Pulumi:
        """A stack whose token is set as a person sets it."""
        file = self.folder / f"{label}.yaml"
        values = {**self.values, "image": {**self.values["image"], **image}}
        file.write_text(json.dumps({"config": {f"pollex:{name}": value for name, value in values.items()}}))
        made = Pulumi(
            project=self.folder / "project",
            stack=f"image-{label}",
            state=self.folder / "state" / label,
            config_file=file,
            environment={**self.kit.environment, **self.environment},
        )
        place = ["--path", "pollex:registryToken", "--config-file", str(file)]
        self.heard(f"config set {label}", made.run("config", "set", "--secret", *place, text=self.secrets[token]))
        return made


@pytest.fixture(scope="module")
def workshop(image: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Built after `image`, so that BuildKit has every step in its cache."""
    folder = tmp_path_factory.mktemp("secrets")
    copy_project(folder / "project")
    secrets = {name: canary.made_up() for name in (*SETTINGS, *VARIABLES, NEIGHBOUR)}
    (folder / "tmp").mkdir()
    (folder / "home").mkdir()
    environment = {
        **{name: secrets[name] for name in VARIABLES},
        "PYTHONPATH": str(folder / "project"),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
    }
    with (
        Mirror(directory()) as mirror,
        Registry(folder / "registry", login=("you", secrets["registryToken"])) as registry,
        BuildKit(cache() / "images" / "buildkit") as kit,
    ):
        login = base64.b64encode(f"you:{secrets[NEIGHBOUR]}".encode()).decode()
        Path(kit.environment["DOCKER_CONFIG"], "config.json").write_text(
            json.dumps({"auths": {NEIGHBOUR: {"auth": login}}})
        )
        values = stack.reachable(registry.address, mirror.url, builder=kit.name, user="you")
        yield Workshop(
            folder=folder, registry=registry, kit=kit, values=values, secrets=secrets, environment=environment
        )


def whole_run(workshop: Workshop) -> Pulumi:
    """Everything that is done with such a stack, and what can go wrong with a token in its hands; the stack, up."""
    shared = workshop.stack("shared", "registryToken")
    workshop.heard("preview", shared.preview("--diff"))
    workshop.heard("up", shared.up("--diff"))
    workshop.heard("refresh", shared.refresh("--diff"))
    workshop.heard("up, verbose", shared.up("--refresh", "--logtostderr", VERBOSE))
    for label, token, changes, why in (
        ("refused", "a wrong registryToken", {"name": "refused"}, "pollex:registryToken"),
        ("broken", "registryToken", {"name": "broken", "builder": "there-is-no-such-builder"}, "no builder"),
        ("away", "registryToken", {"name": "away", "registry": "127.0.0.1:9"}, "cannot be reached"),
        ("wrong", "registryToken", {"epoch": "never"}, "pollex:image.epoch"),
    ):
        done = workshop.stack(label, token, **changes).up(check=False)
        assert done.status != 0
        assert why in f"{done.stdout}{done.stderr}"
        workshop.heard(label, done)
    workshop.heard("export", shared.run("stack", "export"))
    workshop.heard("history", shared.run("stack", "history", "--json"))
    workshop.heard("config", shared.run("config", "--config-file", str(workshop.folder / "shared.yaml")))
    workshop.said["outputs"] = f"{shared.outputs()}"
    return shared


def test_secrets_stay_where_they_belong(workshop: Workshop, image: Published) -> None:
    """If this fails, whoever sees a state, a log, a process list or the published image can push in your name."""
    needles = workshop.needles
    begun = workshop.folder / "begun"
    begun.touch()
    with canary.Argv(needles) as argv:
        outputs = whole_run(workshop).outputs()
    assert outputs["reference"].endswith(f"@{image.digest}")
    assert argv.seen > 0
    assert argv.found == set()
    assert workshop.told() == {}
    # state, stack files, temporary files, home folder, and the registry's data and log as they lie there
    assert canary.in_folder(workshop.folder, needles) == []
    pushed = published(workshop)
    assert any(image.plan.derivation.key.encode() in content for content in pushed), "nothing was searched"
    assert [name for content in pushed for name in workshop.within(content)] == []
    meant = Path(workshop.kit.environment["DOCKER_CONFIG"], "config.json")
    assert (
        canary.changed_since(begun, workshop.kit.folder, needles | set(canary.forms(image.plan.derivation.key))) != []
    )
    assert canary.changed_since(begun, workshop.kit.folder, needles) == []
    assert canary.changed_since(begun, HOME, needles) == []
    assert canary.in_folder(workshop.kit.folder / "docker", needles) == [str(meant)], "nothing was searched"


def published(workshop: Workshop) -> list[bytes]:
    """Everything that the registry gives: indexes, manifests, settings with history, layers, documents."""
    name = f"{workshop.values['image']['registry']}/{workshop.values['image']['namespace']}/llama-server"
    data = workshop.registry.folder / "data"
    blobs = [file.read_bytes() for file in data.rglob("data") if file.is_file()]
    with Repository(name, user="you", token=workshop.secrets["registryToken"]) as repository:
        found = repository.manifest("latest")
        assert found is not None
        documents = {one["artifactType"] for one in repository.referrers(found[0].digest)}
    assert documents == {attest.SPDX, attest.PROVENANCE}
    unpacked = [gzip.decompress(blob) for blob in blobs if blob.startswith(b"\x1f\x8b")]
    assert unpacked, "no layer was looked into"
    return [*blobs, *unpacked]
