"""What `pulumi-resource-docker-build` runs: `python -m sandbox.plugins.docker_build ENGINE`."""

import sys

from infra.provider import server
from sandbox.plugins.docker_build.image import Image

server.main(sys.argv[1:], {"docker-build:index:Image": Image()})
