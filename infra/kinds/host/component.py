"""A host that serves one model with one build of llama-server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from infra import FILES, HOST_FOLDER
from infra.core import patches
from infra.core.profiles import HOST_COMMANDS, HOST_PACKAGES, PROFILES, RUNTIME_PACKAGES
from infra.core.report import ConfigError, Problem
from infra.core.settings import Value
from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.tools import tools_hash
from infra.kinds.children import child
from infra.kinds.host import compilation, memory, plan, units
from infra.kinds.host.commands import HostCommands
from infra.kinds.host.login import login, stop_up
from infra.kinds.host.plan import Plan
from infra.kinds.host.spec import HostStack, Interpreter, Polish
from infra.provider.bundle import Bundle
from infra.provider.cache import is_server
from infra.provider.connection import Connection
from infra.provider.delivery import Tools
from infra.provider.generation import Generation
from infra.provider.host import Host
from infra.provider.onhost import OnHost
from infra.provider.preflight import Needs, Port
from infra.provider.share import Share
from infra.provider.tools import TOOLS


class LlamaHost(pulumi.ComponentResource):
    """One host: preflight, tools, the build and the model side by side, then the generation behind its gate."""

    plan: Plan
    """Everything that is made to exist, as text."""
    facts: pulumi.Output[dict[str, Any]]
    """What the preflight learnt of the host."""
    generation: Generation
    """What is live; its `generation` is only known when the activation has passed its gate."""
    access: Connection
    """How the host is logged in to."""
    commands: HostCommands
    """Runs commands on it."""
    tools: Tools
    """After them commands find what they need."""

    def __init__(
        self,
        name: str,
        stack: Value,
        opts: pulumi.ResourceOptions | None = None,
        *,
        where: str = "pollex:host",
        roll: tuple[str, int] | None = None,
        python: Interpreter | None = None,
    ) -> None:
        """Declare a host and what it serves.

        Args:
            name: the component's name; its children are called after it.
            stack: what is declared, such as `infra.config.load()` returns it; a stack of kind `host`.
            opts: the engine's options.
            where: the setting that declares the machine, for reports.
            roll: hosts of the same name are activated so many at a time, and none after one that went back.
            python: what the tools run on where the host's own is too old and there is no polish service to bring one.

        Raises:
            pulumi.RunError: the declaration is of another kind, or cannot be carried out.
        """
        super().__init__("pollex:host:LlamaHost", name, None, opts)
        if not isinstance(stack, HostStack):
            raise pulumi.RunError("a LlamaHost is declared by a stack of kind host: set pollex:kind to it")
        try:
            self.plan = made = plan.load(stack)
        except (patches.PatchError, ConfigError) as error:
            raise pulumi.RunError(str(error)) from None
        self.access = access = login(stack.host, FILES, stack.private_key, stack.private_key_password, where=where)
        own = stack.polish.python if stack.polish is not None else python
        host = Host(
            f"{name}-host",
            connection=access,
            needs=needs(stack, own),
            takeover=stack.host.takeover,
            opts=child(self, "host"),
        )
        self.commands = commands = HostCommands(
            access, dialled=host.dialled, sudo=stack.host.sudo, identity=host.identity
        )
        on_host = OnHost(connection=access, sudo=stack.host.sudo, identity=host.identity)
        self.tools = tools = Tools(
            f"{name}-tools",
            **on_host,
            hash=tools_hash(str(HOST_FOLDER)),
            packages=packages(stack),
            python=brought_python(own),
            opts=pulumi.ResourceOptions(parent=self),
        )
        after = pulumi.ResourceOptions(depends_on=[tools])
        build, model_file = (manifest.text(one, indent=2) for one in (made.build_manifest, made.model_manifest))
        # the name of a component `llama` makes this the former one too
        found = self._shared(f"{name}-shared-server", stack, on_host, build, after)
        server = commands.run(f"{name}-server", f"{TOOLS} ensure", build, child(self, "llama-server", found))
        # a quantiser is compiled too, and after the server most of it is in the compiler's cache
        before = after if stack.model.quantise is None else pulumi.ResourceOptions(depends_on=[server])
        # of one host alone there is nobody to whom a file would go that was published anyway
        if stack.model.quantise is not None or roll is not None:
            before = self._shared(f"{name}-shared-model", stack, on_host, model_file, before)
        model = commands.run(f"{name}-model", f"{TOOLS} ensure-model", model_file, child(self, "model", before))
        programs: list[pulumi.Resource] = [server, model]
        if made.bundle is not None and made.bundle_manifest is not None and made.recipe is not None:
            programs.append(
                Bundle(
                    f"{name}-polish",
                    **on_host,
                    manifest=manifest.text(made.bundle_manifest, indent=2),
                    item=made.bundle.item,
                    recipe=made.recipe,
                    opts=child(self, "polish", after),
                )
            )
        self.generation = Generation(
            f"{name}-generation",
            **on_host,
            manifest=manifest.text(made.generation.manifest, indent=2),
            secrets=pulumi.Output.secret(made.generation.secrets) if made.generation.secrets else None,
            live=made.generation.live,
            owner=host.owner,
            roll=roll,
            opts=child(self, "generation", pulumi.ResourceOptions(depends_on=programs)),
        )
        self.facts = host.facts
        self.register_outputs({"facts": self.facts, "generation": made.generation.id})

    def _shared(
        self, name: str, stack: HostStack, on_host: OnHost, text: str, after: pulumi.ResourceOptions
    ) -> pulumi.ResourceOptions:
        """What a command runs after: that others were asked first for what it makes, if the stack keeps that for them.

        Args:
            name: of what asks them.
            stack: what is declared.
            on_host: how the host is reached.
            text: the manifest of what is made.
            after: what that runs after in turn.
        """
        if stack.publish is None:
            return after
        if stack.cache_private_key is None:
            remedy = f"pollex:publish signs with it: make cache-key STACK={pulumi.get_stack()}"
            stop_up([Problem("pollex:cachePrivateKey", "missing", remedy)])
            return after
        shared = Share(
            name,
            **on_host,
            manifest=text,
            cache=stack.publish if is_server(stack.publish) else str(FILES / Path(stack.publish).expanduser()),
            private_key=stack.cache_private_key.get_secret_value(),
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self), after),
        )
        return pulumi.ResourceOptions.merge(after, pulumi.ResourceOptions(depends_on=[shared]))


def own_python(polish: Polish | None) -> tuple[str, ...]:
    """The host's own interpreter that the polish service runs on, if it brings none; program and package are one."""
    return () if polish is None or polish.python.url is not None else (f"python{polish.python.version}",)


