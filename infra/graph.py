"""A stack's resources from the program alone, under Pulumi's mocks: no engine, no provider, nothing contacted.

`python -m infra.graph STACK FILE` prints them as JSON. A process serves one stack only: Pulumi's settings are global.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

from infra import ROOT, config
from infra.core import stackfile
from infra.core.settings import NAMESPACE
from infra.kinds import table

_SECRET = re.compile(r"private|password|token|secrets", re.IGNORECASE)
_LONG = 200
"""Characters after which a text is shown by its length and hash: manifests are reviewed as files of their own."""

_COMPUTED = {
    "identity": "of the host",
    "owner": "of the host",
    "dialled": "192.0.2.1",
    "facts": {},
    "generation": "the live one",
    "imageId": "of the image",
    "repoDigest": "of the image",
    "digest": "sha256:of the index",
    "held": "",
    "sizes": {},
    "referrers": {},
}
"""What providers would say of a resource."""


class _Answers(mocks.Mocks):
    """Answers every registration with its inputs."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", {**args.inputs, **_COMPUTED}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise RuntimeError(f"the program calls {args.token}, which cannot be answered without an engine")


class _Monitor(mocks.MockMonitor):
    """Remembers what is registered, with parents and dependencies, which mocks do not get to see."""

    def __init__(self) -> None:
        super().__init__(_Answers())
        self.seen: list[dict[str, Any]] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        inputs = rpc.deserialize_properties(request.object)
        self.seen.append(
            {
                "name": request.name,
                "type": request.type,
                "parent": request.parent.rpartition("::")[2],
                "dependsOn": sorted(urn.rpartition("::")[2] for urn in request.dependencies),
                "inputs": _scrubbed(inputs),
                **({"retainOnDelete": True} if request.retainOnDelete else {}),
            }
        )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]  # the SDK has no types here


def _scrubbed(value: Any) -> Any:
    """The value without what is secret (mocks see it in plain text), and with long texts shortened."""
    if isinstance(value, dict):
        if rpc._special_sig_key in value:  # noqa: SLF001 - how the SDK marks a secret; it has no public name
            return _scrubbed(value["value"])
        return {key: "***" if _SECRET.search(key) else _scrubbed(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, pulumi.FileArchive):
        return f"folder {Path(value.path).relative_to(ROOT)}"
    if isinstance(value, str) and len(value) > _LONG:
        return f"{len(value)} characters, first line {value.partition(chr(10))[0]!r}"
    return value


def graph(stack: str, values: dict[str, object]) -> dict[str, Any]:
    """Every resource that the program declares, sorted by name, and the outputs.

    Args:
        stack: the stack's name.
        values: its own values, as `infra.core.stackfile.values` reads them.
    """
    settings = {f"{NAMESPACE}:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    os.environ["PULUMI_CONFIG"] = json.dumps(settings)
    monitor = _Monitor()
    mocks.set_mocks(monitor.mocks, project="pollex", stack=stack, preview=True, monitor=monitor)
    outputs: dict[str, Any] = {}

    @mocks.test  # type: ignore[untyped-decorator]  # the SDK has no types here
    def program() -> pulumi.Output[None]:
        declared = table.declare(config.load())
        return pulumi.Output.all(**declared).apply(outputs.update)

    program()
    return {"resources": sorted(monitor.seen, key=lambda seen: str(seen["name"])), "outputs": _scrubbed(outputs)}


if __name__ == "__main__":
    name, file = sys.argv[1:]
    json.dump(graph(name, stackfile.values(Path(file))), sys.stdout, indent=2)
    print()
