"""The wheel, as somebody uses it who has a Pulumi program of their own in another folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import ROOT
from infra.core import stackfile
from infra.kinds import table
from infra.kinds.host import plan
from infra.kinds.host.spec import HostStack
from sandbox.own_program import PROGRAM, environment, project, pulumi

pytestmark = pytest.mark.engine


def declared() -> plan.Plan:
    """What this checkout makes of the jetson stack."""
    stack = table.parse(stackfile.values(ROOT / "stacks/Pulumi.jetson.yaml"), file="x")
    assert isinstance(stack, HostStack)
    return plan.load(stack)


def test_the_component_is_planned_from_another_folder(tmp_path: Path) -> None:
    """If this fails, `pip install` gives a Pulumi user a component that lacks its patches, tools or service."""
    venv = environment(tmp_path / "venv")
    folder = project(tmp_path / "mine", venv)
    values: dict[str, Any] = stackfile.values(ROOT / "stacks/Pulumi.jetson.yaml")
    values["host"] |= {"privateKeyFile": "keys/id", "hostKeyFile": "keys/host.pub"}
    (folder / "keys").mkdir()
    (folder / "keys/id").write_text("a private key\n")
    (folder / "keys/host.pub").write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBhj/SynsJAN2h9+MgDVpsfNdnhCfpSbXVF+kBPJuK8p board\n"
    )
    config = {f"pollex:{key}": value for key, value in values.items()}
    (folder / "Pulumi.mine.yaml").write_text(yaml.safe_dump({"config": config}))
    pulumi(folder, venv, "stack", "init", "mine")
    shown = pulumi(folder, venv, "preview", "--stack", "mine", "--color", "never")
    assert "an `up` would stop here" not in shown
    assert re.search(r"pollex:index:Generation +board-generation +create", shown)
    code = "import json; from pathlib import Path; import program; print(json.dumps(program.keys(Path('values.json'))))"
    (folder / "values.json").write_text(json.dumps(values))
    (folder / "program.py").write_text(KEYS)
    done = subprocess.run(
        [venv / "bin/python", "-c", code], cwd=folder, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    made = declared()
    assert made.bundle is not None
    assert json.loads(done.stdout) == [made.build.key, made.bundle.key, made.generation.id]


def test_the_document_shows_this_program() -> None:
    """If this fails, somebody copies a program that nobody has tried."""
    assert PROGRAM in (ROOT / "docs/how-to/use-the-component.md").read_text()


KEYS = """
import json
from infra.kinds import table
from infra.kinds.host import plan

def keys(file):
    made = plan.load(table.parse(json.loads(file.read_text()), file="x"))
    return [made.build.key, made.bundle.key, made.generation.id]
"""
