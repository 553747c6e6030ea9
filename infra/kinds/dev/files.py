"""Every text that a dev stack generates, and the configuration that programs read from its outputs. Pure."""

from __future__ import annotations

import json

from infra.kinds.dev import compose, mimir, native
from infra.kinds.dev.containers import url
from infra.kinds.dev.spec import DevStack, Service

COMPOSE = "compose.yaml"
MIMIR_COMPOSE = "mimir.compose.yaml"
MIMIR_ENV = "mimir.env"
MIMIR_METAL_ENV = "mimir.metal.env"
LLAMA_SWAP = "llama-swap.yaml"


def files(stack: DevStack) -> dict[str, str]:
    """Every text that the stack generates, by the name of its file."""
    made = {
        COMPOSE: compose.file(stack),
        MIMIR_COMPOSE: mimir.overlay(stack),
        MIMIR_ENV: mimir.env_file(mimir.variables(stack)),
        "appConfig.json": json.dumps(app_config(stack), indent=2) + "\n",
    }
    if stack.multiplexer is not None:
        made[LLAMA_SWAP] = native.llama_swap(stack.multiplexer, stack.images.server, stack.volume)
    if stack.metal is not None:
        made[native.JOB_FILE] = native.launchd(stack.embeddings, stack.metal)
        made[MIMIR_METAL_ENV] = mimir.env_file(
            mimir.variables(stack, f"http://host.docker.internal:{stack.embeddings.port}")
        )
    return made


def app_config(stack: DevStack) -> dict[str, dict[str, str | int]]:
    """The stack output `appConfig`: the polish service as this machine reaches things, Mimir as the network does."""
    config: dict[str, dict[str, str | int]] = {}
    if stack.chat is not None:
        port = stack.service.port if stack.service is not None else Service().port
        config["pollex"] = {"port": port, "llamacpp_url": url(stack.chat), "llamacpp_model": stack.chat.name}
    return {**config, "mimir": {**mimir.variables(stack)}}
