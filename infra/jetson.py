"""A host that serves one model with one build of llama-server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from infra import HOST_FOLDER, ROOT, plan, remote, render, store
from infra.profiles import HOST_COMMANDS, HOST_PACKAGES, PROFILES, RUNTIME_PACKAGES
from infra.resources import TOOLS, Generation, Host
from infra.spec import HostStack

PACKAGES = (*HOST_PACKAGES, *RUNTIME_PACKAGES)
"""What `prepare` installs; compilers only come when something is compiled."""


class LlamaHost(pulumi.ComponentResource):
    """One host: preflight, tools, the build and the model side by side, then the generation behind its gate."""

    def __init__(
        self, name: str, stack: HostStack, made: plan.Plan, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pollex:host:LlamaHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        login = remote.login(stack, ROOT)
        host = Host("host", connection=login.own(), sudo=stack.host.sudo, needs=needs(stack), opts=child)
        commands = remote.HostCommands(login, host.identity, child)
        copied = commands.copy("tools", HOST_FOLDER)
        tools = commands.run(
            "prepare",
            f"sh {remote.UPLOAD}/pollex-host prepare {' '.join(PACKAGES)}",
            tools_hash(HOST_FOLDER),
            copied,
        )
        server = commands.run("llama-server", f"{TOOLS} ensure", made.build_sheet, tools)
        model = commands.run("model", f"{TOOLS} ensure-model", made.model_sheet, tools)
        self.generation = Generation(
            "generation",
            connection=login.own(),
            sudo=stack.host.sudo,
            sheet=made.generation_sheet,
            live=made.live,
            identity=host.identity,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[server, model]),
        )
        self.facts = host.facts
        self.register_outputs({"facts": self.facts, "generation": made.generation})


def needs(stack: HostStack) -> dict[str, Any]:
    """What the preflight checks before anything is done to the host."""
    profile = PROFILES[stack.build.profile]
    return {
        "architecture": stack.host.architecture,
        "diskMb": stack.host.min_disk_mb,
        "memoryMb": stack.host.min_memory_mb,
        "commands": [*HOST_COMMANDS, *profile.commands],
        "packages": [*PACKAGES, *plan.packages(stack)],
        "ports": {str(stack.server.port): render.LLAMA_SERVER_UNIT},
        "serviceUser": stack.server.user,
    }


def tools_hash(folder: Path) -> str:
    """The SHA-256 of the tools' names and texts: what `prepare` is run again for."""
    return store.sha256(store.canonical({file.name: file.read_text() for file in sorted(folder.iterdir())}))


def declare(stack: HostStack) -> Mapping[str, object]:
    """Declare the host and return the stack's outputs; none of them is secret."""
    made = plan.load(stack)
    host = LlamaHost("llama", stack, made)
    return {
        "address": stack.host.address,
        "url": made.app_config["llamacpp_url"],
        "commit": stack.source.commit,
        "key": made.build.key,
        "model": stack.model.name,
        # only known when the activation has passed its gate
        "generation": host.generation.generation,
        "appConfig": {"pollex": made.app_config},
    }
