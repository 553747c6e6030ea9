"""Manifests that the host keeps: a store path can be made again from them, by hand and with the laptop off.

drv/KEY-NAME/manifest.json holds one. The former tools, which were shell, kept a folder of files there instead; such a
one is read, too (`former`).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from . import files, former, locks, manifest, places
from .errors import Exit, HostToolError
from .manifest import Manifest, ManifestError, Stored

FILE = "manifest.json"


def need_root() -> None:
    """The folder of everything is there and ours to write; a first write that explains itself."""
    with suppress(OSError):
        os.makedirs(places.ROOT, exist_ok=True)
    if not os.access(places.ROOT, os.W_OK):
        raise HostToolError(Exit.FAILED, f"cannot write to {places.ROOT}: run pollex-host as root (pollex:host.sudo)")


def from_stdin(*kinds: str) -> Manifest:
    """The manifest on stdin.

    Raises:
        HostToolError: it cannot be used.
    """
    content = sys.stdin.buffer.read()
    try:
        return manifest.parse(content.decode(), *kinds, what="the manifest on stdin")
    except (ManifestError, UnicodeDecodeError) as error:
        raise HostToolError(Exit.USAGE, f"stdin is not a manifest that can be used: {error}") from None


def take(verb: str, kinds: tuple[str, ...], arguments: list[str]) -> Stored:
    """The manifest that a verb is about: that of the key given, or the one on stdin, which is kept.

    Raises:
        HostToolError: there is none, it cannot be used, or is of a kind that the verb does not take.
    """
    need_root()
    if len(arguments) > 1:
        raise HostToolError(Exit.USAGE, f"'{verb}' takes at most one key")
    if arguments:
        return of_kind(verb, find(arguments[0]), kinds)
    given = of_kind(verb, _stored(from_stdin()), kinds)
    keep(given)
    return given


def of_kind(verb: str, given: Stored, kinds: tuple[str, ...]) -> Stored:
    """The same, if the verb takes it.

    Raises:
        HostToolError: it does not.
    """
    if given.kind not in kinds:
        raise HostToolError(
            Exit.USAGE, f"this is a manifest of kind '{given.kind}'; '{verb}' takes kind '{' or '.join(kinds)}'"
        )
    return given


def keep(given: Stored) -> None:
    """Keep a manifest; one with other mirrors replaces the former one of its key."""
    folder = f"{places.MANIFESTS}/{given.item}"
    text = manifest.text(given)
    if files.read(f"{folder}/{FILE}") == text:
        return
    with locks.alone(folder):
        files.write(f"{folder}/{FILE}", text)
        for name in os.listdir(folder):
            if name != FILE:
                # what the former tools kept of the same
                files.remove(f"{folder}/{name}")


def find(key: str) -> Stored:
    """The kept manifest of a key.

    Raises:
        HostToolError: it is no key, or there is none.
    """
    if not manifest.KEY.fullmatch(key):
        raise HostToolError(Exit.USAGE, f"'{key}' is not a key: 32 hex digits")
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(places.MANIFESTS)):
            if name.startswith(f"{key}-"):
                return load(name)
    raise HostToolError(
        Exit.USAGE, f"there is no manifest for {key} under {places.MANIFESTS}: pass the manifest on stdin"
    )


def load(item: str) -> Stored:
    """The kept manifest of a store path, `KEY-NAME`.

    Raises:
        HostToolError: there is none, or it cannot be used.
    """
    folder = f"{places.MANIFESTS}/{item}"
    text = files.read(f"{folder}/{FILE}")
    try:
        kept = _stored(former.stored(folder) if text is None else manifest.parse(text, what=f"{folder}/{FILE}"))
    except (ManifestError, OSError) as error:
        raise HostToolError(
            Exit.USAGE, f"the kept manifest {folder} cannot be used: {error}: run the deployment again"
        ) from None
    if kept.item != item:
        raise HostToolError(Exit.USAGE, f"the kept manifest {folder} is that of {kept.item}: run the deployment again")
    return kept


def _stored(given: Manifest) -> Stored:
    if isinstance(given, manifest.Generation):
        raise HostToolError(Exit.USAGE, "this is a manifest of kind 'generation', which 'activate' takes")
    return given
