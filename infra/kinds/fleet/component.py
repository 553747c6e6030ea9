"""Boards that serve the same model, and the gateway in front of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pulumi

from infra import FILES, HOST_FOLDER
from infra.core import patches
from infra.core.addresses import web_url
from infra.core.profiles import HOST_COMMANDS, HOST_PACKAGES
from infra.core.report import ConfigError, Problem
from infra.core.settings import Value
from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.tools import tools_hash
from infra.kinds.fleet import certificate, plan, units
from infra.kinds.fleet.spec import GATEWAY, FleetStack
from infra.kinds.host.component import LlamaHost, brought_python, own_python
from infra.kinds.host.login import login, stop_up, texts_of
from infra.kinds.host.units import POLLEX_UNIT, page_url
from infra.provider.bundle import Bundle
from infra.provider.delivery import Tools
from infra.provider.generation import Generation
from infra.provider.host import Host
from infra.provider.onhost import OnHost
from infra.provider.preflight import Needs, Port

_KEY = "pollex:gateway.keyFile"
_TLS = "pollex:gateway.tls"


class Fleet(pulumi.ComponentResource):
    """The boards side by side, one changed after the other, and the gateway, which waits for none of them."""

    boards: dict[str, LlamaHost]
    """By name."""
    generation: Generation
    """What is live on the gateway."""

    def __init__(self, name: str, stack: Value, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the boards and their gateway.

        Args:
            name: the component's name; the gateway's resources are called after it, a board's after the board.
            stack: what is declared, such as `infra.config.load()` returns it; a stack of kind `fleet`.
            opts: the engine's options.

        Raises:
            pulumi.RunError: the declaration is of another kind, or cannot be carried out.
        """
        super().__init__("pollex:fleet:Fleet", name, None, opts)
        if not isinstance(stack, FleetStack):
            raise pulumi.RunError("a Fleet is declared by a stack of kind fleet: set pollex:kind to it")
        key, public_key = _key(stack)
        below = pulumi.ResourceOptions(parent=self)
        roll = f"{pulumi.get_project()}/{pulumi.get_stack()}"
        self.boards = {
            board: LlamaHost(
                board,
                own,
                below,
                where=f"pollex:hosts.{board}.host",
                roll=(roll, stack.gateway.max_unavailable),
                python=stack.python,
            )
            for board, own in stack.boards.items()
        }
        for board, made in self.boards.items():
            own = stack.boards[board]
            text = units.authorization(own.host.user, public_key, f"pollex-gateway-of-{roll}", own.server.port)
            made.commands.run(
                f"{board}-forward", "sh -s", text, pulumi.ResourceOptions(parent=made, depends_on=[made.tools])
            )
        host_keys = {board: made.access.host_key or "" for board, made in self.boards.items()}
        try:
            front = plan.front(stack, host_keys, key, _certificate(stack))
        except (patches.PatchError, ConfigError) as error:
            raise pulumi.RunError(str(error)) from None
        self.generation = self._gateway(name, stack, front)
        self.register_outputs({"generation": front.generation.id})

    def _gateway(self, name: str, stack: FleetStack, front: plan.Front) -> Generation:
        secrets = (stack.private_key, stack.private_key_password)
        access = login(stack.front, FILES, *secrets, where="pollex:gateway.host")
        below = pulumi.ResourceOptions(parent=self)
        host = Host(f"{name}-host", connection=access, needs=_needs(stack), takeover=stack.front.takeover, opts=below)
        on_host = OnHost(connection=access, sudo=stack.front.sudo, identity=host.identity)
        tools = Tools(
            f"{name}-tools",
            **on_host,
            hash=tools_hash(str(HOST_FOLDER)),
            packages=_packages(stack),
            python=brought_python(stack.polish.python),
            opts=below,
        )
        packed = Bundle(
            f"{name}-polish",
            **on_host,
            manifest=manifest.text(front.bundle_manifest, indent=2),
            item=front.bundle.item,
            recipe=front.recipe,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[tools]),
        )
        return Generation(
            f"{name}-generation",
            **on_host,
            manifest=manifest.text(front.generation.manifest, indent=2),
            secrets=pulumi.Output.secret(front.generation.secrets),
            live=front.generation.live,
            owner=host.owner,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[packed]),
        )


