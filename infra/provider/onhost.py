"""How a resource reaches the host that it is on: declared once for all of them."""

from __future__ import annotations

from typing import Any, TypedDict

import pulumi
from pulumi import Output

from infra.provider.connection import Connection
from infra.provider.wire import plain


class OnHost(TypedDict):
    """Arguments of every resource on a host but the Host itself."""

    connection: Connection
    """How to log in."""
    sudo: pulumi.Input[bool]
    """Whether root's work is done through `sudo -n`."""
    identity: pulumi.Input[str]
    """The `identity` of the Host; on another one everything is done again."""


def reached(on_host: OnHost) -> dict[str, Any]:
    """These arguments as a resource's inputs."""
    return {**on_host, "connection": plain(on_host["connection"], Output.secret)}
