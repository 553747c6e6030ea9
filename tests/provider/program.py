"""The Pulumi program of the tests: declares what `declared.json` beside it says."""

import json
from pathlib import Path

import pulumi

from infra.provider.declarations import Generation, Host

declared = json.loads((Path(__file__).parent / "declared.json").read_text())
connection = declared["connection"] | {"privateKey": pulumi.Output.secret(declared["connection"]["privateKey"])}
host = Host("host", connection=connection, sudo=False, needs=declared["needs"], takeover=declared.get("takeover"))
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
