"""Pure functions from the spec to the text of generated files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.profiles import PROFILES
from infra.spec import Build, LlamaServer, Model

LLAMA_SERVER = "/usr/local/bin/llama-server"
"""The visible path of the binary, a link into the store."""

LLAMA_SERVER_UNIT = "llama-server.service"

HARDENING: Mapping[str, str] = {
    "NoNewPrivileges": "yes",
    "PrivateTmp": "yes",
    "ProtectSystem": "full",
    "ProtectHome": "read-only",
    "LockPersonality": "yes",
    "RestrictRealtime": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "UMask": "0077",
}
"""What llama-server can do without. Every directive is known to systemd 237; devices stay visible for the GPU."""


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
        *("-m", model.path),
        *("--alias", model.name),
        *("--host", server.host),
        *("--port", str(server.port)),
        *("-ngl", str(server.gpu_layers)),
        *("-c", str(server.context)),
        *("-t", str(server.threads)),
        *("-np", str(server.slots)),
        *(() if server.context_shift else ("--no-context-shift",)),
        *(("--slots",) if server.slots_endpoint else ()),
        *server.extra_args,
    )


def llama_server_unit(server: LlamaServer, model: Model, build: Build) -> str:
    """llama-server.service, valid for systemd 237 (JetPack 4.6)."""
    gpu = PROFILES[build.profile].gpu
    first, *rest = llama_server_command(server, model)
    pairs = _lines(rest)
    return ini(
        {
            "Unit": {
                "Description": f"llama.cpp inference server ({'GPU' if gpu else 'CPU'})",
                "After": "network.target",
            },
            "Service": {
                "Type": "simple",
                "User": server.user,
                # the driver's devices belong to this group on JetPack
                **({"SupplementaryGroups": "video"} if gpu else {}),
                "ExecStart": " \\\n    ".join([systemd_word(first), *pairs]),
                "Restart": server.restart,
                "RestartSec": server.restart_sec,
                # where the CUDA driver keeps what it compiles; the home directory is read-only
                "CacheDirectory": "llama-server",
                "Environment": "CUDA_CACHE_PATH=/var/cache/llama-server",
                **HARDENING,
            },
            "Install": {"WantedBy": "multi-user.target"},
        }
    )


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


def local_url(server: LlamaServer) -> str:
    """Where programs on the host itself reach llama-server."""
    wildcard = {"0.0.0.0", "::", "127.0.0.1", "localhost"}  # noqa: S104 - compared, not bound
    name = "localhost" if server.host in wildcard else server.host
    return f"http://{f'[{name}]' if ':' in name else name}:{server.port}"


def app_config(server: LlamaServer, model: Model) -> dict[str, str | int]:
    """What the polish service and the original Go program read, as keys of their YAML file."""
    return {"port": 8090, "llamacpp_url": local_url(server), "llamacpp_model": model.name}
