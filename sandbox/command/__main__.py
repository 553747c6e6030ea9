"""What `pulumi-resource-command` runs: `python -m sandbox.command ENGINE`."""

import sys

from infra.provider import server
from sandbox.command.servicer import Provider

server.serve(sys.argv[1:], Provider)
