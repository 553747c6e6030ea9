"""The real compose reads compose.yaml and Mimir's overlay as they were meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import ROOT
from infra.kinds.dev import containers, mimir, native
from infra.kinds.dev.compose import file as compose_file
from tests.dev.conftest import MIMIRS, Compose, loaded, parsed

MIMIR = Path(__file__).parent / "mimir.docker-compose.yml"


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_compose_reads_what_was_declared(compose: Compose, tmp_path: Path, values: dict[str, Any]) -> None:
    """If this fails, `docker compose up` runs other containers than `pulumi up` does."""
    stack = parsed(values)
    project = loaded(compose, written(tmp_path, "compose.yaml", compose_file(stack)))
    assert list(project["services"]) == sorted(made.name for made in containers.containers(stack))
    for made in containers.containers(stack):
        service = project["services"][made.name]
        (port,) = service["ports"]
        assert service["image"] == made.image
        assert service["environment"] == dict(made.environment)
        assert (port["host_ip"], port["published"], port["target"]) == (
            made.address,
            str(made.published),
            made.port,
        )
        assert service["restart"] == "unless-stopped"
        assert service["read_only"] is True
        assert "healthcheck" not in service, "the image's own check is the one that knows its mode"
    assert project["services"]["polish"]["depends_on"]["llama-chat"]["condition"] == "service_healthy"
    assert project["volumes"]["models"]["name"] == "ollama_models"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/$HOME/it's(1)/m.gguf?x=${PATH}&y=",
        "http://[::1]:8470/%20$$a/m.gguf",
        "https://example.org/a/m.gguf?on=y&n=1e3:*x",
    ],
)
def test_compose_takes_values_literally(compose: Compose, tmp_path: Path, values: dict[str, Any], url: str) -> None:
    """If this fails, a URL with a dollar sign or a quote reaches the container as another one."""
    values["chat"] |= {"model": url, "sha256": "a" * 64}
    project = loaded(compose, written(tmp_path, "compose.yaml", compose_file(parsed(values))))
    # what compose prints is a compose file again, in which a dollar sign is written twice
    assert project["services"]["llama-chat"]["environment"]["MODEL"].replace("$$", "$") == url


def test_what_belongs_to_somebody_else_is_not_made(compose: Compose, tmp_path: Path, values: dict[str, Any]) -> None:
    """If this fails, compose makes an empty volume beside the one with the models."""
    values |= {"volume": "mimir_ollama_models", "foreign": ["volume"]}
    project = loaded(compose, written(tmp_path, "compose.yaml", compose_file(parsed(values))))
    assert project["volumes"]["models"] == {"name": "mimir_ollama_models", "external": True}
    assert not project["networks"]["default"].get("external")


def test_the_runbook_s_lines_fit_into_mimir_s_file(compose: Compose, tmp_path: Path, values: dict[str, Any]) -> None:
    """If this fails, who edits Mimir's compose file as the runbook says has a file that compose refuses."""
    runbook = (ROOT / "docs" / "how-to" / "embeddings-for-mimir.md").read_text()
    (block,) = re.findall(r"in place of the service's .*?```yaml\n(.*?)```", runbook, re.DOTALL)
    project = yaml.safe_load(MIMIR.read_text())
    service = project["services"]["llama-server"]
    for replaced in ("image", "volumes", "environment", "deploy", "healthcheck"):
        del service[replaced]
    service |= yaml.safe_load(block)
    read = loaded(compose, written(tmp_path, "docker-compose.yml", yaml.safe_dump(project)))["services"]["llama-server"]
    stack = parsed(values)
    assert read["image"] == stack.images.server
    assert read["environment"] == {"MODEL": stack.embeddings.model}
    assert read["healthcheck"]["test"] == ["CMD", *mimir.HEALTH]
    assert read["volumes"][0]["target"] == native.MODELS


@pytest.mark.parametrize("base", MIMIRS, ids=[file.name for file in MIMIRS])
def test_mimir_is_switched_over(compose: Compose, tmp_path: Path, values: dict[str, Any], base: Path) -> None:
    """If this fails, Mimir's server keeps settings, a GPU or a health check of the former image, or has no models."""
    stack = parsed(values)
    overlay = written(tmp_path, "mimir.compose.yaml", mimir.overlay(stack))
    written(tmp_path, ".env", mimir.env_file(mimir.variables(stack)))
    file, made = written(tmp_path, base.name, base.read_text()), containers.containers(stack)[0]
    project = loaded(compose, file, overlay)
    service = project["services"]["llama-server"]
    assert service["image"] == made.image
    assert not service["command"]
    assert not service["entrypoint"]
    assert "deploy" not in service
    assert service["environment"] == dict(made.environment)
    assert service["healthcheck"]["test"] == ["CMD", "/entrypoint", "health"]
    (mount,) = service["volumes"]
    assert (mount["type"], mount["source"]) == ("bind", str(tmp_path / "ollama_models"))
    assert (mount["target"], mount["read_only"]) == ("/models", True)
    (port,) = service["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "11434", 8080)
    assert list(service["networks"]) == ["mcp_network"]
    assert project["services"]["mimir-server"]["environment"] == mimir.variables(stack)


@pytest.mark.parametrize(
    ("models", "mounted"),
    [("~/.ollama", "bind {home}/.ollama"), ("/srv/$x y", "bind /srv/$$x y"), ("store", "volume store")],
)
def test_mimir_s_models_from_elsewhere(
    compose: Compose, tmp_path: Path, values: dict[str, Any], models: str, mounted: str
) -> None:
    """If this fails, models of one's own Ollama, or in a volume, cannot be given to Mimir."""
    overlay = written(tmp_path, "o.yaml", mimir.overlay(parsed({**values, "mimir": {"models": models}})))
    project = loaded(compose, written(tmp_path, "docker-compose.yml", MIMIR.read_text()), overlay)
    (mount,) = project["services"]["llama-server"]["volumes"]
    assert f"{mount['type']} {mount['source']}" == mounted.format(home=tmp_path)


def test_mimir_s_download_is_kept(compose: Compose, tmp_path: Path, values: dict[str, Any]) -> None:
    """If this fails, a model that Mimir's container downloads is put where it may not write."""
    values["embeddings"] |= {"model": "https://example.org/m.gguf", "sha256": "a" * 64, "dimensions": 768}
    overlay = written(tmp_path, "o.yaml", mimir.overlay(parsed(values)))
    project = loaded(compose, written(tmp_path, "docker-compose.yml", MIMIR.read_text()), overlay)
    (mount,) = project["services"]["llama-server"]["volumes"]
    assert (mount["type"], mount["source"], mount.get("read_only")) == ("volume", "ollama_models", None)
