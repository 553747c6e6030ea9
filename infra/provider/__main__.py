"""What `pulumi-resource-pollex` runs: `python -m infra.provider ENGINE`."""

import sys

from infra.provider import server
from infra.provider.bundle import Bundle
from infra.provider.generation import Generation
from infra.provider.host import Host
from infra.provider.image import Attached, Pushable

KINDS: dict[str, server.Kind] = {
    "pollex:index:Host": Host(),
    "pollex:index:Attached": Attached(),
    "pollex:index:Bundle": Bundle(),
    "pollex:index:Generation": Generation(),
    "pollex:index:Pushable": Pushable(),
}

server.main(sys.argv[1:], KINDS)
