"""Makes a model file out of another one.

The manifest holds all of what it is made from and by, so that the file can be made again when neither is left in the
store.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from . import download, ensure, files, follow, kept, model, places, run, say, store
from .errors import Exit, HostToolError
from .manifest import Quantised

_TENSORS = re.compile(r"^\[ *(\d+)/ *(\d+)\]", re.MULTILINE)
_SHOWN = 5
"""Lines of a failed quantiser's log."""


def quantise(given: Quantised, part: str) -> str:
    """Leave the file in `part`; its hash.

    Raises:
        HostToolError: it could not be made, or what it is made from could not be had.
        Ended: the quantiser could not be built; why was said.
    """
    for needed in (given.source, given.tool):
        kept.keep(needed)
    model.make_exist(given.source)
    ensure.make_exist(given.tool)
    source = f"{store.path(given.source.item)}/{given.source.file}"
    program = f"{store.path(given.tool.item)}/bin/{given.tool.target}"
    # What is quantised is smaller than what it is made from.
    download.need_space(given.file, files.size(source), part)
    os.makedirs(places.LOGS, exist_ok=True)
    files.remove(part)
    status = _run(given, [program, *given.arguments, source, part, given.type, str(run.cores())])
    if status:
        raise _failed(given, f"it ended with {status}")
    if not _is_gguf(part):
        raise _failed(given, "it wrote no GGUF file")
    files.sync(part)
    return files.sha256(part)


def _run(given: Quantised, command: list[str]) -> int:
    log = follow.log_file(given.key)
    say.say(f"{given.file}: quantising to {given.type}")
    with open(log, "wb") as said:
        process = run.start(command, said, preexec_fn=_politely)
        return run.attend(
            process,
            lambda: f"{given.file}: quantising to {given.type}{_tensors_done(log)}",
            say.Pulse(places.POLL),
        )


def _politely() -> None:
    """The server that is in service comes first."""
    os.nice(10)


def _tensors_done(log: str) -> str:
    """`, 120 of 290 tensors`."""
    counts = _TENSORS.findall(files.read(log) or "")
    return f", {counts[-1][0]} of {counts[-1][1]} tensors" if counts else ""


def _is_gguf(path: str) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return file.read(4) == b"GGUF"
    return False


def _failed(given: Quantised, why: str) -> HostToolError:
    free = files.free_mb(places.ROOT)
    if free < follow.NO_SPACE_MB:
        return HostToolError(
            Exit.NO_SPACE, f"no room for {given.file}: {free} MB free at {places.ROOT} (pollex-host gc)"
        )
    log = follow.log_file(given.key)
    text = files.read(log) or ""
    for line in say.last_lines(text, _SHOWN):
        say.say(f"  {line}")
    if "requantizing from" in text:
        say.say(
            "  the source is quantised itself: name a better one in pollex:model.source, "
            "or allow it in pollex:model.quantise.requantise"
        )
    return HostToolError(Exit.BUILD, f"{given.file} could not be made: {why}", f"whole log: {follow.host_name()}:{log}")
