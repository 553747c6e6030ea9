"""What `pulumi-resource-docker` runs: `python -m sandbox.plugins.docker ENGINE`."""

import sys

from infra.provider import server
from sandbox.plugins.docker.resources import Servicer

server.serve(sys.argv[1:], Servicer)
