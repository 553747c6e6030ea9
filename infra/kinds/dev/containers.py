"""The containers of a dev stack as a neutral list, from which the program and compose.yaml are made as twins. Pure.

What one of the twins was tried with holds for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.core.addresses import local_url
from infra.core.settings import POLISH_PORT
from infra.kinds.dev import native
from infra.kinds.dev.spec import Chat, DevStack, Embeddings, Service

EMBEDDINGS = "llama-server"
"""The embeddings container, and its name in the network; Mimir's compose file has the same service."""
CHAT = "llama-chat"
POLISH = "polish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container: its health check and its user come from the image, its root file system is read-only."""

    name: str
    """Its name in the network."""
    image: str
    environment: Mapping[str, str]
    port: int
    """The port that it listens on."""
    published: int
    """The port of this machine."""
    address: str
    """The address of this machine."""
    models: str | None = None
    """How it sees the volume: `ro` or `rw`; none does not see it."""
    after: str | None = None
    """The container that must be healthy before it starts."""
    stop_seconds: int = 10
    """How long it may take to stop."""


def containers(stack: DevStack) -> tuple[Container, ...]:
    """Every container, in the order in which they start."""
    made = [_server(EMBEDDINGS, stack.embeddings, stack.images.server)]
    if stack.chat is not None:
        made.append(_server(CHAT, stack.chat, stack.images.server))
        if stack.service is not None and stack.images.polish is not None:
            made.append(_polish(stack.service, stack.chat, stack.images.polish))
    return tuple(made)


def _server(name: str, server: Embeddings | Chat, image: str) -> Container:
    environment: dict[str, str | int | None] = {
        "MODEL": server.model,
        "MODEL_SHA256": server.sha256,
        "MODE": "chat",
        "CONTEXT": server.context,
        "LLAMA_ARG_N_PARALLEL": server.parallel,
    }
    if isinstance(server, Embeddings):
        # a model that gives other vectors than clients were promised does not start
        environment |= {"MODE": "embeddings", "POOLING": server.pooling, "DIMENSIONS": server.length}
        environment["TRUNCATE"] = "true"  # as Ollama's own /v1 does: Mimir leaves out of its index what is refused
    return Container(
        name=name,
        image=image,
        environment={name: str(value) for name, value in environment.items() if value is not None},
        port=native.PORT,
        published=server.port,
        address=server.address,
        models="rw" if server.downloaded else "ro",
    )


def _polish(service: Service, chat: Chat, image: str) -> Container:
    return Container(
        name=POLISH,
        image=image,
        environment={
            "POLLEX_LLAMACPP_URL": f"http://{CHAT}:{native.PORT}",
            "POLLEX_LLAMACPP_MODEL": chat.name,
            "POLLEX_PROMPT_PATH": service.prompt,
            "POLLEX_SLOTS": str(chat.parallel),
        },
        port=POLISH_PORT,
        published=service.port,
        address=service.address,
        after=CHAT,
        # it finishes what runs, for which its own limit is a minute
        stop_seconds=65,
    )


def url(part: Embeddings | Chat | Service) -> str:
    """Where this machine reaches a published port."""
    return local_url(part.address, part.port)
