"""The Pulumi program of the tests: declares what `declared.json` beside it says."""

import json
from pathlib import Path

import pulumi

from infra.provider.connection import Connection
from infra.provider.generation import Generation
from infra.provider.host import Host
from infra.provider.preflight import Needs

declared = json.loads((Path(__file__).parent / "declared.json").read_text())
connection = Connection.parse(declared["connection"])
host = Host("host", connection=connection, needs=Needs.parse(declared["needs"], sudo=False))
pulumi.export("identity", host.identity)
if "sheet" in declared:
    generation = Generation(
        "generation",
        connection=connection,
        sudo=False,
        sheet=declared["sheet"],
        live=declared["live"],
        identity=host.identity,
        tools=declared["tools"],
    )
    pulumi.export("generation", generation.generation)
    pulumi.export("facts", generation.facts)
