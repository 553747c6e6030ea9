"""From the spec to everything that a fleet makes exist: each board's plan, and the gateway's. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from infra.core import bundle
from infra.core.addresses import local_url
from infra.core.bundle import Recipe
from infra.core.derivation import Derivation
from infra.hosttools.pollex_host import manifest
from infra.kinds.fleet import units
from infra.kinds.fleet.spec import FleetStack
from infra.kinds.host import plan as hosts
from infra.kinds.host import polish, sbom
from infra.kinds.host.generation import File, Generation, Unit, generation
from infra.kinds.host.spec import told

OWN_PACKAGES = ("haproxy", "openssh-client")
"""apt packages that a gateway needs beside a host's."""

UNREAD = "(what is in {})"
"""What stands for a file's text where nothing is read: in a review, which has nobody's keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What the gateway is given, as text; nothing here was contacted."""

    bundle: Derivation
    bundle_manifest: manifest.Bundle
    recipe: Recipe
    generation: Generation
    files: dict[str, str]
    """Every generated file by its name on the host; secret ones are left out."""


def front(stack: FleetStack, host_keys: Mapping[str, str], key: str, certificate: str | None = None) -> Front:
    """The gateway's plan.

    Args:
        stack: what is declared.
        host_keys: the boards' public keys by name, as they are pinned.
        key: the text of the private key with which the gateway reaches them.
        certificate: what it shows who comes by https, with its key, as `certificate.bundle` makes it; None without TLS.

    Raises:
        ConfigError: a prompt cannot be read, or the service refuses its settings.
    """
    asked = upstream(stack)
    polish.check(asked, stack.polish)
    recipe = polish.recipe(stack.front.architecture, stack.polish)
    packed = bundle.derivation(recipe)
    prompt, modes = polish.own_prompt(stack.polish), polish.own_modes(stack.polish)
    return make(stack, host_keys, key, packed, certificate=certificate, prompt=prompt, modes=modes)


def make(
    stack: FleetStack,
    host_keys: Mapping[str, str],
    key: str,
    packed: Derivation,
    *,
    certificate: str | None = None,
    prompt: str | None = None,
    modes: Mapping[str, str] | None = None,
) -> Front:
    """The gateway's plan, from what `front` reads."""
    boards = units.doors(stack.boards, host_keys, stack.gateway.port)
    tls = stack.gateway.tls
    site = units.Site(host=tls.host, port=tls.port, service=stack.polish.port) if tls is not None else None
    together = [
        Unit(
            name=units.FORWARDS_UNIT,
            text=units.forwards_unit(boards),
            links={},
            needs=(),
            # a board that is away is no reason to take the gateway back
            health=None,
            completion=None,
            ready_seconds=stack.gateway.ready_seconds,
            files=(
                File(path=units.SSH, text=units.ssh_config(boards)),
                File(path=units.HOST_KEYS, text=units.known_hosts(boards)),
                File(path=units.SCRIPT, text=units.FORWARD),
                File(path=units.KEY, text=key, secret=True),
            ),
        ),
        Unit(
            name=units.GATEWAY_UNIT,
            text=units.gateway_unit(site),
            links={},
            needs=(),
            health=f"{local_url('127.0.0.1', units.statistics(stack.gateway.port))}/livez",
            completion=None,
            ready_seconds=stack.gateway.ready_seconds,
            files=(
                File(path=units.CONFIGURATION, text=units.haproxy(boards, stack.gateway.port, site)),
                *((File(path=units.CERTIFICATE, text=certificate, secret=True),) if certificate is not None else ()),
            ),
        ),
        # that it answers: whether it can generate is the boards' matter, each of which proves itself
        polish.unit(
            upstream(stack), stack.polish, packed, prompt, modes or {}, behind=units.GATEWAY_UNIT, health="/livez"
        ),
    ]
    return Front(
        bundle=packed,
        bundle_manifest=bundle.said(packed, told(stack.substituters)),
        recipe=polish.recipe(stack.front.architecture, stack.polish),
        generation=generation(together),
        files={
            **{unit.name: unit.text for unit in together},
            **{file.name: file.text for unit in together for file in unit.files if not file.secret},
        },
    )


def upstream(stack: FleetStack) -> dict[str, object]:
    """What the service is told of what it asks."""
    return {
        "llamacpp_url": local_url("127.0.0.1", stack.gateway.port),
        "llamacpp_model": stack.model_name,
        "llamacpp_hold_seconds": stack.gateway.hold_seconds,
        "slots": sum(board.server.slots for board in stack.boards.values()),
    }


def files(stack: FleetStack) -> dict[str, str]:
    """Every text that the stack generates by name, its keys among them; arguments and errors as for `front`.

    Keys that lie in files are not read: what is reviewed must not depend on whose machine it is.
    """
    host_keys = {
        name: board.host.host_key or UNREAD.format(board.host.host_key_file) for name, board in stack.boards.items()
    }
    tls = stack.gateway.tls
    certificate = UNREAD.format(tls.certificate_file) if tls is not None else None
    gateway = front(stack, host_keys, UNREAD.format(stack.gateway.key_file), certificate)
    made = {name: hosts.files(board) for name, board in stack.boards.items()}
    keys = {name: json.loads(texts["keys.json"]) for name, texts in made.items()}
    keys["gateway"] = {"polish": gateway.bundle.key}
    return {
        **{f"{board}.{name}": text for board, texts in made.items() for name, text in texts.items()},
        **{f"gateway.{name}": text for name, text in gateway.files.items()},
        f"gateway.{sbom.FILE}": consists(stack, gateway, sbom.Project.read()),
        "keys.json": json.dumps(
            {f"{at}/{name}": key for at, own in keys.items() for name, key in own.items()}, indent=2
        )
        + "\n",
    }


def consists(stack: FleetStack, gateway: Front, project: sbom.Project) -> str:
    """What the gateway's generation consists of, as SPDX."""
    parts = sbom.Parts(gateway.generation, f"pollex's gateway on {stack.front.address}")
    sbom.tools(parts, project)
    sbom.service(parts, gateway.bundle, gateway.recipe, project)
    for name in OWN_PACKAGES:
        parts.debian(name, relation="DEPENDS_ON")
    return parts.text()
