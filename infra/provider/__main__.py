"""What `pulumi-resource-pollex` runs: `python -m infra.provider ENGINE`."""

import sys

from infra.provider import server
from infra.provider.bundle import BundleLifecycle
from infra.provider.delivery import ToolsLifecycle
from infra.provider.generation import GenerationLifecycle
from infra.provider.host import HostLifecycle
from infra.provider.hosts import Hosts
from infra.provider.image import AttachedLifecycle, PushableLifecycle
from infra.provider.share import ShareLifecycle


def main() -> None:
    """Serve the engine that is named on the command line."""
    hosts = Hosts()
    lifecycles: dict[str, server.Lifecycle] = {
        "pollex:index:Host": HostLifecycle(hosts),
        "pollex:index:Attached": AttachedLifecycle(),
        "pollex:index:Bundle": BundleLifecycle(hosts),
        "pollex:index:Generation": GenerationLifecycle(hosts),
        "pollex:index:Pushable": PushableLifecycle(),
        "pollex:index:Share": ShareLifecycle(hosts),
        "pollex:index:Tools": ToolsLifecycle(hosts),
    }
    server.main(sys.argv[1:], lifecycles, hosts)


if __name__ == "__main__":
    main()
