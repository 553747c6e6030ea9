"""What `pulumi-resource-command` runs: `python -m sandbox.plugins.command ENGINE`."""

import sys

from infra.provider import server
from sandbox.plugins.command.servicer import Provider

server.serve(sys.argv[1:], Provider)
