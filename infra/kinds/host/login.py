"""Logins and commands on the host: the one place that knows how pulumi-command and our provider want things said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command import remote

from infra.core.report import ConfigError, Problem
from infra.kinds.host.spec import HostStack


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to reach the host, with the files that the stack names read in."""

    stack: HostStack
    host_key: str | None
    private_key: pulumi.Output[str] | None
    password: pulumi.Output[str] | None

    def command(self) -> remote.ConnectionArgs:
        """The connection as pulumi-command takes it."""
        host = self.stack.host
        jump = host.proxy_jump
        secrets: dict[str, Any] = {"private_key": self.private_key, "private_key_password": self.password}
        # few and short dials: the preflight has just shown that the host answers
        dial: dict[str, Any] = {"dial_error_limit": 2, "per_dial_timeout": 10}
        return remote.ConnectionArgs(
            host=host.address,
            port=host.port,
            user=host.user,
            host_key=self.host_key,
            proxy=remote.ProxyConnectionArgs(
                host=jump.address, port=jump.port, user=jump.user, host_key=jump.host_key, **secrets, **dial
            )
            if jump
            else None,
            **secrets,
            **dial,
        )

    def own(self) -> dict[str, pulumi.Input[Any]]:
        """The connection as our provider takes it; unset values are left out."""
        host = self.stack.host
        jump = host.proxy_jump
        secrets = {"privateKey": self.private_key, "privateKeyPassword": self.password}
        values: dict[str, Any] = {
            "address": host.address,
            "port": host.port,
            "user": host.user,
            "hostKey": self.host_key,
            **secrets,
        }
        if jump:
            proxy = {"address": jump.address, "port": jump.port, "user": jump.user, "hostKey": jump.host_key, **secrets}
            values["proxy"] = _set(proxy)
        return _set(values)


def _set(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def login(stack: HostStack, root: Path) -> Login:
    """Read what the stack's files hold; relative names are below `root`.

    A file that is missing stops an `up`; a preview contacts nothing, so there it is only a warning.

    Raises:
        pulumi.RunError: a named file is missing or empty; all such files are in one report.
    """
    host, problems = stack.host, []

    def read(key: str, name: str | None) -> str | None:
        if name is None:
            return None
        file = root / Path(name).expanduser()
        try:
            text = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(
                Problem(key, name, f"cannot be read: {error.strerror if isinstance(error, OSError) else error}")
            )
            return None
        if not text:
            problems.append(Problem(key, name, "is empty"))
        return text or None

    host_key = host.host_key or read("pollex:host.hostKeyFile", host.host_key_file)
    secret = stack.private_key.get_secret_value() if stack.private_key else None
    private_key = secret or read("pollex:host.privateKeyFile", host.private_key_file)
    if problems:
        report = ConfigError(f"stacks/Pulumi.{pulumi.get_stack()}.yaml", problems)
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(str(report))
        pulumi.log.warn(f"an `up` would stop here: {report}")
    password = stack.private_key_password
    return Login(
        stack=stack,
        host_key=" ".join(host_key.split()[:2]) if host_key else None,
        # OpenSSH's own format wants its last line ended
        private_key=pulumi.Output.secret(private_key.strip() + "\n") if private_key else None,
        password=pulumi.Output.secret(password.get_secret_value()) if password else None,
    )


class HostCommands:
    """Runs pollex-host on one host through pulumi-command.

    Commands are short and fixed and take their data on stdin. None has a `delete`, so that the `triggers`, which
    replace when they change, undo nothing. Progress comes on stderr and is shown; stdout is one JSON line.
    """

    def __init__(self, login: Login, identity: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        self._connection = login.command()
        self._sudo = "sudo -n " if login.stack.host.sudo else ""
        self._identity = identity
        self._opts = opts

    def run(self, name: str, command: str, stdin: str, *after: pulumi.Resource) -> remote.Command:
        """Run `sudo -n COMMAND` with `stdin`, again whenever `stdin` or the host's identity changes."""
        return remote.Command(
            name,
            connection=self._connection,
            create=f"{self._sudo}{command}",
            stdin=stdin,
            triggers=[self._identity],
            logging=remote.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(depends_on=list(after))),
        )
