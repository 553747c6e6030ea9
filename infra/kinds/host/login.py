"""How a stack's host is logged in to, with the files read in that the stack names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi
from pydantic import SecretStr

from infra.core import hostkeys
from infra.core.report import ConfigError, Problem
from infra.kinds.host.spec import Host
from infra.provider.connection import Connection


def login(
    host: Host, root: Path, key: SecretStr | None, key_password: SecretStr | None, *, where: str = "pollex:host"
) -> Connection:
    """The connection, as `read` has it.

    A file that is missing stops an `up`; a preview contacts nothing, so there it is only a warning.

    Raises:
        pulumi.RunError: a named file is missing or empty; all such files are in one report.
    """
    connection, problems = read(host, root, key, key_password, where=where)
    stop_up(problems)
    return connection


def read(
    host: Host, root: Path, key: SecretStr | None, key_password: SecretStr | None, *, where: str
) -> tuple[Connection, list[Problem]]:
    """The connection, and what is wrong with the files that it is read from; their relative names are below `root`.

    Args:
        host: the machine.
        root: of the project.
        key: the private key itself, where no file names it.
        key_password: its password.
        where: the setting that holds the machine, for the report.
    """
    host_key_file, private_key_file = f"{where}.hostKeyFile", f"{where}.privateKeyFile"
    texts, problems = texts_of(
        {
            host_key_file: host.host_key_file if host.host_key is None else None,
            private_key_file: host.private_key_file if key is None else None,
        },
        root,
    )
    pinned = host.host_key or texts.get(host_key_file)
    if host.host_key_file and host_key_file in texts:
        try:
            hostkeys.choose(texts[host_key_file], host.address, host.port)
        except ValueError as error:
            problems.append(Problem(host_key_file, host.host_key_file, str(error)))
            pinned = None
    private_key = key.get_secret_value() if key else texts.get(private_key_file)
    password = key_password.get_secret_value() if key_password else None
    jump = host.proxy_jump
    # OpenSSH's own format wants its last line ended
    private_key = private_key.strip() + "\n" if private_key else None
    connection = Connection(
        address=host.address,
        port=host.port,
        user=host.user,
        host_key=hostkeys.choose(pinned, host.address, host.port) if pinned else None,
        private_key=private_key,
        private_key_password=password,
        proxy=None
        if jump is None
        else Connection(
            address=jump.address,
            port=jump.port,
            user=jump.user,
            host_key=hostkeys.choose(jump.host_key, jump.address, jump.port),
            private_key=private_key,
            private_key_password=password,
            settings=f"{where}.proxyJump",
        ),
        settings=where,
    )
    return connection, problems


def stop_up(problems: list[Problem]) -> None:
    """Stop an `up` where something is missing here; a preview contacts nothing, so there it is only a warning.

    Raises:
        pulumi.RunError: there are problems; all are in the report.
    """
    if not problems:
        return
    report = ConfigError(f"stacks/Pulumi.{pulumi.get_stack()}.yaml", problems)
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(str(report))
    pulumi.log.warn(f"an `up` would stop here: {report}")


def texts_of(named: Mapping[str, str | None], root: Path) -> tuple[dict[str, str], list[Problem]]:
    """The texts of files that settings name, by setting, and what is wrong with the others.

    Args:
        named: a file by each setting's full key, None where none is to be read; relative names are below `root`.
        root: of the project.
    """
    texts, problems = dict[str, str](), list[Problem]()
    for setting, name in named.items():
        if name is None:
            continue
        try:
            text = (root / Path(name).expanduser()).read_text().strip()
            wrong = "" if text else "is empty"
        except (OSError, UnicodeDecodeError) as error:
            text, wrong = "", f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
        if wrong:
            problems.append(Problem(setting, name, wrong))
        else:
            texts[setting] = text
    return texts, problems
