"""Pure functions from the spec to what the gateway is given: HAProxy's configuration, the forwards, their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from infra.kinds.host.spec import HostStack
from infra.kinds.host.units import ini

FORWARDS_UNIT = "pollex-boards.service"
GATEWAY_UNIT = "pollex-gateway.service"
CONFIGURATION = "/etc/pollex/haproxy.cfg"
SSH = "/etc/pollex/boards.conf"
HOST_KEYS = "/etc/pollex/boards.hosts"
KEY = "/etc/pollex/boards.key"
CERTIFICATE = "/etc/pollex/gateway.pem"
"""The gateway's certificate and its key, in one file as HAProxy reads them."""
SCRIPT = "/etc/pollex/forward.sh"
_ACCOUNT = "haproxy"
"""Comes with Debian's package, and has nothing else to do on the gateway."""
_STATISTICS = 99
"""The statistics' port, counted from HAProxy's own."""

_PRIVILEGED = 1024
"""Ports below it are for root, and for whom systemd lets have them (ip(7))."""

FORWARD = (Path(__file__).parent / "forward.sh").read_text()
AUTHORIZE = (Path(__file__).parent / "authorize.sh").read_text()

HARDENING: Mapping[str, str | int | Sequence[str]] = {
    "NoNewPrivileges": "yes",
    # a dump would hold people's texts, or the key to the boards
    "LimitCORE": 0,
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectProc": "invisible",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "UMask": "0077",
}
"""What HAProxy and ssh can do without; the gateway's systemd is that of Debian 12 or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How a board is reached from the gateway."""

    name: str
    address: str
    port: int
    """Of its SSH server."""
    user: str
    host_key: str
    """`ssh-ed25519 AAAA…`."""
    inside: int
    """llama-server's port on the board's loopback."""
    outside: int
    """The forward's on the gateway's."""
    slots: int
    """Requests that it works on at once."""


def doors(boards: Mapping[str, HostStack], host_keys: Mapping[str, str], first: int) -> tuple[Door, ...]:
    """The boards' doors, in the order in which they are declared.

    Args:
        boards: by name.
        host_keys: of each, by name.
        first: the gateway's first port; the forwards follow it.
    """
    return tuple(
        Door(
            name=name,
            address=board.host.address,
            port=board.host.port,
            user=board.host.user,
            host_key=host_keys[name],
            inside=board.server.port,
            outside=first + number,
            slots=board.server.slots,
        )
        for number, (name, board) in enumerate(boards.items(), start=1)
    )


def statistics(port: int) -> int:
    """Where HAProxy tells of itself, by its own port."""
    return port + _STATISTICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What people reach by https."""

    host: str
    """The address that it listens on."""
    port: int
    service: int
    """The polish service's on its loopback."""


def haproxy(boards: Sequence[Door], port: int, site: Site | None = None) -> str:
    """/etc/pollex/haproxy.cfg, valid for HAProxy 2.4 and later.

    Args:
        boards: what is behind it.
        port: its first port on loopback.
        site: what is in front of it, where it has a certificate.
    """
    servers = [f"    server {board.name} 127.0.0.1:{board.outside} maxconn {board.slots} check" for board in boards]
    tracking = [f"    server {board.name} 127.0.0.1:{board.outside} track boards/{board.name}" for board in boards]
    front = [_SITE.format(at=_bound(site), pem=_PEM, service=site.service)] if site is not None else []
    tail = _TAIL.format(port=statistics(port))
    return "\n".join([_HEAD.format(port=port), *servers, _ASIDES, *tracking, *front, tail])


_HEAD = """\
# One request at a time to each board; rendered from the stack, checked by `haproxy -c`.
global
    log stdout format raw daemon notice
    maxconn 2000
    nbthread 1
    # a repeated request must be whole in one buffer
    tune.bufsize 65536
    stats socket /run/pollex-gateway/admin.sock mode 600 level admin

defaults
    mode http
    log global
    # without it tokens come 70 ms late
    option http-no-delay
    option dontlog-normal
    # here and not in the backend: 2.6 looks at its clients only if the frontend has it too
    option abortonclose
    timeout connect 2s
    timeout http-request 10s
    timeout queue 20s
    # the service in front ends what takes too long
    timeout client 1h
    timeout server 1h

frontend gateway
    bind 127.0.0.1:{port}
    option http-buffer-request
    # questions that cost a board nothing wait for nobody's turn
    acl aside path /health /props /slots /tokenize /apply-template /v1/models
    use_backend asides if aside
    default_backend boards

backend boards
    balance leastconn
    http-reuse never
    option httpchk
    http-check send meth GET uri /health
    http-check expect status 200
    # a request that was begun is repeated by the service alone, which counts how often
    retries 2
    option redispatch 1
    retry-on conn-failure
    http-response set-header X-Served-By %[srv_name]
    http-error status 503 content-type application/json string '{{"error":{{"message":"no board answers"}}}}'
    # a board that hangs is not waited for: what it began another one continues; one that was changed is taken in
    # again before the roll comes to the next one
    default-server inter 1s fastinter 250ms downinter 250ms fall 2 rise 1 on-marked-down shutdown-sessions"""

