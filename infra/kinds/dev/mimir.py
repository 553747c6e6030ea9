"""Mimir with this image: an overlay of its compose files, and the variables that it reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.core import yamltext
from infra.kinds.dev import compose, native
from infra.kinds.dev.containers import EMBEDDINGS, Container, containers
from infra.kinds.dev.spec import DevStack

HEALTH = ("/entrypoint", "health")
"""The health check of llama-server's image, where another one has to be replaced: there is no shell in it."""


def overlay(stack: DevStack) -> str:
    """What Mimir's compose files are overlaid with: their `llama-server` served by this image.

    The files differ: one has neither a port nor a volume for that service, another a folder, a GPU and settings of the
    former image that would win over ours. What matters is therefore said whole, in place of what they have.
    """
    made = containers(stack)[0]
    service = {
        "image": made.image,
        # the image knows what to start; what the former image was told is for another program
        "entrypoint": yamltext.Reset(),
        "command": yamltext.Reset(),
        "environment": yamltext.Override(compose.literal(made.environment)),
        "ports": yamltext.Override([compose.published(made)]),
        "volumes": yamltext.Override([_models(stack, made)]),
        "deploy": yamltext.Reset(),
        "healthcheck": {"test": ["CMD", *HEALTH], "start_period": "120s"},
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    content: dict[str, Any] = {"services": {made.name: service}}
    if not stack.mimir_has_folder:
        content["volumes"] = {stack.mimir_models: {}}
    return yamltext.dump(content)


def _models(stack: DevStack, made: Container) -> dict[str, Any]:
    if not stack.mimir_has_folder:
        return compose.mount(stack.mimir_models, made)
    # an engine that makes a missing folder leaves an empty one, which root owns
    folder = stack.mimir_models.replace("$", "$$")
    mounted = {"type": "bind", "source": folder, "target": native.MODELS, "bind": {"create_host_path": False}}
    return {**mounted, "read_only": True}


def variables(stack: DevStack, url: str = f"http://{EMBEDDINGS}:{native.PORT}") -> dict[str, str]:
    """The variables that Mimir reads, where it finds the embeddings server at `url`."""
    return {
        "MIMIR_EMBEDDINGS_ENABLED": "true",
        "MIMIR_EMBEDDINGS_PROVIDER": "openai",
        "MIMIR_EMBEDDINGS_API": url,
        "MIMIR_EMBEDDINGS_API_PATH": "/v1/embeddings",
        "MIMIR_EMBEDDINGS_API_MODELS_PATH": "/v1/models",
        # Mimir wants one; llama-server asks for none
        "MIMIR_EMBEDDINGS_API_KEY": "unused",
        "MIMIR_EMBEDDINGS_MODEL": stack.embeddings.name,
        "MIMIR_EMBEDDINGS_DIMENSIONS": str(stack.embeddings.length),
    }


def env_file(variables: Mapping[str, str]) -> str:
    """Lines that a shell, compose and docker's --env-file read alike: no value of these needs quotes."""
    return "".join(f"{name}={value}\n" for name, value in variables.items())
