"""Uploading a text, a file or a folder to a host by SFTP.

Where things land is the official plugin's table:

    source | path is a folder      | path does not exist | path is a file
    -------|-----------------------|---------------------|---------------
    dir    | path/dir              | path/dir            | error
    dir/   | path/x for x in dir   | path/x for x in dir | error
    file   | path/file             | path                | overwritten
    text   | error                 | path                | overwritten

Missing folders are made; permissions, times and links of the source are not carried over.
"""

from __future__ import annotations

import posixpath
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from sandbox.plugins.command.connection import connected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.provider.engine import Log


class CopyError(Exception):
    """Something could not be copied; the message names the remote path."""


async def copy(properties: Mapping[str, Any], status: Log) -> None:
    """Copies `source` to `remotePath` over `connection`; raises CopyError, OSError, and what `connected` raises."""
    source, target = properties["source"], properties["remotePath"]
    async with connected(properties["connection"], status) as client, client.start_sftp_client() as sftp:
        if not source.get("path"):
            await _text(sftp, source.get("text", ""), target)
        elif _is_local_folder(source["path"]):
            await _folder(sftp, source["path"], target)
        else:
            await _file(sftp, source["path"], target)


async def _text(sftp: asyncssh.SFTPClient, content: str, target: str) -> None:
    if await _is_folder(sftp, target):
        raise CopyError(f"remote path {target} is a directory; when using a text asset, remotePath must be a file path")
    await _make_parents(sftp, target)
    try:
        async with sftp.open(target, "wb") as file:
            await file.write(content.encode())
    except asyncssh.SFTPError as error:
        raise CopyError(f"failed to create remote file {target}: {error}") from error


async def _file(sftp: asyncssh.SFTPClient, source: str, target: str) -> None:
    there = await _is_folder(sftp, target)
    if there:
        target = posixpath.join(target, posixpath.basename(source))
    elif there is None:
        await _make_parents(sftp, target)
    await _put(sftp, Path(source), target)


async def _folder(sftp: asyncssh.SFTPClient, source: str, target: str) -> None:
    if await _is_folder(sftp, target) is None:
        await _make_parents(sftp, target)
        await _make_folder(sftp, target)
    if not source.endswith("/"):
        target = posixpath.join(target, posixpath.basename(source))
    for relative, path in _walk(Path(source)):
        remote = posixpath.join(target, relative) if relative else target
        if path is None:
            await _make_folder(sftp, remote)
        else:
            await _put(sftp, path, remote)


def _is_local_folder(path: str) -> bool:
    return Path(path).is_dir()


def _walk(folder: Path, relative: str = "") -> Iterator[tuple[str, Path | None]]:
    """What the folder holds, in order, by its path from there: a file with where it is, a folder with None.

    A link counts as a file: it is followed when it is read, and one to a folder fails there.
    """
    yield relative, None
    for entry in sorted(folder.iterdir()):
        below = posixpath.join(relative, entry.name)
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry, below)
        else:
            yield below, entry


async def _make_folder(sftp: asyncssh.SFTPClient, target: str) -> None:
    there = await _is_folder(sftp, target)
    if there is False:
        raise CopyError(f"remote path {target} exists but is not a directory")
    if there is None:
        try:
            await sftp.mkdir(target)
        except asyncssh.SFTPError as error:
            raise CopyError(f"failed to create remote directory {target}: {error}") from error


async def _put(sftp: asyncssh.SFTPClient, source: Path, target: str) -> None:
    try:
        await sftp.put(str(source), target, follow_symlinks=True, sparse=False)
    except asyncssh.SFTPError as error:
        raise CopyError(f"failed to copy file {source} to remote path {target}: {error}") from error


async def _make_parents(sftp: asyncssh.SFTPClient, target: str) -> None:
    try:
        await sftp.makedirs(posixpath.dirname(target) or ".", exist_ok=True)
    except asyncssh.SFTPError as error:
        raise CopyError(f"failed to create parent directories for {target}: {error}") from error


async def _is_folder(sftp: asyncssh.SFTPClient, path: str) -> bool | None:
    """Whether the remote path is a folder; None when there is nothing."""
    try:
        found = await sftp.stat(path)
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None
    except asyncssh.SFTPError as error:
        raise CopyError(f"failed to stat remote path {path}: {error}") from error
    return stat.S_ISDIR(found.permissions or 0)
