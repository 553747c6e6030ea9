"""The provider under test: always the stand-in, and the official plugin wherever there is one.

The official one is what POLLEX_OFFICIAL_COMMAND names, what `make toolchain` could download, or what stands on PATH.

A test that takes `workshop` runs with each of them, and so pins what they share; one that takes `stand_in` is about
what the stand-in does otherwise on purpose.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.plugins.command import VERSION
from sandbox.plugins.command.testing import CHECKOUT, STAND_IN, Sshd, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN = "pulumi-resource-command"


def official() -> Path | None:
    """The official plugin, if this machine has it."""
    named = os.environ.get("POLLEX_OFFICIAL_COMMAND") or shutil.which(PLUGIN)
    downloaded = sorted((CHECKOUT / ".toolchain/home/plugins").glob(f"resource-command-v{VERSION}/{PLUGIN}"))
    found = [Path(named)] if named else downloaded
    return found[0] if found and found[0].resolve() != STAND_IN.resolve() else None


PROVIDERS = {"stand-in": STAND_IN} | ({"official": plugin} if (plugin := official()) else {})


@pytest.fixture(scope="session")
def tools() -> list[Path]:
    """Where the CLI and its Python host are: POLLEX_TOOLS, or what `make toolchain` prepared."""
    named = os.environ.get("POLLEX_TOOLS")
    return [Path(named)] if named else [CHECKOUT / ".toolchain/libexec", CHECKOUT / ".toolchain/bin"]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The host that commands run on."""
    with Sshd.running(tmp_path_factory.mktemp("sshd") / "host") as server:
        yield server


@pytest.fixture(params=PROVIDERS)
def workshop(request: pytest.FixtureRequest, tmp_path: Path, tools: list[Path]) -> Workshop:
    """The engine with each provider that there is."""
    return Workshop(tmp_path / "workshop", tools, PROVIDERS[request.param])


@pytest.fixture
def stand_in(tmp_path: Path, tools: list[Path]) -> Workshop:
    """The engine with the stand-in."""
    return Workshop(tmp_path / "workshop", tools, STAND_IN)
