"""Generations that the host keeps, and which of them is live.

generations/ID/manifest.json holds one without its secrets, which lie in generations/ID/content, closed to all but root,
each under the hash of its text. Beside them, `log` lists activations, `pending` names the generation that one under way
came from, and `holder.json` says by whom the live one was made live. The former tools kept a folder of files under ID;
such a one is read, too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from . import files, places
from .errors import Exit, HostToolError, refusal
from .say import duration, say

if TYPE_CHECKING:
    # `status` reads what is live without making records of it: those take half of its time
    from .locks import Lock
    from .manifest import File, Generation

PATIENCE_S = 600
"""Seconds to wait for another activation: longer than any gate and the way back from it should take."""

_MANIFEST = "manifest.json"
_LOG = f"{places.GENERATIONS}/log"
_PENDING = f"{places.GENERATIONS}/pending"
_HOLDER = f"{places.GENERATIONS}/holder.json"
_RETURN = "pollex-return.service"
_WANTED = f"{places.UNITS}/multi-user.target.wants"
"""What a host with systemd starts; read when it boots, so that nothing has to be told now."""
_RESERVE = f"{places.GENERATIONS}/.reserve"
_RESERVE_KB = 256
"""Many times what units, files and records of a generation take."""


def lock(patience: float = PATIENCE_S) -> Lock:
    """The lock of all that changes what is live, held until the end of the process.

    Raises:
        HostToolError: somebody else holds it for longer than that.
    """
    from .locks import Lock  # noqa: PLC0415 - nothing that only looks needs it

    os.makedirs(places.GENERATIONS, exist_ok=True)
    taken = Lock(places.GENERATIONS)
    if taken.take():
        return taken
    if not patience:
        raise HostToolError(Exit.BUSY, "an activation, or tune, is running: try again when it is done")
    say("waiting for another activation, or tune, to end")
    if not taken.take(patience):
        raise HostToolError(
            Exit.BUSY, f"another activation, or tune, is still running after {duration(patience)}: try again later"
        )
    return taken


def current() -> str:
    """The id of the live generation, or an empty text."""
    return os.path.basename(files.link_target(places.CURRENT) or "")


def folder(name: str) -> str:
    """Where a generation is kept."""
    return f"{places.GENERATIONS}/{name}"


def exists(name: str) -> bool:
    """Whether a generation of that name is kept."""
    plain_name = name[:1] not in {"", "."} and "/" not in name
    return plain_name and os.path.isdir(folder(name))


def load(name: str) -> Generation:
    """A kept generation, without its secrets.

    Raises:
        HostToolError: it cannot be used.
    """
    from . import former, manifest  # noqa: PLC0415 - see above

    where = folder(name)
    text = files.read(f"{where}/{_MANIFEST}")
    try:
        kept = former.generation(where) if text is None else manifest.parse(text, "generation", what=where)
    except (OSError, ValueError, LookupError) as error:
        raise HostToolError(Exit.USAGE, f"the generation kept in {where} cannot be used: {error}") from None
    if not isinstance(kept, manifest.Generation) or kept.id != name:
        raise HostToolError(Exit.USAGE, f"the generation kept in {where} is another: {kept}")
    return kept


def live() -> dict[str, Any] | None:
    """The live generation as JSON data, without checks, or None."""
    name = current()
    if not exists(name):
        return None
    with suppress(ValueError):
        kept = json.loads(files.read(f"{folder(name)}/{_MANIFEST}") or "")
        if isinstance(kept, dict):
            return kept
    from . import manifest  # noqa: PLC0415 - the former tools made it live, or it is damaged

    return manifest.plain(load(name))


def keep(given: Generation) -> None:
    """Keep a generation, its secrets apart; one of the same name makes way.

    Raises:
        HostToolError: it lacks the text of a file.
    """
    from . import manifest  # noqa: PLC0415 - see above

    for path in given.lacking():
        raise HostToolError(Exit.USAGE, f"the manifest has no text for {path}, neither in `units` nor in `secrets`")
    where = folder(given.id)
    text = manifest.text(given.without_secrets())
    secrets = {files.sha256_of(secret): secret for secret in given.secrets.values()}
    if files.read(f"{where}/{_MANIFEST}") == text and _secrets_of(where) == secrets:
        return
    new = f"{places.GENERATIONS}/.new"
    files.remove(new)
    os.mkdir(new)
    if secrets:
        os.mkdir(f"{new}/content", 0o700)
    for name, secret in secrets.items():
        files.write(f"{new}/content/{name}", secret, 0o600)
    files.write(f"{new}/{_MANIFEST}", text)
    if os.path.isdir(where):
        files.remove(f"{where}.old")
        os.rename(where, f"{where}.old")
    os.rename(new, where)
    files.remove(f"{where}.old")


def _secrets_of(where: str) -> dict[str, str]:
    try:
        return {name: files.read(f"{where}/content/{name}") or "" for name in os.listdir(f"{where}/content")}
    except OSError:
        return {}


def content(kept: Generation, file: File) -> bytes:
    """What a file of a kept generation holds.

    Raises:
        HostToolError: it is lost, or is not what its hash says.
    """
    if file.text is not None:
        return file.text.encode()
    where = f"{folder(kept.id)}/content"
    for name in (file.sha256, file.name):
        with suppress(OSError):
            if files.sha256(f"{where}/{name}") == file.sha256:
                with open(f"{where}/{name}", "rb") as stored:
                    return stored.read()
    raise HostToolError(
        Exit.USAGE,
        f"{where} does not hold what {file.path} is to hold: its hash is {file.sha256}: run the deployment again",
    )


def history() -> list[str]:
    """The ids that were live, the latest last, each once, as far as they are still there."""
    names: dict[str, None] = {}
    for line in (files.read(_LOG) or "").splitlines():
        name = line.partition("\t")[2]
        if name and name != "-":
            names.pop(name, None)
            names[name] = None
    return [name for name in names if exists(name)]


def record(name: str) -> None:
    """Note that a generation became live, or with `-` that none is, unless that was the last thing that happened."""
    text = files.read(_LOG) or ""
    last = text.splitlines()[-1:]
    if last and last[0].partition("\t")[2] == name:
        return
    with open(_LOG, "a", encoding="utf-8") as log:
        log.write(f"{int(time.time())}\t{name}\n")


@contextmanager
def reserve() -> Iterator[None]:
    """Room for an activation and for the way back from it, held until either is over.

    Raises:
        HostToolError: there is none, and nothing was changed.
    """
    try:
        with open(_RESERVE, "wb") as file:
            file.write(bytes(_RESERVE_KB << 10))
    except OSError as error:
        give_room()
        if refusal(error)[0] != Exit.NO_SPACE:
            raise
        raise HostToolError(
            Exit.NO_SPACE,
            f"an activation needs {_RESERVE_KB} KB at {places.ROOT}, and {files.free_kb(places.ROOT)} KB are free: "
            "nothing was changed; make room (pollex-host gc), or choose a larger disk",
        ) from error
    try:
        yield
    finally:
        give_room()


def give_room() -> None:
    """Let the reserve be used, because the disk is full by now."""
    files.remove(_RESERVE)


def pending() -> str | None:
    """Where an activation that was cut came from; None where none was, an empty text where nothing was live."""
    text = files.read(_PENDING)
    return None if text is None else text.strip()


def begin(came_from: str) -> None:
    """Note that an activation is under way, so that after a power cut the host goes back by itself."""
    try:
        os.makedirs(_WANTED, exist_ok=True)
        files.write(f"{places.UNITS}/{_RETURN}", files.read(f"{places.HERE}/{_RETURN}") or "")
        files.link(f"../{_RETURN}", f"{_WANTED}/{_RETURN}")
        files.write(_PENDING, f"{came_from}\n")
    except OSError:
        if pending() is None:
            end()
        raise


def end() -> None:
    """No activation is under way."""
    files.remove(_PENDING)
    for path in (f"{_WANTED}/{_RETURN}", f"{places.UNITS}/{_RETURN}"):
        for name in (path, path + files.NEW):
            files.remove(name)
    with suppress(OSError):
        # not there, or not ours alone, as on every host but those of tests
        os.rmdir(_WANTED)
    give_room()


class Holder(NamedTuple):
    """By whom the live generation was made live."""

    resource: str
    """A name that no other resource has, not even one that takes its place under the same id."""
    owner: str
    """The stack, as a claim names it."""


def holder() -> Holder | None:
    """Whose the live generation is; None where the tools that made it live did not ask."""
    try:
        stored = json.loads(files.read(_HOLDER) or "")
        return Holder(str(stored["resource"]), str(stored["owner"]))
    except (ValueError, LookupError, TypeError):
        return None


def hold(by: Holder | None) -> None:
    """Note whose the live generation is."""
    if by is None:
        files.remove(_HOLDER)
    else:
        files.write(_HOLDER, json.dumps({"resource": by.resource, "owner": by.owner}, ensure_ascii=False) + "\n")


def owner() -> str:
    """The stack that claimed this host, or an empty text; the preflight writes it down (infra/provider)."""
    try:
        return str(json.loads(files.read(f"{places.ROOT}/owner.json") or "")["owner"])
    except (ValueError, LookupError, TypeError):
        return ""
