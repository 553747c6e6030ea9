"""The stacks as committed, and small ones to change."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra import ROOT
from infra.core import stackfile
from infra.kinds import table
from infra.kinds.host.spec import HostStack

FILES = {stackfile.stack_name(file): file for file in stackfile.stack_files(ROOT)}
HOSTS = [name for name, file in FILES.items() if stackfile.values(file)["kind"] == "host"]


def values_of(stack: str) -> dict[str, Any]:
    """The values of a committed stack file, keyed without the namespace, as the program reads them."""
    return stackfile.values(ROOT / "stacks" / f"Pulumi.{stack}.yaml")


def loads(unit: Path) -> None:
    """Fails where systemd says anything of a unit's file."""
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def shut_in(unit: Path, most: int) -> None:
    """Fails where a unit is exposed to more than a tenth of `most`, as `systemd-analyze security` counts."""
    command = ["systemd-analyze", "security", "--no-pager", "--offline=yes", f"--threshold={most}", str(unit)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def values() -> dict[str, Any]:
    """The jetson stack's values, to change at will."""
    return copy.deepcopy(values_of("jetson"))


@pytest.fixture(params=FILES)
def stack_name(request: pytest.FixtureRequest) -> str:
    """Every committed stack in turn."""
    return str(request.param)


@pytest.fixture(params=HOSTS)
def host_name(request: pytest.FixtureRequest) -> str:
    """Every committed stack of kind host in turn."""
    return str(request.param)


@pytest.fixture
def host_stack(host_name: str) -> HostStack:
    """The spec of every committed stack of kind host in turn."""
    stack = table.parse(values_of(host_name), file=f"stacks/Pulumi.{host_name}.yaml")
    assert isinstance(stack, HostStack)
    return stack
