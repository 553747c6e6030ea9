"""Pure functions from the spec to the text of generated files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import yaml
from pydantic import SecretStr

from infra.core.addresses import local_url, web_url
from infra.core.profiles import PROFILES
from infra.core.settings import POLISH_PORT
from infra.kinds.host.boardspec import Board
from infra.kinds.host.spec import Build, Host, HostStack, LlamaServer, Model, Polish

LLAMA_SERVER = "/usr/local/bin/llama-server"
"""The visible path of the binary, a link into the store."""

LLAMA_SERVER_UNIT = "llama-server.service"

TUNED = "/opt/pollex/facts/tune.env"
"""Options that `pollex-host tune` found on the host; systemd splits the variable in it into words."""

_CALLS = "~@clock @cpu-emulation @debug @keyring @module @mount @obsolete @privileged @raw-io @reboot @swap"
"""Groups that systemd 237 knows; its manual names no @system-service yet, which would be the shorter list."""

HARDENING: Mapping[str, str | int] = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "LockPersonality": "yes",
    "RemoveIPC": "yes",
    # a dump would hold people's texts
    "LimitCORE": 0,
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "UMask": "0077",
}
"""What both can do without. Every directive is known to systemd 237."""


POLLEX = "/usr/local/bin/pollex"
"""The visible path of the service's one program, a link into the store."""

POLLEX_UNIT = "pollex.service"
SETTINGS = "/etc/pollex/pollex.yaml"
PROMPT = "/etc/pollex/prompt.txt"
MODE = "/etc/pollex/mode-{}.txt"
"""What the model is told in a mode of the stack's own."""
SECRETS = "/etc/pollex/secrets.env"

BOARD_UNIT = "pollex-board.service"

POLLEX_HARDENING: Mapping[str, str | int] = {
    **HARDENING,
    "PrivateDevices": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "SystemCallFilter": f"{_CALLS} @resources",
}
"""What the polish service can do without beside it."""


def systemd_word(word: str) -> str:
    r"""One word of a command line in a unit file: quoted where needed, `%`, `$`, `\` and quotes kept literal."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = bool(word) and not any(character in word for character in " '\"\\;")
    return escaped if plain else f'"{escaped}"'


def ini(sections: Mapping[str, Mapping[str, str | int | Sequence[str]]]) -> str:
    """A unit file; a list becomes one line an item, every line ends."""
    blocks = []
    for section, entries in sections.items():
        lines = [f"[{section}]"]
        for name, value in entries.items():
            values = [str(value)] if isinstance(value, str | int) else value
            lines += [f"{name}={item}" for item in values]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def llama_server_command(server: LlamaServer, model: Model) -> tuple[str, ...]:
    """The command line of llama-server, one word an item."""
    return (
        LLAMA_SERVER,
        *("-m", model.served),
        *("--alias", model.name),
        *("--host", server.host),
        *("--port", str(server.port)),
        *("-ngl", str(server.gpu_layers)),
        *("-c", str(server.context)),
        *("-t", str(server.threads)),
        *("-np", str(server.slots)),
        *(() if server.context_shift else ("--no-context-shift",)),
        *(("--slots",) if server.slots_endpoint else ()),
        *(("-b", str(server.batch)) if server.batch is not None else ()),
        *(("-ub", str(server.micro_batch)) if server.micro_batch is not None else ()),
        *(("--mlock",) if server.mlock else ()),
        *server.extra_args,
    )


def llama_server_unit(server: LlamaServer, model: Model, build: Build) -> str:
    """llama-server.service, valid for systemd 237 (JetPack 4.6)."""
    gpu = PROFILES[build.profile].gpu
    first, *rest = llama_server_command(server, model)
    pairs = _lines(rest)
    tuned = ("$POLLEX_TUNED",) if server.tune is not None else ()
    unified = " GGML_CUDA_ENABLE_UNIFIED_MEMORY=1" if server.unified_memory else ""
    # a systemd as old as the board's does not turn a folder into one of an account that comes and goes, nor back
    cache = "llama-server" if server.user is not None else "pollex-llama-server"
    return ini(
        {
            "Unit": {
                "Description": f"llama.cpp inference server ({'GPU' if gpu else 'CPU'})",
                "After": "network.target",
            },
            "Service": {
                "Type": "simple",
                **_account(server.user),
                # the driver's devices belong to this group on JetPack
                **({"SupplementaryGroups": "video"} if gpu else {}),
                "ExecStart": " \\\n    ".join([systemd_word(first), *pairs, *tuned]),
                "Restart": server.restart,
                "RestartSec": server.restart_sec,
                # where the CUDA driver keeps what it compiles; there is no home directory
                "CacheDirectory": cache,
                # threads that wait sleep: those that spin keep the service beside them from the board's cores
                "Environment": f"CUDA_CACHE_PATH=/var/cache/{cache} OMP_WAIT_POLICY=passive{unified}",
                # the last option wins; where nothing was measured yet there is no file and nothing is added
                **({"EnvironmentFile": f"-{TUNED}"} if server.tune is not None else {}),
                **({"LimitMEMLOCK": "infinity"} if server.mlock else {}),
                **({"OOMScoreAdjust": server.oom_score_adjust} if server.oom_score_adjust is not None else {}),
                **HARDENING,
                # what the CUDA driver may need; no board with one was here to do without
                "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX" + (" AF_NETLINK" if gpu else ""),
                **({} if gpu else {"MemoryDenyWriteExecute": "yes"}),
                "SystemCallFilter": _CALLS,
                **_devices(PROFILES[build.profile].devices if server.devices is None else server.devices),
                **_reach(server.host),
            },
            "Install": {"WantedBy": "multi-user.target"},
        }
    )


def board_settings(board: Board) -> dict[str, str]:
    """What is set of a board, as the host is told: `on`, `off` or a number, by the settings' names."""
    fan = {True: 255, False: "off"}.get(board.fan, board.fan) if isinstance(board.fan, bool) else board.fan
    values = {
        "zram": board.zram,
        "swapMb": board.swap_mb,
        "swappiness": board.swappiness,
        "desktop": board.desktop,
        "powerMode": board.power_mode,
        "clocks": board.clocks,
        "fan": fan,
    }
    return {
        name: str(value) if not isinstance(value, bool) else "on" if value else "off"
        for name, value in values.items()
        if value is not None
    }


