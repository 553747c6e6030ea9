"""The provider under test: always the stand-in, and the official plugin where POLLEX_OFFICIAL_COMMAND names it.

A test that takes `workshop` runs with each of them, and so pins what they share; one that takes `stand_in` is about
what the stand-in does otherwise on purpose.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.command.testing import CHECKOUT, STAND_IN, Sshd, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVIDERS = {"stand-in": STAND_IN}
if "POLLEX_OFFICIAL_COMMAND" in os.environ:
    PROVIDERS["official"] = Path(os.environ["POLLEX_OFFICIAL_COMMAND"])


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
