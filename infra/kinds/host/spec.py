"""What a stack of kind `host` declares: a machine, and what it serves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, SecretStr, StringConstraints, model_validator

from infra.core import hostkeys
from infra.core.masking import MASK, holds_login, secret_options
from infra.core.settings import (
    LOGIN_IN_URL,
    MISSING,
    POLISH_PORT,
    CacheUrl,
    Hex64,
    Line,
    Path,
    Port,
    PublicKey,
    Refusal,
    Shown,
    Url,
    UserName,
    Value,
    refuse,
)
from infra.core.source import Source
from infra.hosttools.pollex_host import manifest
from infra.kinds.host.boardspec import Board
from pollex import keys


def _bad_key(text: str, address: str, port: int) -> list[Refusal]:
    """Why a text holds no host key that can be pinned, if it does not."""
    try:
        hostkeys.choose(text, address, port)
    except ValueError as error:
        return [Refusal(("hostKey",), text, str(error))]
    return []


class Jump(Value):
    """The machine in between, when the host is not reachable directly."""

    address: Annotated[Line, Field(description="name or address of the jump host")]
    port: Annotated[Port, Field(description="its SSH port")] = 22
    user: Annotated[UserName, Field(description="the login there")]
    host_key: Annotated[
        PublicKey, Field(description="its public host key, as `ssh-keyscan -t ed25519 ADDRESS` prints it")
    ]

    @model_validator(mode="after")
    def _host_key_is_one(self) -> Self:
        refuse(_bad_key(self.host_key, self.address, self.port))
        return self


class Host(Value):
    """The machine that serves, and how to log in to it."""

    address: Annotated[Line, Field(description="name or address of the host, such as jetson.local")]
    port: Annotated[Port, Field(description="its SSH port")] = 22
    user: Annotated[UserName, Field(description="the login; it needs sudo without a password unless it is root")]
    host_key: Annotated[
        PublicKey | None,
        Field(
            description="the host's public key, ed25519 or ecdsa: a line `ssh-ed25519 AAAA…`, or as "
            "`ssh-keyscan -t ed25519 ADDRESS` or a `known_hosts` has it"
        ),
    ] = None
    host_key_file: Annotated[
        Line | None,
        Field(description="a file with the host's public key, such as a `known_hosts`; used where hostKey is not set"),
    ] = None
    private_key_file: Annotated[
        Line | None,
        Field(
            description="the private key to log in with, such as ~/.ssh/id_ed25519; without it the SSH agent is asked"
        ),
    ] = None
    sudo: Annotated[bool, Field(description="whether commands run through `sudo -n`; false only when user is root")] = (
        True
    )
    proxy_jump: Annotated[Jump | None, Field(description="the machine in between: address, port, user, hostKey")] = None
    architecture: Annotated[Literal["aarch64", "x86_64"], Field(description="what `uname -m` must say on the host")]
    min_disk_mb: Annotated[
        int, Field(ge=1, description="MB that must be free below /opt before anything starts: build and model together")
    ]
    min_memory_mb: Annotated[int, Field(ge=1, description="MB of RAM that the host must have")]
    takeover: Annotated[
        Line | None,
        Field(description="the stack that gives the host up to this one, as the refusal shows it: PROJECT/STACK#CLAIM"),
    ] = None

    @model_validator(mode="after")
    def _needs_a_host_key(self) -> Self:
        refusals = [] if self.host_key is None else _bad_key(self.host_key, self.address, self.port)
        if self.host_key is None and self.host_key_file is None:
            pin = "pin the host's public key: `ssh-keyscan -t ed25519 ADDRESS` prints it"
            refusals.append(Refusal(("hostKey",), MISSING, pin))
        if self.user != "root" and not self.sudo:
            refusals.append(
                Refusal(("sudo",), self.sudo, "only root can do without it: set it to true, or user to root")
            )
        refuse(refusals)
        return self


class Build(Value):
    """How llama-server is compiled on the host."""

    profile: Annotated[
        Literal["cuda10", "cpu"],
        Field(description="cuda10 for the Jetson Nano (CUDA 10.2), cpu for everything else; chooses patches and flags"),
    ]
    flags: Annotated[
        tuple[Line, ...], Field(description="CMake arguments after the profile's own, such as -DGGML_AVX2=ON")
    ] = ()
    jobs: Annotated[
        int | Literal["auto"], Field(description="parallel compilers, or auto: as many as cores and free memory allow")
    ] = "auto"
    packages: Annotated[
        tuple[Line, ...] | None,
        Field(description="apt packages that the build needs; null takes the profile's own list"),
    ] = None

    @model_validator(mode="after")
    def _jobs_are_positive(self) -> Self:
        refusals = [
            Refusal(("flags", str(position)), flag, "is not a CMake argument: it must start with -")
            for position, flag in enumerate(self.flags)
            if not flag.startswith("-")
        ]
        if isinstance(self.jobs, int) and self.jobs < 1:
            refusals.append(Refusal(("jobs",), self.jobs, "is not a number of jobs: at least 1, or auto"))
        refuse(refusals)
        return self


Quant = Literal["F16", "Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "Q5_K", "Q4_K"]
"""How llama-quantize can store one tensor."""


class GgufFile(Value):
    """A GGUF file, named by its hash."""

    size: Annotated[int, Field(ge=1, description="the file's size in bytes")]
    sha256: Annotated[Hex64, Field(description="the file's SHA-256, 64 hex digits")]
    revision: Annotated[
        Line | None, Field(description="the publisher's revision that `url` names; for people, the hash decides")
    ] = None
    url: Annotated[Url, Field(description="where the publisher has it")]
    mirrors: Annotated[tuple[Url, ...], Field(description="further places, asked in order after `url`")] = ()


class Quantise(Value):
    """A model that the host makes with llama-quantize of the same commit, and serves in the other's place."""

    type: Annotated[
        Literal["Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q5_K_M", "Q5_K_S", "Q4_1", "Q4_0", "Q4_K_M", "Q4_K_S"],
        Field(description="llama-quantize's type of the whole: how the layers are stored"),
    ]
    output: Annotated[Quant, Field(description="how the output matrix is stored")] = "Q8_0"
    embedding: Annotated[
        Quant, Field(description="how the token embedding is stored; a model without an output matrix uses it as one")
    ] = "Q8_0"
    requantise: Annotated[
        bool,
        Field(description="whether the source may be quantised itself; from below Q8_0, quality is lost twice"),
    ] = False