def board_unit() -> str:
    """pollex-board.service, valid for systemd 237 (JetPack 4.6): what the kernel forgets is set at every start."""
    return ini(
        {
            "Unit": {
                "Description": "what pollex sets of the board itself",
                # JetPack's own, which would undo it: nv chooses the governor and makes nvpmodel's settings, and that
                # lets go of the clocks; one that a release does not have orders nothing
                "After": "nv.service nvpmodel.service nvfancontrol.service nvzramconfig.service systemd-sysctl.service",
                "Before": LLAMA_SERVER_UNIT,
            },
            "Service": {
                "Type": "oneshot",
                "ExecStart": "/opt/pollex/bin/pollex-host board",
                "RemainAfterExit": "yes",
            },
            "Install": {"WantedBy": "multi-user.target"},
        }
    )


def memory_high(board: Board) -> dict[str, str]:
    """Drop-ins for units of others, by path."""
    return {
        f"/etc/systemd/system/{unit}.d/pollex-{unit}.conf": ini({unit.rpartition(".")[2].title(): {"MemoryHigh": size}})
        for unit, size in board.memory_high.items()
    }


def _account(user: str | None) -> dict[str, str]:
    return {"DynamicUser": "yes"} if user is None else {"User": user}


def _devices(nodes: Sequence[str]) -> dict[str, str | Sequence[str]]:
    """What of /dev is seen: some nodes beside the harmless ones, or these alone."""
    if not nodes:
        return {"PrivateDevices": "yes"}
    return {"DevicePolicy": "closed", "DeviceAllow": [f"{node} rw" for node in nodes]}


def _reach(host: str) -> dict[str, str]:
    """Whom a server at an address talks to: where only the machine itself asks, nobody else is answered or asked."""
    if host not in {"127.0.0.1", "::1", "localhost"}:
        return {}
    return {"IPAddressDeny": "any", "IPAddressAllow": "localhost"}


