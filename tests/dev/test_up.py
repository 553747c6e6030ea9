"""`pulumi up --stack dev` for real, on an engine that pulls from a registry which lets in one user."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.core import stackfile
from sandbox import fetch
from sandbox.deployment import copy_project
from sandbox.engine import HOME, VERBOSE, Pulumi
from sandbox.images import polish
from sandbox.images.engine import Docker
from sandbox.images.published import published
from sandbox.images.registry import Registry
from sandbox.serving import free_port
from tests.dev.conftest import STACK
from tests.dev.test_compose_up import DIMENSIONS, MODEL, PATIENCE, VOLUME, ollama_store
from tests.e2e import canary

# the first run on a machine builds both images
pytestmark = pytest.mark.timeout(3600)

LOGIN = "docker login"
VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "HF_TOKEN", "GITHUB_TOKEN", "SSH_PASSWORD")
"""What stands in a developer's environment: the passphrase of the stack, and what has nothing to do with it."""
WRONG = {
    "registryToken": "pollex:registryToken",
    "chat.apiKey": "pollex:chat.apiKey",
    "embeddings.model": "pollex:embeddings",
    "network": "pollex:network",
}
"""Where somebody may put a secret although nothing keeps one there, and how it is named when it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(canary.Hearing):
    """An engine, what can be left in, and the secrets that were made up for it."""

    folder: Path
    docker: Docker
    registry: Registry
    values: Mapping[str, Any]

    @property
    def login(self) -> Path:
        """Where `docker login` keeps what it was given."""
        return self.folder / "docker-config" / "config.json"

    def stack(self, label: str, **changes: Any) -> Pulumi:
        """A stack with some values changed."""
        file = self.folder / f"{label}.yaml"
        file.write_text(json.dumps({"config": {f"pollex:{k}": v for k, v in {**self.values, **changes}.items()}}))
        environment = {name: self.secrets[name] for name in VARIABLES}
        environment |= {name: str(self.folder / name.lower()) for name in ("HOME", "TMPDIR")}
        environment |= {"DOCKER_CONFIG": str(self.login.parent), "PYTHONPATH": str(self.folder / "project")}
        return Pulumi(
            project=self.folder / "project",
            stack=f"desk-{label}",
            state=self.folder / "state" / label,
            config_file=file,
            environment=environment,
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Logged in to the registry that has llama-server's image; the service's is on the engine, and so is a model."""
    folder = tmp_path_factory.mktemp("desk")
    copy_project(folder / "project")
    for name in ("home", "tmpdir", "docker-config"):
        (folder / name).mkdir()
    secrets = {name: canary.made_up() for name in (LOGIN, *VARIABLES, *WRONG)}
    with published(folder / "open") as image:
        shutil.copytree(folder / "open" / "data", folder / "registry" / "data")
        name = image.platform("linux/amd64").partition("/")[2]
    with (
        Registry(folder / "registry", login=("you", secrets[LOGIN])) as registry,
        Docker(tmp_path_factory.mktemp("engine")) as docker,
    ):
        docker.run("load", "--input", str(polish.archive()))
        docker.run("volume", "create", VOLUME)
        mounted = json.loads(docker.run("volume", "inspect", VOLUME).stdout)[0]["Mountpoint"]
        ollama_store(Path(mounted), fetch.fetch(fetch.MODEL))
        embeddings, chat, service = free_port(), free_port(), free_port()
        served = {"model": MODEL, "context": 512}
        values = stackfile.values(STACK) | {
            "engine": docker.host,
            "images": {"server": f"{registry.address}/{name}", "polish": polish.TAG},
            "volume": VOLUME,
            "network": "pollex-desk",
            "foreign": ["volume"],
            "embeddings": {**served, "port": embeddings, "pooling": "mean", "dimensions": DIMENSIONS},
            "chat": {**served, "port": chat, "context": 1024},
            "service": {"port": service, "prompt": "polish-small"},
        }
        yield Desk(folder=folder, docker=docker, registry=registry, values=values, secrets=secrets)


def whole_run(desk: Desk) -> Pulumi:
    """Everything that is done with such a stack, and what can go wrong with it; the stack, up."""
    shared = desk.stack("shared")
    refused = shared.up(check=False)
    assert refused.status != 0
    assert "docker pull" in f"{refused.stdout}{refused.stderr}", "the registry lets anybody in"
    login = ["docker", "--config", str(desk.login.parent), "--host", desk.docker.host, "login", desk.registry.address]
    words = [*login, "--username", "you", "--password-stdin"]
    subprocess.run(words, input=desk.secrets[LOGIN], check=True, capture_output=True, text=True)
    desk.heard("no login", refused)
    desk.heard("preview", shared.preview("--diff"))
    desk.heard("up", shared.up("--diff"))
    desk.heard("refresh", shared.refresh("--diff"))
    again = shared.up("--logtostderr", VERBOSE)
    assert again.changes == {}
    desk.heard("up, verbose", again)
    away = desk.stack("away", engine="unix:///nowhere/docker.sock").up(check=False)
    assert away.status != 0
    desk.heard("no engine", away)
    for place, named in WRONG.items():
        wrong = desk.stack(place.replace(".", "-"))
        config = ["--path", f"pollex:{place}", "--config-file", str(wrong.config_file)]
        desk.heard(f"config set {place}", wrong.run("config", "set", "--secret", *config, text=desk.secrets[place]))
        done = wrong.up(check=False)
        assert done.status != 0
        assert named in f"{done.stdout}{done.stderr}"
        desk.heard(place, done)
    desk.heard("export", shared.run("stack", "export"))
    desk.heard("history", shared.run("stack", "history", "--json"))
    desk.heard("config", shared.run("config", "--config-file", str(shared.config_file)))
    desk.said["outputs"] = f"{shared.outputs()}"
    return shared


def test_secrets_stay_where_they_belong(desk: Desk) -> None:
    """If this fails, whoever sees a state, a log, a process list or a container can log in as you.

    Or what `docker compose up` starts is not what `pulumi up` does.
    """
    begun = desk.folder / "begun"
    begun.touch()
    with canary.Argv(desk.needles) as argv:
        shared = whole_run(desk)
    assert argv.seen > 0
    assert argv.found == set()
    names = desk.docker.run("ps", "--quiet").stdout.split()
    assert len(names) == 3
    desk.said["containers"] = desk.docker.run("inspect", *names).stdout
    for name in names:
        told = desk.docker.run("logs", name)
        desk.said[f"log of {name}"] = told.stdout + told.stderr
    desk.said["log of the engine"] = desk.docker.log.read_text(errors="replace")
    assert desk.told() == {}
    assert canary.in_folder(desk.docker.folder / "data", desk.needles) == []
    assert canary.changed_since(begun, HOME, desk.needles) == []
    assert canary.in_folder(desk.folder, desk.needles) == [str(desk.login)], (
        "more than the login was kept, or nothing sought"
    )
    page = shared.outputs()["polish"]
    assert httpx.get(f"{page}/readyz", timeout=PATIENCE, trust_env=False).status_code == 200
    shared.destroy()
    assert desk.docker.run("ps", "--all", "--quiet").stdout == ""
    assert VOLUME in desk.docker.run("volume", "ls", "--quiet").stdout