class Shape(Value):
    """What a GGUF file's header says that decides how much memory it takes, before the file is there."""

    layers: Annotated[int, Field(ge=1, description="`block_count` in the file's header")]
    heads: Annotated[int, Field(ge=1, description="`attention.head_count`")]
    kv_heads: Annotated[int, Field(ge=1, description="`attention.head_count_kv`")]
    embedding: Annotated[int, Field(ge=1, description="`embedding_length`")]
    vocabulary: Annotated[int, Field(ge=1, description="how many tokens there are (`tokenizer.ggml.tokens`)")]
    key_length: Annotated[
        int | None, Field(ge=1, description="`attention.key_length`, where the header has it; else embedding/heads")
    ] = None
    value_length: Annotated[int | None, Field(ge=1, description="`attention.value_length`, as that")] = None


class Model(GgufFile):
    """The model that is served: a GGUF file."""

    name: Annotated[Line, Field(description="the name that clients see, such as qwen2.5:1.5b-gpu")]
    path: Annotated[Path, Field(description="where the file appears on the host, such as /opt/llama-models/NAME.gguf")]
    source: Annotated[
        GgufFile | None,
        Field(description="the file that `quantise` starts from; null: from the file above. Not fetched without it"),
    ] = None
    quantise: Annotated[
        Quantise | None,
        Field(description="what the host makes of the source and serves instead; null: the file above as it is"),
    ] = None
    shape: Annotated[
        Shape | None,
        Field(description="of its header, so that a context that cannot fit is refused before the build; or null"),
    ] = None

    @model_validator(mode="after")
    def _is_not_hidden(self) -> Self:
        remedy = "llama-server's unit sees no home directory: choose another folder, such as /opt/llama-models"
        hidden = self.path.startswith(("/home/", "/root/", "/run/user/"))
        refuse([Refusal(("path",), self.path, remedy)] if hidden else [])
        return self

    @property
    def origin(self) -> GgufFile:
        """The file that is downloaded, whether to be served or to be quantised."""
        return self if self.quantise is None or self.source is None else self.source

    @property
    def origin_file(self) -> str:
        """Its name without a folder."""
        return self.path.rpartition("/")[2] if self.origin is self else _file_name(self.origin.url)

    @property
    def file(self) -> str:
        """The name of the file that is served; of a quantised one it says from what and to what."""
        if self.quantise is None:
            return self.origin_file
        made = self.quantise
        return f"{self.origin_file.removesuffix('.gguf')}.to-{made.type}-{made.output}-{made.embedding}.gguf"

    @property
    def served(self) -> str:
        """The visible path of the file that is served."""
        return f"{self.path.rpartition('/')[0]}/{self.file}"