def pollex_unit(polish: Polish, behind: str = LLAMA_SERVER_UNIT) -> str:
    """pollex.service, valid for systemd 237 (JetPack 4.6); `behind` is the unit that it asks."""
    has_secrets = any(secret is not None for secret in _secrets(polish).values())
    return ini(
        {
            "Unit": {
                "Description": "private text polisher",
                "After": f"network.target {behind}",
                "Wants": behind,
            },
            "Service": {
                "Type": "simple",
                **_account(polish.user),
                "ExecStart": f"{POLLEX} serve --config {SETTINGS}",
                # read by systemd itself, so that the file can stay root's own
                **({"EnvironmentFile": SECRETS} if has_secrets else {}),
                # where Python keeps what it compiles; the bundle itself never changes
                "CacheDirectory": "pollex",
                "Environment": "PYTHONPYCACHEPREFIX=/var/cache/pollex",
                "Restart": "on-failure",
                "RestartSec": 2,
                # the service ends what runs first, for which it takes a minute at most
                "TimeoutStopSec": 70,
                "MemoryMax": f"{polish.memory_mb}M",
                "TasksMax": polish.tasks,
                **POLLEX_HARDENING,
            },
            "Install": {"WantedBy": "multi-user.target"},
        }
    )


def upstream(stack: HostStack) -> dict[str, object]:
    """What the service is told of llama-server, from the same spec that configures that."""
    return {
        "llamacpp_url": local_url(stack.server.host, stack.server.port),
        "llamacpp_model": stack.model.name,
        "slots": stack.server.slots,
    }


def pollex_settings(
    asked: Mapping[str, object], polish: Polish, *, prompt: str, modes: Mapping[str, str]
) -> dict[str, object]:
    """The settings of the service.

    Args:
        asked: what it is told of the server that it asks; its `slots` come last.
        polish: what the service is given.
        prompt: what `prompt_path` is to be, on the host.
        modes: what `modes` is to be, there.
    """
    return {
        "host": polish.host,
        "port": polish.port,
        **{name: value for name, value in asked.items() if name != "slots"},
        "prompt_path": prompt,
        **({"modes": dict(modes)} if modes else {}),
        **({"api_keys": dict(polish.api_keys)} if polish.api_keys else {}),
        "slots": asked["slots"],
        **polish.settings,
    }


def pollex_yaml(settings: Mapping[str, object]) -> str:
    """/etc/pollex/pollex.yaml."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)


def secrets_env(polish: Polish) -> str | None:
    """/etc/pollex/secrets.env, or None when nothing is secret.

    The hash of this text is shown (live map, generation), so its first line makes every guess at it cost a scrypt.
    """
    lines = [
        f"{name}={_quoted(secret.get_secret_value())}\n"
        for name, secret in _secrets(polish).items()
        if secret is not None
    ]
    if not lines:
        return None
    text = "".join(lines)
    stretched = hashlib.scrypt(text.encode(), salt=b"pollex secrets.env", n=2**14, r=8, p=1, dklen=16)
    return f"# {stretched.hex()}\n{text}"


def _secrets(polish: Polish) -> dict[str, SecretStr | None]:
    return {
        "POLLEX_API_KEY": polish.api_key,
        "POLLEX_CLAUDE_API_KEY": polish.claude_api_key,
        "POLLEX_LLAMACPP_API_KEY": polish.llamacpp_api_key,
    }


def _quoted(value: str) -> str:
    """A value of systemd's EnvironmentFile= in double quotes."""
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'


def _lines(words: Sequence[str]) -> list[str]:
    """Words joined so that an option and its value share a line."""
    lines: list[str] = []
    for word in words:
        quoted = systemd_word(word)
        if lines and not word.startswith("-") and lines[-1].startswith("-") and " " not in lines[-1]:
            lines[-1] += f" {quoted}"
        else:
            lines.append(quoted)
    return lines


def page_url(host: Host, polish: Polish) -> str:
    """Where people reach the page of the service on a machine."""
    everywhere = polish.host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return web_url(host.address if everywhere else polish.host, polish.port)


def app_config(stack: HostStack) -> dict[str, str | int]:
    """What the polish service and the original Go program read, as keys of their YAML file."""
    return {
        "port": stack.polish.port if stack.polish is not None else POLISH_PORT,
        "llamacpp_url": local_url(stack.server.host, stack.server.port),
        "llamacpp_model": stack.model.name,
    }
