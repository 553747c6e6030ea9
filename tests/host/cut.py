"""Runs verbs of pollex-host and cuts their power, or fills their disk, before the n-th change that they make.

    cut.py TOOLS

Each line on stdin asks for a run, as JSON: `arguments`, `stdin` (a byte that is no UTF-8 as a lone surrogate), `step`
(0 cuts nothing), `reserve`, the path of a file as long as which exists the disk is full from that step on, in place
of a cut, and `secret`, the path of a file that nobody but root may ever read, not even while it is written: whenever
something is about to change, it and its like beside it are looked at, and a status of 99 says that one was open to
others. A line of JSON answers: `status`, and what the run `said` on stderr. Runs are forked from one process that has
read the program, because there are hundreds.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

CHANGES = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod", "os.chown", "subprocess.Popen",
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR
ROOM = {"open", "os.mkdir", "os.symlink"}
"""What a full disk refuses, of the changes."""


def watch(step: int, secret: str, reserve: str) -> None:
    """Cut this process's power before its n-th change, or let the disk be full from then on."""
    done = 0

    def before(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event not in CHANGES and not (event == "open" and arguments[2] & WRITES):
            return
        done += 1
        for path in (secret, f"{secret}.pollex-new"):
            with suppress(FileNotFoundError):
                if os.lstat(path).st_mode & 0o077:
                    os._exit(99)
        if reserve:
            if done >= step and event in ROOM and Path(reserve).exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
        elif done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(before)


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """One run, in a process of its own."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(asked["stdin"].encode(errors="surrogateescape"))
        given.seek(0)
        child = os.fork()
        if not child:
            for descriptor, number in ((given.fileno(), 0), (os.open(os.devnull, os.O_WRONLY), 1), (said.fileno(), 2)):
                os.dup2(descriptor, number)
            sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb"))
            if asked["step"]:
                watch(asked["step"], asked["secret"], asked["reserve"])
            os._exit(import_module("pollex_host.cli").main(asked["arguments"]))
        _, ended = os.waitpid(child, 0)
        said.seek(0)
        return {"status": os.waitstatus_to_exitcode(ended), "said": said.read().decode()}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import_module("pollex_host.activate")
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