def _file_name(url: str) -> str:
    """The last part of a URL's path, in characters that a host's store takes."""
    return re.sub(r"[^A-Za-z0-9._@-]", "_", urlsplit(url).path.rpartition("/")[2]).lstrip(".") or "model.gguf"


class LlamaServer(Value):
    """The running llama-server: its unit and its command line."""

    user: Annotated[
        UserName | None,
        Field(
            description="the account that the unit runs as, which must exist; null: one that systemd makes for as long "
            "as it runs"
        ),
    ] = None
    devices: Annotated[
        tuple[Path, ...] | None,
        Field(
            description="nodes below /dev that it may open; null takes the profile's own: those of a Tegra's GPU for "
            "cuda10, none for cpu"
        ),
    ] = None
    host: Annotated[Line, Field(description="the address it listens on; 127.0.0.1 keeps it on the board")] = "127.0.0.1"
    port: Annotated[Port, Field(description="the port it listens on")] = 8080
    gpu_layers: Annotated[int, Field(ge=0, description="-ngl: layers on the GPU; 999 means all of them")] = 0
    context: Annotated[int, Field(ge=128, description="-c: tokens of context, shared by all slots")] = 2048
    threads: Annotated[int, Field(ge=1, description="-t: CPU threads")]
    slots: Annotated[int, Field(ge=1, description="-np: requests served at once; each gets context/slots tokens")] = 1
    context_shift: Annotated[
        bool,
        Field(
            description="false adds --no-context-shift: a full context is an error instead of a silently lost beginning"
        ),
    ] = False
    slots_endpoint: Annotated[
        bool,
        Field(
            description="true adds --slots: /slots shows what is being served, prompts included, to all who reach it"
        ),
    ] = False
    batch: Annotated[
        int | None, Field(ge=1, description="-b: tokens of a prompt at once; null leaves it to llama-server (2048)")
    ] = None
    micro_batch: Annotated[
        int | None,
        Field(ge=1, description="-ub: of those, how many are computed at once; null leaves it to llama-server (512)"),
    ] = None
    mlock: Annotated[
        bool, Field(description="true adds --mlock and LimitMEMLOCK=infinity: the model is never swapped out")
    ] = False
    unified_memory: Annotated[
        bool,
        Field(
            description="true sets GGML_CUDA_ENABLE_UNIFIED_MEMORY=1: CUDA takes memory that is swapped where there is "
            "too little, instead of ending"
        ),
    ] = False
    oom_score_adjust: Annotated[
        int | None,
        Field(
            ge=-1000, le=1000, description="systemd's OOMScoreAdjust=: below 0, others are ended first; null leaves it"
        ),
    ] = None
    extra_args: Annotated[tuple[Line, ...], Field(description="further llama-server arguments, one an item")] = ()
    tune: Annotated[
        Literal["adopt"] | None,
        Field(description="adopt: what `pollex-host tune` found to be fastest on the host wins over the settings here"),
    ] = None
    restart: Annotated[Literal["on-failure", "always", "no"], Field(description="systemd's Restart=")] = "on-failure"
    restart_sec: Annotated[int, Field(ge=0, description="systemd's RestartSec=, seconds")] = 5
    ready_seconds: Annotated[
        int, Field(ge=5, description="how long it may take from start to the first completion before it is taken back")
    ] = 300

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        batch = 2048 if self.batch is None else self.batch
        if self.micro_batch is not None and self.micro_batch > batch:
            refuse([Refusal(("microBatch",), self.micro_batch, f"is a part of pollex:server.batch, which is {batch}")])
        return self

    @model_validator(mode="after")
    def _no_secret_in_a_command_line(self) -> Self:
        remedy = "gives a secret to everybody who runs `ps` on the host: name a file instead, as with --api-key-file"
        refuse(
            Refusal(("extraArgs", str(position)), self.extra_args[position], remedy)
            for position in secret_options(self.extra_args)
        )
        return self


