"""What `pulumi-resource-pollex` runs: `python -m infra.provider ENGINE`."""

import sys

from infra.provider import server
from infra.provider.bundle import Bundle
from infra.provider.delivery import Tools
from infra.provider.generation import Generation
from infra.provider.host import Host
from infra.provider.hosts import Hosts
from infra.provider.image import Attached, Pushable

hosts = Hosts()
KINDS: dict[str, server.Kind] = {
    "pollex:index:Host": Host(hosts),
    "pollex:index:Attached": Attached(),
    "pollex:index:Bundle": Bundle(hosts),
    "pollex:index:Generation": Generation(hosts),
    "pollex:index:Pushable": Pushable(),
    "pollex:index:Tools": Tools(hosts),
}

server.main(sys.argv[1:], KINDS, hosts)
