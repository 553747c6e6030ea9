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
host = Host(
    "host", connection=connection, needs=Needs.parse(declared["needs"], sudo=False), takeover=declared.get("takeover")
)
pulumi.export("identity", host.identity)
if "manifest" in declared:
    generation = Generation(
        "generation",
        connection=connection,
        sudo=False,
        manifest=declared["manifest"],
        live=declared["live"],
        identity=host.identity,
        owner=host.owner,
        tools=declared["tools"],
    )
    pulumi.export("generation", generation.generation)
    pulumi.export("facts", generation.facts)
