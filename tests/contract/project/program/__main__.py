"""A whole program, for what a function cannot show: its own folder, and an engine that is interrupted or killed."""

import json
import os

import pulumi
from pulumi_command import remote

connection = remote.ConnectionArgs(**json.loads(os.environ["CONTRACT_CONNECTION"]))
notes = remote.CopyToRemote(
    "notes", source=pulumi.FileAsset("notes"), remote_path=os.environ["CONTRACT_COPY"], connection=connection
)
# after it: what an engine had made before it was interrupted is in its state
remote.Command(
    "it",
    create=os.environ["CONTRACT_COMMAND"],
    connection=connection,
    opts=pulumi.ResourceOptions(depends_on=[notes]),
)