def packages(stack: HostStack) -> tuple[str, ...]:
    """What `prepare` installs; compilers only come when something is compiled."""
    return (*HOST_PACKAGES, *RUNTIME_PACKAGES, *own_python(stack.polish))


def needs(stack: HostStack, python: Interpreter | None) -> Needs:
    """What the preflight checks before anything is done to the host."""
    profile, polish = PROFILES[stack.build.profile], stack.polish
    ports = [Port(stack.server.port, units.LLAMA_SERVER_UNIT, "pollex:server.port")]
    users = {stack.server.user: "pollex:server.user"} if stack.server.user is not None else {}
    if polish is not None:
        ports.append(Port(polish.port, units.POLLEX_UNIT, "pollex:polish.port"))
        users |= {polish.user: "pollex:polish.user"} if polish.user is not None else {}
    return Needs(
        architecture=stack.host.architecture,
        disk_mb=stack.host.min_disk_mb,
        memory_mb=stack.host.min_memory_mb,
        commands=(*HOST_COMMANDS, *profile.commands, *own_python(polish)),
        packages=(*packages(stack), *compilation.packages(stack.build)),
        ports=tuple(ports),
        brings_python=brought_python(python) is not None,
        users=users,
        programs=programs(stack),
        memory=memory.needs(stack),
        spare_mb=memory.spare(stack),
        sudo=stack.host.sudo,
    )


def programs(stack: HostStack) -> dict[str, str]:
    """JetPack's programs that settings of the board call, each with the setting."""
    board = stack.board
    wanted = {
        "nvpmodel": ("powerMode", board is not None and board.power_mode is not None),
        "jetson_clocks": ("clocks", board is not None and board.clocks is not None),
    }
    return {name: f"pollex:board.{setting}" for name, (setting, is_set) in wanted.items() if is_set}


def brought_python(python: Interpreter | None) -> dict[str, Any] | None:
    """The standalone CPython that the service is packed with, for the tools of a host whose own is too old."""
    if python is None or python.url is None:
        return None
    return {"sha256": python.sha256, "urls": [python.url, *python.mirrors]}


def declare(stack: HostStack) -> Mapping[str, object]:
    """Declare the host and return the stack's outputs; none of them is secret."""
    host = LlamaHost("llama", stack)
    made = host.plan
    return {
        "address": stack.host.address,
        "url": made.app_config["llamacpp_url"],
        "commit": stack.source.commit,
        "key": made.build.key,
        "model": stack.model.name,
        # only known when the activation has passed its gate
        "generation": host.generation.generation,
        **({"page": units.page_url(stack.host, stack.polish)} if stack.polish is not None else {}),
        "appConfig": {"pollex": made.app_config},
    }
