"""Commands on the host: the one place that knows how pulumi-command wants things said."""

from __future__ import annotations

from typing import Any, Final

import pulumi
from pulumi_command import remote

from infra.provider.connection import Connection

_DIAL: Final[dict[str, Any]] = {"dial_error_limit": 2, "per_dial_timeout": 10}
"""Few and short dials: the preflight has just shown that the host answers."""


class HostCommands:
    """Runs pollex-host on one host through pulumi-command.

    Commands are short and fixed and take their data on stdin. None has a `delete`, so that the `triggers`, which
    replace when they change, undo nothing. Progress comes on stderr and is shown; stdout is one JSON line.
    """

    def __init__(self, to: Connection, *, dialled: pulumi.Input[str], sudo: bool, identity: pulumi.Input[str]) -> None:
        """Nothing is run yet.

        Args:
            to: how to log in.
            dialled: the numeric address of the first machine on the way; the plugin asks no NSS, so it knows no mDNS.
            sudo: whether commands run through `sudo -n`.
            identity: the `identity` of the Host.
        """
        self._connection = remote.ConnectionArgs(
            # a machine in between resolves the name itself
            host=dialled if to.proxy is None else to.address,
            port=to.port,
            user=to.user,
            host_key=to.host_key,
            proxy=None
            if to.proxy is None
            else remote.ProxyConnectionArgs(
                host=dialled,
                port=to.proxy.port,
                user=to.proxy.user,
                host_key=to.proxy.host_key,
                **_secrets(to.proxy),
                **_DIAL,
            ),
            **_secrets(to),
            **_DIAL,
        )
        self._sudo = "sudo -n " if sudo else ""
        self._identity = identity

    def run(self, name: str, command: str, stdin: str, opts: pulumi.ResourceOptions) -> remote.Command:
        """Run `sudo -n COMMAND` with `stdin`, again whenever `stdin` or the host's identity changes."""
        return remote.Command(
            name,
            connection=self._connection,
            create=f"{self._sudo}{command}",
            stdin=stdin,
            triggers=[self._identity],
            logging=remote.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=opts,
        )


def _secrets(to: Connection) -> dict[str, Any]:
    given = {"private_key": to.private_key, "private_key_password": to.private_key_password}
    return {name: None if text is None else pulumi.Output.secret(text) for name, text in given.items()}
