"""The containers of a dev stack as a neutral list, and everything that is rendered from it. Pure.

The Pulumi program (infra/kinds/dev/component.py) and compose.yaml are twins made from the same list, so that what one
of them was tried with holds for the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.core import yamltext
from infra.core.settings import POLISH_PORT
from infra.kinds.dev import native
from infra.kinds.dev.spec import Chat, DevStack, Embeddings, Service

EMBEDDINGS = "llama-server"
"""The embeddings container, and its name in the network; Mimir's compose file has the same service."""
CHAT = "llama-chat"
POLISH = "polish"

HEALTH = ("/entrypoint", "health")
"""The health check of llama-server's image, where another one has to be replaced: there is no shell in it."""

COMPOSE = "compose.yaml"
MIMIR_COMPOSE = "mimir.compose.yaml"
MIMIR_ENV = "mimir.env"
MIMIR_METAL_ENV = "mimir.metal.env"
LLAMA_SWAP = "llama-swap.yaml"


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


def compose(stack: DevStack) -> str:
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
        "environment": _literal(made.environment),
        "ports": [_published(made)],
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": f"{made.stop_seconds}s",
    }
    if made.models is not None:
        service["volumes"] = [_mount("models", made)]
    if made.after is not None:
        service["depends_on"] = {made.after: {"condition": "service_healthy"}}
    return service


def _published(made: Container) -> dict[str, Any]:
    return {"host_ip": made.address, "published": str(made.published), "target": made.port}


def _mount(volume: str, made: Container) -> dict[str, Any]:
    mount = {"type": "volume", "source": volume, "target": native.MODELS}
    return {**mount, "read_only": True} if made.models == "ro" else mount


def _existing(name: str, *, foreign: bool) -> dict[str, Any]:
    return {"name": name, "external": True} if foreign else {"name": name}


def _literal(environment: Mapping[str, str]) -> dict[str, str]:
    """Values in which compose finds no variable."""
    return {name: value.replace("$", "$$") for name, value in environment.items()}


def mimir_compose(stack: DevStack) -> str:
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
        "environment": yamltext.Override(_literal(made.environment)),
        "ports": yamltext.Override([_published(made)]),
        "volumes": yamltext.Override([_mimir_models(stack, made)]),
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


def _mimir_models(stack: DevStack, made: Container) -> dict[str, Any]:
    if not stack.mimir_has_folder:
        return _mount(stack.mimir_models, made)
    # an engine that makes a missing folder leaves an empty one, which root owns
    folder = stack.mimir_models.replace("$", "$$")
    mount = {"type": "bind", "source": folder, "target": native.MODELS, "bind": {"create_host_path": False}}
    return {**mount, "read_only": True}


def mimir(stack: DevStack, url: str = f"http://{EMBEDDINGS}:{native.PORT}") -> dict[str, str]:
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


def app_config(stack: DevStack) -> dict[str, dict[str, str | int]]:
    """The stack output `appConfig`: the polish service as this machine reaches things, Mimir as the network does."""
    config: dict[str, dict[str, str | int]] = {}
    if stack.chat is not None:
        port = stack.service.port if stack.service is not None else Service().port
        config["pollex"] = {"port": port, "llamacpp_url": url(stack.chat), "llamacpp_model": stack.chat.name}
    return {**config, "mimir": {**mimir(stack)}}


def url(part: Embeddings | Chat | Service) -> str:
    """Where this machine reaches a published port."""
    everywhere = {"0.0.0.0", "::", "127.0.0.1", "::1"}  # noqa: S104 - compared, not bound
    name = "localhost" if part.address in everywhere else part.address
    return f"http://{f'[{name}]' if ':' in name else name}:{part.port}"


def files(stack: DevStack) -> dict[str, str]:
    """Every text that the stack generates, by the name of its file."""
    made = {
        COMPOSE: compose(stack),
        MIMIR_COMPOSE: mimir_compose(stack),
        MIMIR_ENV: env_file(mimir(stack)),
        "appConfig.json": json.dumps(app_config(stack), indent=2) + "\n",
    }
    if stack.multiplexer is not None:
        made[LLAMA_SWAP] = native.llama_swap(stack.multiplexer, stack.images.server, stack.volume)
    if stack.metal is not None:
        made[native.JOB_FILE] = native.launchd(stack.embeddings, stack.metal)
        made[MIMIR_METAL_ENV] = env_file(mimir(stack, f"http://host.docker.internal:{stack.embeddings.port}"))
    return made
