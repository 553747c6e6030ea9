"""What is declared: typed, described values, checked once and all together.

`parse` turns the plain values of a stack file into a `HostStack`, or raises one `ConfigError` that lists every problem.
The descriptions below are also the remedies in that report and the text of docs/reference/config.md.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

NAMESPACE = "pollex"
REFERENCE = "docs/reference/config.md"


def _one_line(text: str) -> str:
    if not text or any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):  # noqa: PLR2004 - ASCII
        raise ValueError("must be one line without control characters")
    return text


def _absolute(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
        raise ValueError("must be an absolute path without empty, . or .. parts")
    return path


def _web_address(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme not in {"https", "http", "file"} or not separator or not rest.strip("/") or " " in url:
        raise ValueError("must be an http, https or file URL without spaces")
    return url


Line = Annotated[str, AfterValidator(_one_line)]
Path = Annotated[Line, AfterValidator(_absolute)]
Url = Annotated[Line, AfterValidator(_web_address)]
Hex40 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
PublicKey = Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$")]


class Value(BaseModel):
    """A frozen group of settings; the stack file spells its names in camelCase."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)


class Jump(Value):
    """The machine in between, when the host is not reachable directly."""

    address: Annotated[Line, Field(description="name or address of the jump host")]
    port: Annotated[Port, Field(description="its SSH port")] = 22
    user: Annotated[UserName, Field(description="the login there")]
    host_key: Annotated[
        PublicKey, Field(description="its public host key, as `ssh-keyscan -t ed25519 ADDRESS` prints it")
    ]


class Host(Value):
    """The machine that serves, and how to log in to it."""

    address: Annotated[Line, Field(description="name or address of the host, such as jetson.local")]
    port: Annotated[Port, Field(description="its SSH port")] = 22
    user: Annotated[UserName, Field(description="the login; it needs sudo without a password unless it is root")]
    host_key: Annotated[
        PublicKey | None,
        Field(description="the host's public key, `ssh-ed25519 AAAA…`, from `ssh-keyscan -t ed25519 ADDRESS`"),
    ] = None
    host_key_file: Annotated[
        Line | None, Field(description="a file that holds the host's public key; used where hostKey is not set")
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

    @model_validator(mode="after")
    def _needs_a_host_key(self) -> Self:
        if self.host_key is None and self.host_key_file is None:
            raise ValueError("hostKey|missing|pin the host's public key: `ssh-keyscan -t ed25519 ADDRESS` prints it")
        if self.user != "root" and not self.sudo:
            raise ValueError("sudo|false|only root can do without it: set it to true, or user to root")
        return self


class Source(Value):
    """A source tree named by its content; mirrors only say where to look."""

    commit: Annotated[
        Hex40, Field(description="the full commit, shown to people and baked into build-info: 40 hex digits")
    ]
    tree: Annotated[
        Hex40,
        Field(
            description="git tree hash that every mirror must reproduce (`git rev-parse COMMIT^{tree}`): 40 hex digits"
        ),
    ]
    tag: Annotated[
        str, StringConstraints(pattern=r"^b[0-9]+$"), Field(description="upstream's tag of that commit, such as b5050")
    ]
    mirrors: Annotated[
        tuple[Line, ...],
        Field(
            min_length=1,
            description="where to look, in order: `git URL` or `bundle URL`; the first that yields `tree` wins",
        ),
    ]

    @property
    def number(self) -> int:
        """Upstream's build number, which is the tag's."""
        return int(self.tag[1:])

    @model_validator(mode="after")
    def _mirrors_say_their_kind(self) -> Self:
        for position, mirror in enumerate(self.mirrors):
            kind, _, url = mirror.partition(" ")
            if kind not in {"git", "bundle"} or not url or " " in url:
                raise ValueError(f"mirrors.{position}|{mirror}|is neither `git URL` nor `bundle URL`")
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
        if isinstance(self.jobs, int) and self.jobs < 1:
            raise ValueError(f"jobs|{self.jobs}|is not a number of jobs: at least 1, or auto")
        broken = [flag for flag in self.flags if not flag.startswith("-")]
        if broken:
            raise ValueError(f"flags|{broken[0]}|is not a CMake argument: it must start with -")
        return self


class Model(Value):
    """One GGUF file, named by its hash."""

    name: Annotated[Line, Field(description="the name that clients see, such as qwen2.5:1.5b-gpu")]
    path: Annotated[Path, Field(description="where the file appears on the host, such as /opt/llama-models/NAME.gguf")]
    size: Annotated[int, Field(ge=1, description="the file's size in bytes")]
    sha256: Annotated[Hex64, Field(description="the file's SHA-256, 64 hex digits")]
    revision: Annotated[
        Line | None, Field(description="the publisher's revision that `url` names; for people, the hash decides")
    ] = None
    url: Annotated[Url, Field(description="where the publisher has it")]
    mirrors: Annotated[tuple[Url, ...], Field(description="further places, asked in order after `url`")] = ()

    @property
    def file(self) -> str:
        """The file's name without its folder."""
        return self.path.rpartition("/")[2]


class LlamaServer(Value):
    """The running llama-server: its unit and its command line."""

    user: Annotated[UserName, Field(description="the account that the unit runs as; it must exist on the host")]
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
    extra_args: Annotated[tuple[Line, ...], Field(description="further llama-server arguments, one an item")] = ()
    restart: Annotated[Literal["on-failure", "always", "no"], Field(description="systemd's Restart=")] = "on-failure"
    restart_sec: Annotated[int, Field(ge=0, description="systemd's RestartSec=, seconds")] = 5
    ready_seconds: Annotated[
        int, Field(ge=5, description="how long it may take from start to the first completion before it is taken back")
    ] = 300


class HostStack(Value):
    """Everything that a stack of kind `host` declares."""

    kind: Annotated[Literal["host"], Field(description="what this stack declares: host")]
    host: Annotated[Host, Field(description="the machine that serves, and how to log in to it")]
    private_key: Annotated[
        SecretStr | None,
        Field(description="a private key itself, where no file can be named: `pulumi config set --secret privateKey`"),
    ] = None
    private_key_password: Annotated[
        SecretStr | None, Field(description="the password of the private key (secret), if it has one")
    ] = None
    source: Annotated[Source, Field(description="the llama.cpp source by identity, and its mirrors")]
    build: Annotated[Build, Field(description="how llama-server is compiled")]
    model: Annotated[Model, Field(description="the GGUF file that is served")]
    server: Annotated[LlamaServer, Field(description="the llama-server unit")]
    substituters: Annotated[
        tuple[Url, ...],
        Field(description="HTTP servers asked for a finished build before compiling; trusted by being named here"),
    ] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a stack file."""

    key: str
    """Full key, such as `pollex:host.port`."""
    value: str
    """What stands there, or `missing`."""
    remedy: str
    """What would be right."""


class ConfigError(Exception):
    """All problems of a stack file, in one report."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__(self.report())

    def report(self) -> str:
        """The report as shown: one line a problem, columns aligned."""
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        keys = max(len(problem.key) for problem in self.problems)
        values = max(len(problem.value) for problem in self.problems)
        lines = [f"  {p.key:<{keys}}  {p.value:<{values}}  {p.remedy}" for p in self.problems]
        return "\n".join([f"{self.file} has {count}", *lines, f"every setting: {REFERENCE} · nothing was contacted"])


def parse(raw: Mapping[str, object], *, file: str) -> HostStack:
    """The declared stack, from plain values keyed without the namespace.

    Args:
        raw: the stack file's values, such as `{"kind": "host", "host": {…}}`; lists are lists, secrets are strings.
        file: the stack file's path, for the report.

    Raises:
        ConfigError: something is missing, unknown or wrong; all of it is in the report.
    """
    try:
        return HostStack.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors()]
    raise ConfigError(file, problems)


