"""What runs without compose: macOS's own server, and llama-swap."""

from __future__ import annotations

import plistlib
import shlex
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from infra.kinds.dev import files, native
from infra.kinds.dev.spec import DevStack
from tests.dev.conftest import parsed


@pytest.fixture
def stack(whole: dict[str, Any]) -> DevStack:
    """A stack with every option."""
    return parsed(whole)


def job(stack: DevStack) -> dict[str, Any]:
    """The launchd job as macOS reads it."""
    text = files.files(stack)[native.JOB_FILE]
    return dict(plistlib.loads(text.encode(), fmt=plistlib.FMT_XML))


def test_launchd_reads_the_job(stack: DevStack) -> None:
    """If this fails, launchd refuses the job, or starts it once and never again."""
    assert stack.metal is not None
    read = job(stack)
    assert read["Label"] == "org.pollex.llama-server"
    assert read["ProgramArguments"] == list(native.metal_command(stack.embeddings, stack.metal))
    assert read["RunAtLoad"] is True
    assert read["KeepAlive"] == {"SuccessfulExit": False}


def test_odd_names_survive_the_job(whole: dict[str, Any]) -> None:
    """If this fails, a model in a folder with a space or an ampersand is not found."""
    path = '/Users/Zoë & Co/<models>/it\'s "f16".gguf'
    whole["metal"]["model"] = path
    assert path in job(parsed(whole))["ProgramArguments"]


class SwapModel(BaseModel):
    """A model of llama-swap's config-schema.json, as far as it is used here."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cmd: Annotated[str, Field(min_length=1)]
    cmdStop: str  # noqa: N815 - its name
    ttl: Annotated[int, Field(ge=-1)]


class Swap(BaseModel):
    """llama-swap's config-schema.json, as far as it is used here."""

    model_config = ConfigDict(extra="forbid", strict=True)

    healthCheckTimeout: Annotated[int, Field(ge=15)]  # noqa: N815 - its name
    startPort: int  # noqa: N815 - its name
    models: dict[str, SwapModel]


def test_llama_swap_reads_its_configuration(stack: DevStack) -> None:
    """If this fails, llama-swap refuses the file, or starts a server on a port where it does not look for it."""
    read = Swap.model_validate(yaml.safe_load(files.files(stack)[files.LLAMA_SWAP]))
    assert stack.multiplexer is not None
    assert tuple(read.models) == stack.multiplexer.models
    for name, model in read.models.items():
        # llama-swap puts the number in and splits the words as a shell would
        words = shlex.split(model.cmd.replace("${PORT}", "5801"))
        assert words[:2] == ["docker", "run"]
        assert "--publish=127.0.0.1:5801:8080" in words
        assert f"--env=MODEL={name}" in words
        assert words[-1] == stack.images.server
        stopped = shlex.split(model.cmdStop)[-1]
        assert f"--name={stopped}" in words


def test_llama_swap_s_containers_have_names_of_their_own(whole: dict[str, Any]) -> None:
    """If this fails, one model's container keeps another one's from starting."""
    whole["multiplexer"]["models"] = ["a:b", "a-b", "a/b"]
    read = yaml.safe_load(files.files(parsed(whole))[files.LLAMA_SWAP])
    stops = [model["cmdStop"] for model in read["models"].values()]
    assert len(set(stops)) == 3