class Interpreter(Value):
    """The Python that runs the polish service."""

    version: Annotated[
        str,
        StringConstraints(pattern=r"^3\.(1[1-9]|[2-9][0-9])$"),
        Field(description="its version, such as 3.12; without `url` the host's own pythonX.Y of that version is used"),
    ]
    url: Annotated[
        Url | None,
        Field(description="a standalone build (`install_only`) to bring along, for a host whose own Python is too old"),
    ] = None
    sha256: Annotated[Hex64 | None, Field(description="the SHA-256 of what `url` names, 64 hex digits")] = None
    mirrors: Annotated[tuple[Url, ...], Field(description="further places, asked in order after `url`")] = ()

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if (self.url is None) != (self.sha256 is None):
            missing = "sha256" if self.sha256 is None else "url"
            refuse([Refusal((missing,), MISSING, "a standalone build is named by url and sha256 together")])
        return self


ModeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""As the service wants the names of its modes."""


class Polish(Value):
    """The polish service in front of llama-server: its unit and its settings."""

    port: Annotated[Port, Field(description="the port of its page and its API")] = POLISH_PORT
    host: Annotated[Line, Field(description="the address it listens on; 127.0.0.1 keeps it on the board")] = "0.0.0.0"  # noqa: S104 - phones and laptops are its users
    user: Annotated[
        UserName | None,
        Field(description="the account that the unit runs as; null: one that systemd makes for as long as it runs"),
    ] = None
    python: Annotated[
        Interpreter, Field(description="the Python that runs it: version, and url and sha256 if it is brought along")
    ]
    prompt: Annotated[
        Line,
        Field(description="`polish`, `polish-small` (for models below 1B), or a text file below the project's folder"),
    ] = "polish"
    modes: Annotated[
        dict[ModeName, Line],
        Field(
            default_factory=dict,
            description="modes of your own: name and text file below the project's folder with what the model is told, "
            "or the name of a shipped prompt; one with the name of a shipped mode takes its place",
        ),
    ]
    memory_mb: Annotated[int, Field(ge=64, description="systemd's MemoryMax=, MB")] = 256
    tasks: Annotated[int, Field(ge=16, description="systemd's TasksMax=")] = 64
    ready_seconds: Annotated[
        int, Field(ge=5, description="how long it may take from start to ready before it is taken back")
    ] = 120
    settings: Annotated[
        dict[str, JsonValue],
        Field(
            default_factory=dict,
            description="further settings of the service, spelt as in docs/reference/service.md, such as rate_limit",
        ),
    ]
    api_key: Annotated[
        SecretStr | None,
        Field(description="the key that clients must send: `pulumi config set --secret --path polish.apiKey`"),
    ] = None
    api_keys: Annotated[
        dict[
            Annotated[str, StringConstraints(pattern=keys.NAME)], Annotated[str, StringConstraints(pattern=keys.HASH)]
        ],
        Field(
            default_factory=dict,
            description="keys of people: name and `sha256:…`, as `pollex key new NAME` makes both; taking a line out "
            "revokes its key",
        ),
    ]
    claude_api_key: Annotated[
        SecretStr | None, Field(description="a key of the Anthropic API (secret), to offer its model too")
    ] = None
    llamacpp_api_key: Annotated[
        SecretStr | None,
        Field(description="the key that the server in `server` wants (secret), where something in front asks for one"),
    ] = None

    @model_validator(mode="after")
    def _settings_are_left_to_give(self) -> Self:
        given = [
            Refusal(("settings", name), self.settings[name], f"is set by pollex:{setting}")
            for name, setting in _GIVEN.items()
            if name in self.settings
        ]
        logins = [
            Refusal(("settings", name), value, LOGIN_IN_URL)
            for name, value in self.settings.items()
            if name not in _GIVEN and holds_login(json.dumps(value))
        ]
        refuse([*given, *logins])
        return self


_GIVEN = {
    "host": "polish.host",
    "port": "polish.port",
    "prompt_path": "polish.prompt",
    "modes": "polish.modes",
    "api_key": "polish.apiKey",
    "api_keys": "polish.apiKeys",
    "claude_api_key": "polish.claudeApiKey",
    "llamacpp_api_key": "polish.llamacppApiKey",
    "llamacpp_url": "server",
    "llamacpp_model": "model.name",
    "slots": "server.slots",
}
"""Settings of the service that have one other place, and where that is."""


CacheKey = Annotated[str, StringConstraints(pattern=f"^{manifest.PUBLIC_KEY.pattern}$")]

PrivateKey = Annotated[
    SecretStr | None,
    Field(description="a private key itself, where no file can be named: `pulumi config set --secret privateKey`"),
]
PrivateKeyPassword = Annotated[
    SecretStr | None, Field(description="the password of the private key (secret), if it has one")
]
CachePrivateKey = Annotated[
    SecretStr | None,
    Field(
        description="what finished builds are signed with (secret): ECDSA on P-256, PEM; "
        "`make cache-key STACK=…` makes it, or takes yours, and prints its public half"
    ),
]


def _publish(where: str) -> str:
    if "://" in where and not where.startswith(("http://", "https://")):
        # what it would be taken for is a folder of that name
        raise ValueError("is neither a folder nor an http(s) address; oras brings a folder to a registry")
    return where


Publish = Annotated[
    Annotated[Line, AfterValidator(_publish)] | None,
    Field(
        description="where what a host has made is kept for others, signed: a folder here, or an http(s) address that "
        "takes PUT. What lies there is brought to hosts that need it, through their own logins"
    ),
]


class Substituter(Value):
    """A cache of what others have made, and whose signature is believed there."""

    url: Annotated[
        CacheUrl,
        Field(
            description="its address as hosts reach it: http, https, file for a folder of theirs, or "
            "oci://REGISTRY/REPOSITORY for a repository that anybody may read"
        ),
    ]
    public_key: Annotated[
        CacheKey,
        Field(description="who must have signed what it has: ECDSA on P-256, in Base64, as `make cache-key` prints it"),
    ]


Substituters = Annotated[
    tuple[Substituter, ...],
    Field(
        description="caches asked for a finished build before compiling, in order: `{url: …, publicKey: …}` each. "
        "What the key's owner has not signed is not taken"
    ),
]


def told(substituters: Sequence[Substituter]) -> tuple[manifest.Substituter, ...]:
    """Substituters as hosts are told of them."""
    return tuple(manifest.Substituter(one.url, one.public_key) for one in substituters)


def _bad_cache_key(key: SecretStr | None) -> Iterator[Refusal]:
    """Why nothing can be signed with a key, if there is one and nothing can.

    That there is none is said when something is to be signed: who only looks at a stack file reads no secrets.
    """
    if key is None:
        return
    from infra.core import signing  # noqa: PLC0415 - cryptography costs a tenth of the program's start

    try:
        signing.public_key(key.get_secret_value())
    except signing.KeyRefusedError as error:
        yield Refusal(("cachePrivateKey",), Shown(MASK), str(error))


class HostStack(Value):
    """Everything that a stack of kind `host` declares."""

    kind: Annotated[Literal["host"], Field(description="what this stack declares: host")]
    host: Annotated[Host, Field(description="the machine that serves, and how to log in to it")]
    private_key: PrivateKey = None
    private_key_password: PrivateKeyPassword = None
    source: Annotated[Source, Field(description="the llama.cpp source by identity, and its mirrors")]
    build: Annotated[Build, Field(description="how llama-server is compiled")]
    model: Annotated[Model, Field(description="the GGUF file that is served")]
    server: Annotated[LlamaServer, Field(description="the llama-server unit")]
    board: Annotated[
        Board | None, Field(description="what is set of the board itself; null: nothing, all is left as it is")
    ] = None
    polish: Annotated[
        Polish | None, Field(description="the polish service in front of llama-server; null: llama-server alone")
    ] = None
    substituters: Substituters = ()
    publish: Publish = None
    cache_private_key: CachePrivateKey = None

    @model_validator(mode="after")
    def _cache_key_is_one(self) -> Self:
        refuse(_bad_cache_key(self.cache_private_key))
        return self