def _problem(details: ErrorDetails) -> Problem:
    location = [str(part) for part in details["loc"]]
    if details["type"] == "value_error" and "|" in details["msg"]:
        name, value, remedy = details["msg"].removeprefix("Value error, ").split("|", 2)
        return Problem(_key([*location, name]), value, remedy)
    names, field = _walk(location)
    if details["type"] == "extra_forbidden":
        return Problem(_key(location), _shown(location, details["input"]), _unknown(location[-1], names))
    if details["type"] == "missing":
        return Problem(_key(location), "missing", field)
    wrong = _WRONG.get(details["type"]) or details["msg"].removeprefix("Value error, ").replace(
        "Input should", "should"
    )
    return Problem(_key(location), _shown(location, details["input"]), f"{wrong}: {field}" if field else wrong)


_WRONG = {
    "string_pattern_mismatch": "is not of the right form",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "bool_type": "is neither true nor false",
    "string_type": "is not a text",
    "tuple_type": "is not a list",
    "model_type": "is not a group of settings",
    "model_attributes_type": "is not a group of settings",
}
"""Pydantic's error types in words that fit into the report; every other message stands as pydantic words it."""


def _key(location: Sequence[str]) -> str:
    first, *rest = location
    return ".".join([f"{NAMESPACE}:{first}", *rest])


def _shown(location: Sequence[str], value: object) -> str:
    if location[0].startswith("privateKey"):
        return "***"
    text = json.dumps(value, ensure_ascii=False)
    limit = 48
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"is not a setting; did you mean {near[0]}?" if near else f"is not a setting; there are: {', '.join(known)}"


def _walk(location: Sequence[str]) -> tuple[list[str], str]:
    """The names that the innermost group of `location` knows, and the description of the setting it ends at."""
    group: type[BaseModel] = HostStack
    description = ""
    for part in location:
        fields = {field.alias or name: field for name, field in group.model_fields.items()}
        field = fields.get(part)
        if field is None:
            continue
        description = field.description or ""
        group = group_of(field.annotation) or group
    return [field.alias or name for name, field in group.model_fields.items()], description


def group_of(annotation: Any) -> type[BaseModel] | None:
    """The group of settings that a field's annotation holds, if it is one."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
