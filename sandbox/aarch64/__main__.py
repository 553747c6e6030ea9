"""`make sandbox-aarch64`: from nothing to a sentence that a board of the Nano's architecture has polished.

    python -m sandbox.aarch64 {up,down}

The board is Debian for arm64, and QEMU runs its programs, its systemd among them: an imitation of the processor, and
many times slower, but all that is brought there is what a Jetson gets: tools, interpreter, wheels, units and gate.
llama-server is cross-compiled (build.py) and brought by the substituter. The stack lies with its state in
.sandbox/aarch64.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import Any, Final

import yaml

from infra.core.settings import NAMESPACE
from infra.kinds import table
from infra.kinds.host.spec import HostStack
from sandbox import fetch, mirror
from sandbox.__main__ import SENTENCE, leave, main, polish, toolchain
from sandbox.aarch64 import build
from sandbox.aarch64.python import interpreter
from sandbox.board import HOME, Board, destroy
from sandbox.deployment import reached, sandbox_values
from sandbox.engine import Pulumi
from sandbox.machine import CHECKOUT, SandboxError, say

STACK: Final = "sandbox-aarch64"
BOARD: Final = "aarch64"
FOLDER: Final = HOME / "aarch64"
FILE: Final = FOLDER / f"Pulumi.{STACK}.yaml"

PATIENCE: Final = 3600
"""Seconds for whatever an emulated board does: a hang, and no verdict on how slow it is."""


def up() -> None:
    """Everything from nothing to a polished sentence; whatever is there already is left as it is."""
    began = time.monotonic()
    toolchain()
    FOLDER.mkdir(parents=True, exist_ok=True)
    board = booted(BOARD)
    with mirror.Mirror(mirror.directory(), board.gateway) as served:
        FILE.write_text(yaml.safe_dump({"config": values(board, served.url)}, sort_keys=False))
        arguments = ["--yes", "--skip-preview", "--suppress-outputs", "--config-file", str(FILE)]
        if subprocess.run(_stack().command("up", *arguments), env=_stack().env(), check=False).returncode:
            raise SandboxError("pulumi up failed")
    declared = _stack().outputs()
    page = declared["page"]
    say(f"ready after {time.monotonic() - began:.0f} s; asking {declared['model']} through {page}, which takes a while")
    print(f"  {SENTENCE}\n  {polish(page, declared['model'], SENTENCE, PATIENCE)}\n\n  the page: {page}")


def down() -> None:
    """Take the board away without a trace, and with it the state that speaks of it."""
    destroy(BOARD)
    shutil.rmtree(FOLDER, ignore_errors=True)
    leave()


def booted(name: str) -> Board:
    """The emulated board of that name, on and ready to log in."""
    try:
        board = Board(name)
    except SandboxError:
        board = Board.create(name, emulated="aarch64")
    board.start()
    say(f"waiting for {name} to boot on {board.address}, by QEMU")
    board.wait_ready()
    return board


def values(board: Board, mirrored: str) -> dict[str, Any]:
    """The stack's values: the sandbox's, on a Nano without its GPU, with everything that it needs in the mirror.

    Args:
        board: an emulated one.
        mirrored: the URL of the cache's mirror folder.

    Raises:
        SandboxError: llama-server cannot be made for it.
    """
    for name in fetch.NAMES:
        fetch.fetch(name)
    made = sandbox_values(mirrored)
    # QEMU, as Debian's packages register it, gives setuid programs no rights, and sudo is one
    made["pollex:host"] |= reached(board) | {"architecture": "aarch64", "user": "root", "sudo": False}
    made["pollex:build"]["flags"] = ["-DGGML_CPU_ARM_ARCH=armv8-a"]
    made["pollex:server"]["readySeconds"] = PATIENCE
    made["pollex:polish"] |= {
        "python": interpreter(mirrored),
        "memoryMb": 1024,  # most of it is QEMU's
        "readySeconds": PATIENCE,
        "settings": {"request_timeout": PATIENCE, "llamacpp_timeout": PATIENCE, "connect_timeout": 60},
    }
    made["pollex:substituters"] = mirror.substituters(f"{mirrored}/store")
    stack = table.parse({name.removeprefix(f"{NAMESPACE}:"): value for name, value in made.items()}, file=str(FILE))
    assert isinstance(stack, HostStack)  # noqa: S101 - what `pollex:kind` says
    build.keep(stack)
    return made


def _stack() -> Pulumi:
    return Pulumi(project=CHECKOUT, stack=STACK, state=FOLDER / "state", config_file=FILE)


if __name__ == "__main__":
    main("sandbox.aarch64", __doc__ or "", up=up, down=down)
