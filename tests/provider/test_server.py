"""What the plugin says to the engine, without one."""

from __future__ import annotations

import asyncio
from typing import Any, Never

import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from infra.provider.server import Servicer


class Engine:
    """Prints nothing."""

    async def sent(self) -> None:
        """All that was to be printed was."""


class Context:
    """A call whose end is looked at."""

    async def abort(self, status: Any, failure: str) -> Never:
        """How it ends."""
        raise AssertionError(failure)


def test_a_state_of_a_newer_revision_is_said() -> None:
    """If this fails, whoever goes back to an older revision is told of a defect, and not what to do."""
    engine: Any = Engine()
    context: Any = Context()
    asked = provider_pb2.DeleteRequest(type="pollex:index:Newer", urn="urn:x", properties=Struct())

    async def deleted() -> None:
        await Servicer(engine, {}).Delete(asked, context)

    with pytest.raises(AssertionError, match=r"no resource pollex:index:Newer: .* `pulumi destroy` with it first"):
        asyncio.run(deleted())
