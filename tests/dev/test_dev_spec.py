"""A dev stack's settings are checked once, all together, before anything is made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infra import ROOT
from infra.core.report import ConfigError, Problem
from infra.kinds import table
from infra.kinds.dev.spec import DIMENSIONS
from tests.dev.conftest import parsed


def problems(values: dict[str, Any]) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as caught:
        table.parse(values, file="stacks/Pulumi.test.yaml")
    return {problem.key: problem for problem in caught.value.problems}


WRONG = [
    ("images.server", "Docker.io/Pollex", "not an image's reference"),
    ("images.server", "pollex/llama-server@sha256:123", "not an image's reference"),
    ("volume", "ollama models", "not of the right form"),
    ("foreign", ["volumes"], "'volume' or 'network'"),
    ("embeddings.model", "nomic embed", "neither name:tag"),
    ("embeddings.model", "../secrets.gguf", "neither name:tag"),
    ("embeddings.model", "ftp://example.org/a.gguf", "http or https URL"),
    ("embeddings.model", "https://example.org/a b.gguf", "http or https URL"),
    ("embeddings.model", "https://example.org/models/", "http or https URL"),
    ("embeddings.model", "$(reboot)", "neither name:tag"),
    ("embeddings.pooling", "max", "'mean', 'cls' or 'last'"),
    ("embeddings.dimensions", 0, "greater than or equal to 1"),
    ("embeddings.port", 0, "greater than or equal to 1"),
    ("embeddings.parallel", 1.5, "not a whole number"),
    ("chat.context", 100, "greater than or equal to 128"),
    ("chat.sha256", "abc", "not of the right form"),
    ("service.prompt", "polish-tiny", "'polish' or 'polish-small'"),
    ("multiplexer.models", [], "at least 1"),
    ("multiplexer.models.0", "https://example.org/a.gguf", "download it first"),
    ("mimir.models", "models/store", "neither a volume's name nor a folder"),
    ("metal.log", "~/Library/Logs/x.log", "absolute path"),
]


@pytest.mark.parametrize(("key", "value", "remedy"), WRONG)
def test_one_wrong_value_is_named(whole: dict[str, Any], key: str, value: object, remedy: str) -> None:
    """If this fails, a container starts with a value that cannot work, or the report blames another key."""
    *groups, name = key.split(".")
    inner: Any = whole
    for group in groups:
        inner = inner[group]
    inner[int(name) if name.isdigit() else name] = value
    (problem,) = problems(whole).values()
    assert problem.key.startswith(f"pollex:{key}")
    assert remedy in problem.remedy
    assert "\n" not in problem.remedy


def test_everything_wrong_is_said_at_once(values: dict[str, Any]) -> None:
    """If this fails, a user mends one key a run instead of all of them."""
    del values["images"]["server"]
    values["embeddings"]["modle"] = "x"
    values["chat"]["port"] = "http"
    found = problems(values)
    assert set(found) == {"pollex:images.server", "pollex:embeddings.modle", "pollex:chat.port"}
    assert found["pollex:embeddings.modle"].remedy == "is not a setting; did you mean model?"


def test_a_download_is_pinned(values: dict[str, Any]) -> None:
    """If this fails, a container serves whatever bytes an address has today."""
    values["chat"]["model"] = "https://example.org/model.gguf"
    assert set(problems(values)) == {"pollex:chat.sha256"}
    values["chat"]["sha256"] = "a" * 64
    assert parsed(values).chat is not None


def test_the_dimensions_of_an_unknown_model_are_asked_for(values: dict[str, Any]) -> None:
    """If this fails, Mimir makes an index for vectors of another length."""
    values["embeddings"]["model"] = "my-own-model"
    assert "nomic-embed-text" in problems(values)["pollex:embeddings.dimensions"].remedy
    values["embeddings"]["dimensions"] = 512
    assert parsed(values).embeddings.length == 512


@pytest.mark.parametrize(
    ("model", "length"),
    [
        ("nomic-embed-text", 768),
        ("mixedbread/mxbai-embed-large:335m", 1024),
        ("embeddings/mxbai-embed-large-v1.Q8_0.gguf", 1024),
        ("snowflake-arctic-embed2:568m", 1024),
        ("BGE-M3", 1024),
    ],
)
def test_known_models_need_no_dimensions(values: dict[str, Any], model: str, length: int) -> None:
    """If this fails, the models that Mimir names cannot be had by their name alone."""
    values["embeddings"]["model"] = model
    assert parsed(values).embeddings.length == length


def test_the_polish_service_needs_its_server(values: dict[str, Any]) -> None:
    """If this fails, the polish service starts and has nobody to ask."""
    del values["chat"]
    assert set(problems(values)) == {"pollex:chat"}


def test_the_polish_service_needs_its_image(values: dict[str, Any]) -> None:
    """If this fails, the polish service is declared and silently left out."""
    del values["images"]["polish"]
    assert set(problems(values)) == {"pollex:images.polish"}


def test_ports_are_not_shared(values: dict[str, Any]) -> None:
    """If this fails, the second container fails to start after the first was made."""
    values["chat"]["port"] = values["embeddings"]["port"]
    assert problems(values)["pollex:chat.port"].remedy == "is the port of embeddings too: give each its own"


def test_metal_needs_a_context(whole: dict[str, Any]) -> None:
    """If this fails, the launchd job is made with a batch of no tokens."""
    del whole["embeddings"]["context"]
    assert set(problems(whole)) == {"pollex:embeddings.context"}


def test_the_image_knows_the_same_models() -> None:
    """If this fails, a stack promises vectors of a length that the image then refuses to serve, or asks needlessly."""
    source = (ROOT / "image" / "entrypoint" / "known.go").read_text()
    known = {name: int(length) for name, length in re.findall(r'"([\w.-]+)": +\{"\w+", (\d+)\b', source)}
    assert {name: length for name, length in known.items() if length} == DIMENSIONS
