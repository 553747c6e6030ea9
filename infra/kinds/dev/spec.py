"""What a stack of kind `dev` declares: the containers of a developer's own machine, and their rendered twins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from infra.core.settings import MISSING, POLISH_PORT, Hex64, Line, Path, Port, Refusal, Value, refuse

DIMENSIONS = {
    "all-minilm": 384,
    "bge-large": 1024,
    "bge-m3": 1024,
    "embeddinggemma": 768,
    "mxbai-embed-large": 1024,
    "nomic-embed-text": 768,
    "nomic-embed-text-v2-moe": 768,
    "paraphrase-multilingual": 768,
    "snowflake-arctic-embed2": 1024,
}
"""The length of a vector, for embedding models of Ollama's library; image/entrypoint/known.go says from where."""


def dimensions(name: str) -> int | None:
    """The length of a model's vectors, if it is known by its name.

    As in the image, `mxbai-embed-large` is also mixedbread/mxbai-embed-large:335m and mxbai-embed-large-v1.Q8_0.
    """
    words = re.split(r"([-_.:])", name.lower().rpartition("/")[2])
    starts = ("".join(words[:end]) for end in range(len(words), 0, -2))
    return next((DIMENSIONS[start] for start in starts if start in DIMENSIONS), None)


def _model(name: str) -> str:
    if "://" in name:
        # what RFC 3986 has in a URL, and a last part that can be the model's name
        if not re.fullmatch(r"https?://[\w.:\[\]-]+/([\w.~:/@!$&'()*+,;=%-]*/)?[\w.+-]+(\?[^#\s\"]*)?", name, re.ASCII):
            raise ValueError("is not an http or https URL of a file")
    elif not re.fullmatch(r"[A-Za-z0-9/][\w./-]*(:[\w.-]+)?", name, re.ASCII) or ".." in name.split("/"):
        raise ValueError("is neither name:tag of an Ollama store, nor a GGUF file, nor a URL")
    return name


