"""What a stack of kind `fleet` declares: boards that serve the same model, and the gateway in front of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    Field,
    JsonValue,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from infra.core import report
from infra.core.settings import Line, Port, Refusal, Shown, Value, refuse
from infra.kinds.host.spec import (
    CachePrivateKey,
    Host,
    HostStack,
    Interpreter,
    Polish,
    PrivateKey,
    PrivateKeyPassword,
    Publish,
    Substituters,
)

BoardName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
"""Names resources, HAProxy's servers and the hosts of an SSH configuration."""

GROUPS = ("host", "source", "build", "model", "server", "board")
"""What a board can override; each is a group of a stack of kind `host`."""
_OWN = {("host", "address"), ("host", "hostKey")}
"""What no two boards share, so that it is missed at the board and not among the defaults."""

GATEWAY = "gateway"
"""What the gateway's resources are called after, as a board's are after the board."""
PORTS = 100
"""TCP ports on the gateway's loopback from `gateway.port` on: HAProxy, a forward for each board, statistics."""
MOST = 64
"""Boards of one gateway: requests that the service works on at once."""

Values = dict[str, JsonValue]
_S = TypeVar("_S", bound=BaseModel)


class Tls(Value):
    """What the gateway shows who comes by https."""

    port: Annotated[Port, Field(description="of https")] = 443
    host: Annotated[
        Line,
        Field(description="the address that it listens on: 0.0.0.0 is every one of IPv4, :: of both families"),
    ] = "0.0.0.0"  # noqa: S104 - phones and laptops are its users
    certificate_file: Annotated[
        Line, Field(description="PEM: the gateway's own certificate first, then those between it and its authority")
    ]
    key_file: Annotated[Line, Field(description="PEM: its private key, without a passphrase")]


class Gateway(Value):
    """The machine in front of the boards: HAProxy on its loopback, and the polish service that people use."""

    host: Annotated[
        Values,
        Field(
            description="the machine: what differs from `pollex:host`. Debian 12 or Ubuntu 24.04 or later, and none "
            "of the boards"
        ),
    ]
    port: Annotated[
        Port, Field(le=65535 - PORTS, description=f"the first of {PORTS} ports on its loopback: HAProxy's own")
    ] = 9100
    key_file: Annotated[
        Line,
        Field(
            description="the private key (OpenSSH, no passphrase) with which it reaches the boards, and beside it "
            "FILE.pub: `ssh-keygen -t ed25519 -N '' -f FILE`. On the boards it is good for one forward alone"
        ),
    ]
    hold_seconds: Annotated[
        int, Field(ge=1, le=3600, description="how long a request is held and asked again while no board is up")
    ] = 90
    max_unavailable: Annotated[
        int, Field(ge=1, description="boards that may be out of service at the same time while they are changed")
    ] = 1
    ready_seconds: Annotated[
        int, Field(ge=5, description="how long HAProxy may take to answer before it is taken back")
    ] = 30
    tls: Annotated[
        Tls | None,
        Field(
            description="https for the page and the API; `pollex:polish.host` is 127.0.0.1 then, so that no text "
            "travels without it"
        ),
    ] = None