_ASIDES = """
backend asides
    balance roundrobin
    http-reuse never
    retries 2
    option redispatch 1
    retry-on conn-failure empty-response
    http-error status 503 content-type application/json string '{"error":{"message":"no board answers"}}'"""


def _bound(site: Site) -> str:
    """Address and port as `bind` reads them; of an IPv6 address the last colon is the port's."""
    return f"{site.host}:{site.port}{' v4v6' if site.host == '::' else ''}"


_PEM = f"/run/credentials/{GATEWAY_UNIT}/certificate"
_SITE = """
frontend site
    bind {at} ssl crt {pem} ssl-min-ver TLSv1.2 alpn http/1.1
    # whoever is slow or silent goes; a request that is worked on is the service's to end
    timeout client 1m
    timeout http-keep-alive 1m
    # the service believes what loopback says of where a request comes from
    http-request del-header Cf-Connecting-Ip
    http-request del-header X-Forwarded-For
    http-request set-header X-Forwarded-Proto https
    option forwardfor
    default_backend site

backend site
    server polish 127.0.0.1:{service}"""

_TAIL = """
frontend statistics
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string ok if {{ path /livez }}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /
"""


def ssh_config(boards: Sequence[Door]) -> str:
    """/etc/pollex/boards.conf: how each board is reached, and its one forward."""
    hosts = [
        "\n".join(
            [
                f"Host {board.name}",
                f"    HostName {board.address}",
                f"    Port {board.port}",
                f"    User {board.user}",
                f"    HostKeyAlias {board.name}",
                f"    LocalForward 127.0.0.1:{board.outside} 127.0.0.1:{board.inside}",
            ]
        )
        for board in boards
    ]
    return "\n\n".join([*hosts, _SSH])


_SSH = f"""\
Host *
    IdentityFile /run/credentials/{FORWARDS_UNIT}/key
    IdentitiesOnly yes
    UserKnownHostsFile {HOST_KEYS}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    BatchMode yes
    ExitOnForwardFailure yes
    ConnectTimeout 5
    ServerAliveInterval 5
    ServerAliveCountMax 2
    LogLevel ERROR
"""


def known_hosts(boards: Sequence[Door]) -> str:
    """/etc/pollex/boards.hosts: each board's pinned key, by the board's name."""
    return "".join(f"{board.name} {board.host_key}\n" for board in boards)


def forwards_unit(boards: Sequence[Door]) -> str:
    """pollex-boards.service."""
    return ini(
        {
            "Unit": {
                "Description": "forwards to the boards' llama-servers",
                "After": "network-online.target",
                "Wants": "network-online.target",
            },
            "Service": {
                "Type": "simple",
                "User": _ACCOUNT,
                # so that the file can stay root's own
                "LoadCredential": f"key:{KEY}",
                "ExecStart": " ".join(["/bin/sh", SCRIPT, *(board.name for board in boards)]),
                "Restart": "always",
                "RestartSec": 1,
                **HARDENING,
            },
            "Install": {"WantedBy": "multi-user.target"},
        }
    )


def gateway_unit(site: Site | None = None) -> str:
    """pollex-gateway.service; arguments as for `haproxy`."""
    door: dict[str, str | int | Sequence[str]] = {}
    if site is not None:
        # so that the file can stay root's own
        door["LoadCredential"] = f"certificate:{CERTIFICATE}"
        if site.port < _PRIVILEGED:
            door |= dict.fromkeys(("AmbientCapabilities", "CapabilityBoundingSet"), "CAP_NET_BIND_SERVICE")
    return ini(
        {
            "Unit": {
                "Description": "gateway to the boards (HAProxy)",
                "After": f"network.target {FORWARDS_UNIT}",
                "Wants": FORWARDS_UNIT,
            },
            "Service": {
                "Type": "notify",
                "User": _ACCOUNT,
                "RuntimeDirectory": "pollex-gateway",
                "ExecStartPre": f"/usr/sbin/haproxy -c -q -f {CONFIGURATION}",
                "ExecStart": f"/usr/sbin/haproxy -Ws -f {CONFIGURATION}",
                "KillMode": "mixed",
                "SuccessExitStatus": 143,
                "Restart": "always",
                "RestartSec": 1,
                **HARDENING,
                **door,
            },
            "Install": {"WantedBy": "multi-user.target"},
        }
    )


def authorization(user: str, public_key: str, mark: str, port: int) -> str:
    """What a board's shell is fed so that the gateway's key is good for one forward.

    Args:
        user: the account that the gateway logs in to.
        public_key: `ssh-ed25519 AAAA…`.
        mark: what tells this stack's line from others.
        port: llama-server's on the board's loopback.
    """
    kind, key = public_key.split()[:2]
    limits = f'restrict,port-forwarding,permitopen="127.0.0.1:{port}",command="/bin/false"'
    given = {"user": user, "line": f"{limits} {kind} {key} {mark}", "mark": mark}
    return "".join(f"{name}={quote(value)}\n" for name, value in given.items()) + AUTHORIZE