def _image(reference: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+([._:/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?", reference):
        raise ValueError("is not an image's reference")
    return reference


def _place(name: str) -> str:
    if not re.fullmatch(r"(\.{1,2}|~)?/[^\0:]*|[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}", name):
        raise ValueError("is neither a volume's name nor a folder that begins with /, ./, ../ or ~/")
    return name


Model = Annotated[Line, AfterValidator(_model)]
Image = Annotated[Line, AfterValidator(_image)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$")]
Address = Annotated[Line, Field(description="the address of this machine that its port is published on")]


class Images(Value):
    """The two images that the containers run."""

    server: Annotated[
        Image,
        Field(description="llama-server: repository:tag or repository@sha256:…, the image stack's output `reference`"),
    ]
    polish: Annotated[
        Image | None,
        Field(description="the polish service, made by `make polish-image`; needed where `service` is"),
    ] = None


class Served(Value):
    """A llama-server container with its one model."""

    model: Annotated[
        Model,
        Field(description="name:tag of the Ollama store in the volume, a GGUF file there, or a URL with sha256"),
    ]
    sha256: Annotated[
        Hex64 | None,
        Field(description="the SHA-256 that the model's file must have, 64 hex digits; a download needs it"),
    ] = None
    context: Annotated[
        int | None,
        Field(ge=128, description="tokens of one request; null: what the model was made for"),
    ] = None
    parallel: Annotated[int, Field(ge=1, le=64, description="requests served at once, each with its own context")] = 1
    address: Address = "127.0.0.1"

    @property
    def downloaded(self) -> bool:
        """Whether the container fetches its model."""
        return "://" in self.model

    @property
    def name(self) -> str:
        """The model as clients call it: a file is called by its name without folder and ending, as by the image."""
        is_file = self.downloaded or self.model.endswith(".gguf")
        return self.model.partition("?")[0].rpartition("/")[2].removesuffix(".gguf") if is_file else self.model

    @model_validator(mode="after")
    def _a_download_is_pinned(self) -> Self:
        if self.downloaded and self.sha256 is None:
            refuse([Refusal(("sha256",), MISSING, "a model that is downloaded is named by its SHA-256, 64 hex digits")])
        return self


class Embeddings(Served):
    """The server of /v1/embeddings, which is what Mimir asks."""

    port: Annotated[Port, Field(description="the port it is published on; 11434 is Ollama's")] = 11434
    pooling: Annotated[
        Literal["mean", "cls", "last"] | None,
        Field(description="null: as the model wants it; a wrong one gives plausible vectors that mean nothing"),
    ] = None
    dimensions: Annotated[
        int | None, Field(ge=1, description="numbers in a vector; null for a model that is known by its name")
    ] = None

    @property
    def length(self) -> int:
        """Numbers in a vector."""
        found = self.dimensions if self.dimensions is not None else dimensions(self.name)
        if found is None:
            raise ValueError(f"the dimensions of {self.name} are not known")  # which _dimensions_are_known refused
        return found

    @model_validator(mode="after")
    def _dimensions_are_known(self) -> Self:
        if self.dimensions is None and dimensions(self.name) is None:
            names = ", ".join(DIMENSIONS)
            refuse([Refusal(("dimensions",), MISSING, f"numbers in a vector of that model; known are: {names}")])
        return self


class Chat(Served):
    """The server of /v1/chat/completions, which is what the polish service asks."""

    port: Annotated[Port, Field(description="the port it is published on")] = 8080


class Service(Value):
    """The polish service in front of the chat server."""

    port: Annotated[Port, Field(description="the port of its page and its API")] = POLISH_PORT
    address: Address = "127.0.0.1"
    prompt: Annotated[
        Literal["polish", "polish-small"], Field(description="the prompt; polish-small is for models below 1B")
    ] = "polish"


class Multiplexer(Value):
    """A configuration of llama-swap, which starts the model that is asked for."""

    models: Annotated[tuple[Model, ...], Field(min_length=1, description="models of the volume, by name")]
    idle_seconds: Annotated[int, Field(ge=0, description="unload a model after so many idle seconds; 0: never")] = 600
    start_port: Annotated[Port, Field(description="the first of the ports that its servers get")] = 5800

    @model_validator(mode="after")
    def _only_what_is_there(self) -> Self:
        refuse(
            Refusal(("models", str(position)), model, "is not in the volume; download it first")
            for position, model in enumerate(self.models)
            if "://" in model
        )
        return self


class Metal(Value):
    """A llama-server of macOS itself in place of the embeddings container, because no container sees the GPU there."""

    llama_server: Annotated[Path, Field(description="the binary")] = "/opt/homebrew/bin/llama-server"
    model: Annotated[Path, Field(description="the GGUF file; `pollex models find --link` gives Ollama's blobs names")]
    log: Annotated[Path, Field(description="the log file, such as /Users/you/Library/Logs/llama-server.log")]


class Mimir(Value):
    """The overlay of Mimir's compose files."""

    models: Annotated[
        Annotated[Line, AfterValidator(_place)] | None,
        Field(
            description="where Mimir's container finds models: a folder, such as ~/.ollama, or a volume of its "
            "project; null: the folder ./ollama_models beside its files, and for a download the volume ollama_models"
        ),
    ] = None


class DevStack(Value):
    """Everything that a stack of kind `dev` declares."""

    kind: Annotated[Literal["dev"], Field(description="what this stack declares: dev")]
    engine: Annotated[Line, Field(description="the Docker engine; DOCKER_HOST is not asked")] = (
        "unix:///var/run/docker.sock"
    )
    images: Annotated[Images, Field(description="the images that the containers run")]
    volume: Annotated[
        Name, Field(description="the volume with the models: an Ollama store, GGUF files, or downloads")
    ] = "ollama_models"
    network: Annotated[Name, Field(description="the network in which the containers find each other by name")] = (
        "pollex"
    )
    foreign: Annotated[
        tuple[Literal["volume", "network"], ...],
        Field(description="what of these belongs to somebody else, such as Mimir's compose project, and must exist"),
    ] = ()
    embeddings: Annotated[Embeddings, Field(description="the server of /v1/embeddings")]
    chat: Annotated[Chat | None, Field(description="the server of /v1/chat/completions; null: none")] = None
    service: Annotated[Service | None, Field(description="the polish service; null: none")] = None
    multiplexer: Annotated[Multiplexer | None, Field(description="a configuration of llama-swap; null: none")] = None
    metal: Annotated[Metal | None, Field(description="a launchd job for macOS; null: none")] = None
    mimir: Annotated[Mimir, Field(description="the overlay of Mimir's compose files")] = Mimir()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse(self._misfits())
        return self

    @property
    def mimir_models(self) -> str:
        """The folder or volume that Mimir's overlay mounts."""
        if self.mimir.models is not None:
            return self.mimir.models
        # a new volume belongs to the image's user, a folder does not
        return "ollama_models" if self.embeddings.downloaded else "./ollama_models"

    @property
    def mimir_has_folder(self) -> bool:
        """Whether that is a folder, which has a slash where a volume's name has none."""
        return "/" in self.mimir_models

    def _misfits(self) -> Iterator[Refusal]:
        if self.service is not None and self.chat is None:
            yield Refusal(("chat",), MISSING, "the polish service asks it: declare it, or leave service out")
        if self.service is not None and self.images.polish is None:
            yield Refusal(("images", "polish"), MISSING, "the image of the polish service, made by `make polish-image`")
        if self.metal is not None and self.embeddings.context is None:
            yield Refusal(("embeddings", "context"), MISSING, "llama-server of macOS is not told by the image: set it")
        if self.embeddings.downloaded and self.mimir_has_folder:
            yield Refusal(("mimir", "models"), self.mimir.models, "a download needs a volume: name one, or none")
        taken: dict[int, str] = {}
        for name, part in (("embeddings", self.embeddings), ("chat", self.chat), ("service", self.service)):
            if part is not None and (other := taken.setdefault(part.port, name)) != name:
                yield Refusal((name, "port"), part.port, f"is the port of {other} too: give each its own")
