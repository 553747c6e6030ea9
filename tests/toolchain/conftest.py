"""A prepared toolchain, and small projects for the real Pulumi command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.engine import CHECKOUT, Pulumi

PROGRAM = """\
import time
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Slow(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        Path(props["mark"]).touch()
        time.sleep(props["seconds"])
        return CreateResult("slow", props)


class Nap(Resource):
    def __init__(self, name: str, **props: Any) -> None:
        super().__init__(Slow(), name, props)


config = pulumi.Config()
Nap("nap", mark=config.require("mark"), seconds=config.require_int("seconds"))
pulumi.export("seconds", config.require_int("seconds"))
"""

STACK_FILE = """\

# The first line is empty, and   this spacing is meant.
config:
    pollex:mark:   "{mark}"   # where the create says that it began


    # how long it takes
    pollex:seconds: {seconds}

"""

MakeProject = Callable[..., Pulumi]


@pytest.fixture(scope="session")
def toolchain() -> None:
    """The toolchain of this checkout, prepared the way `make` does it."""
    subprocess.run([sys.executable, "-m", "infra.toolchain"], cwd=CHECKOUT, check=True)


@pytest.fixture
def make_project(toolchain: None, tmp_path: Path) -> MakeProject:
    """Write a project whose one resource takes `seconds` to create, with a stack file of an unusual layout."""

    def make(stack: str = "sandbox", *, folder: str = "project", seconds: int = 0) -> Pulumi:
        project = tmp_path / folder
        (project / "infra").mkdir(parents=True, exist_ok=True)
        (project / "stacks").mkdir(exist_ok=True)
        (project / "Pulumi.yaml").write_text("name: pollex\nruntime: python\nmain: infra/\nstackConfigDir: stacks\n")
        (project / "infra/__main__.py").write_text(PROGRAM)
        text = STACK_FILE.format(mark=project / "began", seconds=seconds)
        (project / f"stacks/Pulumi.{stack}.yaml").write_text(text)
        return Pulumi(
            project=project,
            stack=stack,
            state=project / "state",
            environment={"XDG_CONFIG_HOME": str(tmp_path / "config")},
        )

    return make
