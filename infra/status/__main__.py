"""`python -m infra.status STACK`: asks every machine of a stack at the same time, with the keys that the stack names.

Exit status: 0 every machine serves what is declared, 1 one does not, 2 the stack cannot be read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra import FILES, ROOT
from infra.core import bundle, patches, stackfile
from infra.core.report import ConfigError, Problem
from infra.kinds import table as kinds
from infra.kinds.fleet import units as fleet_units
from infra.kinds.fleet.spec import GATEWAY, FleetStack
from infra.kinds.host import plan, polish
from infra.kinds.host.login import read
from infra.kinds.host.spec import Host, HostStack
from infra.provider.connection import Connection
from infra.provider.hosts import Hosts
from infra.provider.problems import HostError
from infra.provider.tools import NO_TOOLS, TOOLS, command, report
from infra.status import table
from infra.status.table import Machine, Row

NOW: Final = Path(__file__).with_name("now.sh").read_text()
PAUSE_S: Final = 5.0
"""Seconds between two screens of --watch."""


def main(arguments: Sequence[str]) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="make status", description="what every machine of a stack is doing now")
    parser.add_argument("stack", help="such as jetson: stacks/Pulumi.jetson.yaml")
    parser.add_argument("--file", type=Path, help="its file, where it lies elsewhere")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", action="store_true", help=f"again every {PAUSE_S:.0f} seconds, until ^C")
    given = parser.parse_args(arguments)
    file = given.file or ROOT / "stacks" / f"Pulumi.{given.stack}.yaml"
    try:
        machines = declared(given.stack, file)
    except (ConfigError, patches.PatchError, OSError) as error:
        print(f"pollex: {error}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_show(given.stack, machines, as_json=given.json, again=given.watch))
    except KeyboardInterrupt:
        return 0


def declared(stack: str, file: Path) -> dict[str, tuple[Machine, Host, Connection]]:
    """The machines of a stack by name, with what they should serve and how to log in.

    Raises:
        ConfigError: the stack file is wrong, names files that cannot be read, or declares no machine.
        OSError: there is no such file.
    """
    values = stackfile.values(file)
    spec = kinds.parse(values, file=f"stacks/{file.name}")
    if isinstance(spec, HostStack):
        hosts = {stack: (_board(stack, spec), spec.host, "pollex:host")}
    elif isinstance(spec, FleetStack):
        hosts = {name: (_board(name, own), own.host, f"pollex:hosts.{name}.host") for name, own in spec.boards.items()}
        hosts[GATEWAY] = (_gateway(spec), spec.front, "pollex:gateway.host")
    else:
        remedy = "declares no machine to ask: stacks of kind host and fleet do"
        raise ConfigError(f"stacks/{file.name}", [Problem("pollex:kind", spec.kind, remedy)])
    found, problems = dict[str, tuple[Machine, Host, Connection]](), list[Problem]()
    for name, (machine, host, where) in hosts.items():
        access, wrong = read(host, FILES, spec.private_key, spec.private_key_password, where=where)
        found[name] = (machine, host, access)
        problems += wrong
    if problems:
        raise ConfigError(f"stacks/{file.name}", problems)
    return found


def _board(name: str, stack: HostStack) -> Machine:
    made = plan.load(stack)
    items = [made.build.item, made.model.item, *([made.bundle.item] if made.bundle is not None else [])]
    return Machine(
        name=name,
        address=stack.host.address,
        declared=tuple(items),
        model=stack.model.name,
        service=stack.polish.port if stack.polish is not None else None,
    )


def _gateway(stack: FleetStack) -> Machine:
    return Machine(
        name=GATEWAY,
        address=stack.front.address,
        declared=(bundle.derivation(polish.recipe(stack.front.architecture, stack.polish)).item,),
        service=stack.polish.port,
        statistics=fleet_units.statistics(stack.gateway.port),
    )


async def _show(
    stack: str, machines: Mapping[str, tuple[Machine, Host, Connection]], *, as_json: bool, again: bool
) -> int:
    async with Hosts() as hosts:
        while True:
            rows = table.together(await asyncio.gather(*(_ask(hosts, *one) for one in machines.values())))
            if again and sys.stdout.isatty():
                print("\033[H\033[2J", end="")  # a fresh screen, as `watch` draws it
            if as_json:
                print(json.dumps(table.data(stack, rows)), flush=True)
            else:
                print(table.text(stack, rows), flush=True)
            if not again:
                return 0 if all(row.state == "serving" for row in rows) else 1
            await asyncio.sleep(PAUSE_S)


async def _ask(hosts: Hosts, machine: Machine, host: Host, access: Connection) -> Row:
    ports = f"{machine.service or ''} {machine.statistics or ''}".rstrip()
    try:
        async with hosts.connect(access) as session:
            asked = await session.run(command({"tools": TOOLS, "sudo": host.sudo}, "status --json"))
            if asked.status == NO_TOOLS:
                return table.unreachable(machine, f"{access} was not set up yet: run `pulumi up`")
            answer = report(f"asking {access} what is live", asked)
            now = await session.run(f"sh -s {ports}", stdin=NOW)
    except HostError as error:
        return table.unreachable(machine, str(error))
    return table.row(machine, answer, now.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
