"""What `pulumi-resource-pollex` runs: `python -m infra.provider ENGINE`."""

import sys

from infra.provider import server
from infra.provider.generation import Generation
from infra.provider.host import Host

server.main(sys.argv[1:], {"pollex:index:Host": Host(), "pollex:index:Generation": Generation()})