def _key(stack: FleetStack) -> tuple[str, str]:
    """The key with which the gateway reaches the boards: its private half and its public one.

    A file that is missing stops an `up`; a preview contacts nothing, so there it is only a warning.

    Raises:
        pulumi.RunError: a half is missing or empty, or the public one is none.
    """
    named = stack.gateway.key_file
    file = FILES / Path(named).expanduser()
    place, public = shlex.quote(str(file)), dict[str, str]()
    command = f"ssh-keygen -t ed25519 -N '' -f {place}"
    private, wrong = texts_of({_KEY: named}, FILES)
    if not wrong:
        command = f"ssh-keygen -y -f {place} >{shlex.quote(f'{file}.pub')}"
        public, wrong = texts_of({_KEY: f"{named}.pub"}, FILES)
        if not wrong and len(public[_KEY].split()) == 1:
            wrong = [Problem(_KEY, f"{named}.pub", "holds no public key")]
    if wrong:
        stop_up([replace(problem, remedy=f"{problem.remedy}; to make it: {command}") for problem in wrong])
        return "unknown\n", "ssh-ed25519 unknown"
    return f"{private[_KEY]}\n", public[_KEY]


def _certificate(stack: FleetStack) -> str | None:
    """What the gateway shows who comes by https, and its key; None without TLS. A preview is only warned.

    Raises:
        pulumi.RunError: it cannot be read or served.
    """
    if (tls := stack.gateway.tls) is None:
        return None
    named = {f"{_TLS}.certificateFile": tls.certificate_file, f"{_TLS}.keyFile": tls.key_file}
    texts, wrong = texts_of(named, FILES)
    if not wrong:
        certificates, key = texts.values()
        try:
            return certificate.bundle(certificates, key, datetime.now(UTC))
        except certificate.CertificateRefusedError as error:
            setting = f"{_TLS}.{error.setting}"
            wrong.append(Problem(setting, named[setting], str(error)))
    stop_up(wrong)
    return "unknown\n"


def _page(stack: FleetStack) -> str:
    """Where people reach it."""
    if (tls := stack.gateway.tls) is None:
        return page_url(stack.front, stack.polish)
    return web_url(stack.front.address, tls.port, tls=True)


def _packages(stack: FleetStack) -> tuple[str, ...]:
    return (*HOST_PACKAGES, *plan.OWN_PACKAGES, *own_python(stack.polish))


def _needs(stack: FleetStack) -> Needs:
    """What the preflight checks on the gateway."""
    first, boards = stack.gateway.port, len(stack.boards)
    ports = [Port(stack.polish.port, POLLEX_UNIT, "pollex:polish.port")]
    ports += [Port(at, units.GATEWAY_UNIT, "pollex:gateway.port") for at in (first, units.statistics(first))]
    ports += [Port(first + at, units.FORWARDS_UNIT, "pollex:gateway.port") for at in range(1, boards + 1)]
    if (tls := stack.gateway.tls) is not None:
        ports.append(Port(tls.port, units.GATEWAY_UNIT, "pollex:gateway.tls.port"))
    return Needs(
        architecture=stack.front.architecture,
        disk_mb=stack.front.min_disk_mb,
        memory_mb=stack.front.min_memory_mb,
        commands=(*HOST_COMMANDS, "ssh", *own_python(stack.polish)),
        packages=_packages(stack),
        ports=tuple(ports),
        brings_python=brought_python(stack.polish.python) is not None,
        users={stack.polish.user: "pollex:polish.user"} if stack.polish.user is not None else {},
        sudo=stack.front.sudo,
    )


def declare(stack: FleetStack) -> Mapping[str, object]:
    """Declare the fleet and return the stack's outputs; none of them is secret."""
    fleet = Fleet(GATEWAY, stack)
    return {
        "page": _page(stack),
        "model": stack.model_name,
        # only known when the activations have passed their gates
        "generation": fleet.generation.generation,
        "boards": {
            name: {
                "address": stack.boards[name].host.address,
                "key": board.plan.build.key,
                "generation": board.generation.generation,
            }
            for name, board in fleet.boards.items()
        },
    }