class FleetStack(Value):
    """Everything that a stack of kind `fleet` declares."""

    kind: Annotated[Literal["fleet"], Field(description="what this stack declares: fleet")]
    hosts: Annotated[
        dict[BoardName, Values],
        Field(
            min_length=1,
            max_length=MOST,
            description="the boards: name → what differs from the groups `host`, `source`, `build`, `model`, `server` "
            "and `board` of this stack",
        ),
    ]
    host: Annotated[
        Values,
        Field(default_factory=dict, description="what the machines have in common, as in a stack of kind `host`"),
    ]
    source: Annotated[Values, Field(default_factory=dict, description="the boards' llama.cpp source, as there")]
    build: Annotated[Values, Field(default_factory=dict, description="how they compile it, as there")]
    model: Annotated[Values, Field(default_factory=dict, description="what they serve, as there; its name is one")]
    server: Annotated[Values, Field(default_factory=dict, description="their llama-server units, as there")]
    board: Annotated[Values, Field(default_factory=dict, description="what is set of the boards themselves, as there")]
    private_key: PrivateKey = None
    private_key_password: PrivateKeyPassword = None
    gateway: Annotated[Gateway, Field(description="the machine in front of the boards")]
    polish: Annotated[Polish, Field(description="the polish service on the gateway, as in a stack of kind `host`")]
    python: Annotated[
        Interpreter | None,
        Field(description="the Python that the tools on the boards run on, where the boards' own is older than 3.9"),
    ] = None
    substituters: Substituters = ()
    publish: Publish = None
    cache_private_key: CachePrivateKey = None

    _boards: dict[str, HostStack] = PrivateAttr(default_factory=dict)
    _front: Host | None = PrivateAttr(default=None)

    @property
    def boards(self) -> Mapping[str, HostStack]:
        """Each board as a stack of its own, by name, in the order in which they are declared."""
        return self._boards

    @property
    def front(self) -> Host:
        """The gateway's machine."""
        assert self._front is not None  # noqa: S101 - validation ends without it
        return self._front

    @property
    def model_name(self) -> str:
        """The name of the model that all boards serve."""
        return next(iter(self._boards.values())).model.name

    @model_validator(mode="after")
    def _every_machine_is_whole(self) -> Self:
        wrong = [*self._read_boards(), *self._read_gateway()]
        refuse(wrong or self._together())
        return self

    def _read_boards(self) -> Iterator[Refusal]:
        found = list[tuple[str, Refusal]]()
        for name, own in self.hosts.items():
            if name == GATEWAY:
                yield Refusal(("hosts", name), Shown("taken"), "is what the gateway's own resources are called after")
            for group in own:
                if group not in GROUPS:
                    yield Refusal(("hosts", name, group), Shown("unknown"), f"a board differs in {', '.join(GROUPS)}")
            merged = {group: _merged(getattr(self, group), own.get(group, {})) for group in GROUPS}
            board = self._as_host(merged)
            if isinstance(board, HostStack):
                self._boards[name] = board
            else:
                found += [(name, refusal) for refusal in board]
        lacking = [refusal.where for _, refusal in found]
        told = set[tuple[str, ...]]()
        for name, refusal in found:
            everywhere = lacking.count(refusal.where) == len(self.hosts) and refusal.where not in _OWN
            common = not _stands(self.hosts[name], refusal.where)
            common &= everywhere or any(_stands({g: getattr(self, g)}, refusal.where) for g in GROUPS)
            where = refusal.where if common else ("hosts", name, *refusal.where)
            if where not in told:
                told.add(where)
                yield Refusal(where, refusal.value, refusal.remedy)

    def _as_host(self, groups: Mapping[str, JsonValue]) -> HostStack | list[Refusal]:
        secrets = {"privateKey": self.private_key, "privateKeyPassword": self.private_key_password}
        secrets["cachePrivateKey"] = self.cache_private_key
        given: Values = {key: secret.get_secret_value() for key, secret in secrets.items() if secret is not None}
        if self.publish is not None:
            given["publish"] = self.publish
        given["substituters"] = [one.model_dump(by_alias=True) for one in self.substituters]
        return _read(HostStack, {"kind": "host", **groups, **given})

    def _read_gateway(self) -> Iterator[Refusal]:
        read = _read(Host, _merged(self.host, self.gateway.host))
        if isinstance(read, Host):
            self._front = read
            return
        for refusal in read:
            here = _stands(self.gateway.host, refusal.where) or not _stands(self.host, refusal.where)
            # what is wrong among the defaults is wrong for the boards too, and said there
            if here:
                yield Refusal(("gateway", "host", *refusal.where), refusal.value, refusal.remedy)

    def _together(self) -> list[Refusal]:
        found, seen = list[Refusal](), dict[tuple[str, int], str]()
        for name, board in self._boards.items():
            at = ("hosts", name)
            place = (board.host.address, board.host.port)
            if place in seen:
                found.append(Refusal((*at, "host", "address"), place[0], f"is the board {seen[place]}'s too"))
            seen.setdefault(place, name)
            if board.model.name != self.model_name:
                remedy = f"boards behind one gateway serve one model, and others serve {self.model_name}"
                found.append(Refusal((*at, "model", "name"), board.model.name, remedy))
            if board.server.host not in {"127.0.0.1", "localhost"}:
                remedy = "boards serve on loopback, 127.0.0.1: the gateway comes through a forward"
                found.append(Refusal((*at, "server", "host"), board.server.host, remedy))
        front = (self.front.address, self.front.port)
        if front in seen:
            remedy = f"is the board {seen[front]}'s: the gateway is a machine of its own"
            found.append(Refusal(("gateway", "host", "address"), front[0], remedy))
        if self.gateway.port <= self.polish.port < self.gateway.port + PORTS:
            last = self.gateway.port + PORTS - 1
            remedy = f"is one of the gateway's own, {self.gateway.port} to {last}: choose another, or gateway.port"
            found.append(Refusal(("polish", "port"), self.polish.port, remedy))
        found += self._at_the_door()
        if (held := "llamacpp_hold_seconds") in self.polish.settings:
            where = ("polish", "settings", held)
            found.append(Refusal(where, self.polish.settings[held], "is set by pollex:gateway.holdSeconds"))
        return found

    def _at_the_door(self) -> Iterator[Refusal]:
        """What contradicts https at the gateway."""
        if (tls := self.gateway.tls) is None:
            return
        if self.polish.host != "127.0.0.1":
            remedy = "with pollex:gateway.tls it is 127.0.0.1: what goes past HAProxy would be read on its way"
            yield Refusal(("polish", "host"), self.polish.host, remedy)
        others = {self.polish.port, *range(self.gateway.port, self.gateway.port + PORTS)}
        if tls.port in others:
            remedy = "is pollex:polish.port, or one of the gateway's own: choose another, such as 443"
            yield Refusal(("gateway", "tls", "port"), tls.port, remedy)


def _read(declared: type[_S], values: JsonValue) -> _S | list[Refusal]:
    """The values as what is declared, or everything that is wrong with them."""
    try:
        return declared.model_validate_json(json.dumps(values))
    except ValidationError as error:
        return report.refusals(declared, error)


def _merged(defaults: JsonValue, own: JsonValue) -> JsonValue:
    """The defaults with what differs; lists are whole."""
    if not isinstance(defaults, dict) or not isinstance(own, dict):
        return own
    return {key: _merged(defaults.get(key), own[key]) if key in own else defaults[key] for key in {**defaults, **own}}


def _stands(values: Any, where: tuple[str, ...]) -> bool:
    """Whether something stands at a place."""
    for part in where:
        if isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        elif isinstance(values, dict) and part in values:
            values = values[part]
        else:
            return False
    return True
