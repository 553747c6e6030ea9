"""compose.yaml: the twin of the Pulumi program (infra/kinds/dev/component.py). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.core import yamltext
from infra.kinds.dev import native
from infra.kinds.dev.containers import Container, containers
from infra.kinds.dev.spec import DevStack


def file(stack: DevStack) -> str:
    """compose.yaml: the twin of the Pulumi program."""
    return yamltext.dump(
        {
            "name": "pollex",
            "services": {made.name: _service(made) for made in containers(stack)},
            "volumes": {"models": _existing(stack.volume, foreign="volume" in stack.foreign)},
            "networks": {"default": _existing(stack.network, foreign="network" in stack.foreign)},
        }
    )


def _service(made: Container) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": made.image,
        "restart": "unless-stopped",
        "environment": literal(made.environment),
        "ports": [published(made)],
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": f"{made.stop_seconds}s",
    }
    if made.models is not None:
        service["volumes"] = [mount("models", made)]
    if made.after is not None:
        service["depends_on"] = {made.after: {"condition": "service_healthy"}}
    return service


def published(made: Container) -> dict[str, Any]:
    """A container's port as compose publishes it."""
    return {"host_ip": made.address, "published": str(made.published), "target": made.port}


def mount(volume: str, made: Container) -> dict[str, Any]:
    """The models' volume as a container sees it."""
    mounted = {"type": "volume", "source": volume, "target": native.MODELS}
    return {**mounted, "read_only": True} if made.models == "ro" else mounted


def _existing(name: str, *, foreign: bool) -> dict[str, Any]:
    return {"name": name, "external": True} if foreign else {"name": name}


def literal(environment: Mapping[str, str]) -> dict[str, str]:
    """Values in which compose finds no variable."""
    return {name: value.replace("$", "$$") for name, value in environment.items()}
