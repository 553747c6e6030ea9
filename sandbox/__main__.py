"""`make sandbox`: from a bare machine to a polished sentence, or to the news that nothing had to change.

    python -m sandbox {up,down}

The toolchain, the board and what its mirror serves do not depend on each other and are prepared side by side; then the
real `pulumi up --stack sandbox` does the rest over SSH.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from sandbox import fetch, mirror
from sandbox.board import DEFAULT, HOME, Board, cli
from sandbox.machine import CHECKOUT, SandboxError, say
from sandbox.serving import NEVER

STACK = "sandbox"
PULUMI = CHECKOUT / ".toolchain" / "bin" / "pulumi"

SENTENCE = "She go to the libary yesterday and forgeted her umbrela."
"""What is polished at the end."""


def prepare(*boards: str) -> None:
    """Toolchain, boards and mirrored files, side by side; each says its own progress.

    Raises:
        SandboxError: the first one that failed, once the others have come to an end.
    """
    work: list[Callable[[], object]] = [
        toolchain,
        *(partial(cli.up, name) for name in boards),
        *(partial(fetch.fetch, n) for n in fetch.NAMES),
    ]
    with ThreadPoolExecutor() as pool:
        for task in [pool.submit(one) for one in work]:
            task.result()


def toolchain() -> None:
    """Pulumi and its plugins; a process of its own, because it needs nothing of ours.

    Raises:
        SandboxError: it failed, and has said why.
    """
    if subprocess.run([sys.executable, "-m", "infra.toolchain"], cwd=CHECKOUT, check=False).returncode:
        raise SandboxError("the toolchain could not be prepared")


def pulumi(*arguments: str) -> None:
    """Run pulumi for the sandbox's stack, its output shown as it comes.

    Raises:
        SandboxError: it failed, and has said why.
    """
    # on a terminal the engine shows one moving line a resource; elsewhere a line that moves would be a line a second
    plain = [] if sys.stdout.isatty() else ["--non-interactive", "--suppress-progress"]
    command = [str(PULUMI), *arguments, "--stack", STACK, *plain]
    if status := subprocess.run(command, cwd=CHECKOUT, check=False).returncode:
        hint = "; if a killed run left the state locked: make unlock" if status == 255 else ""  # noqa: PLR2004 - its status for any error
        raise SandboxError(f"pulumi {arguments[0]} failed{hint}")


def outputs() -> dict[str, str]:
    """The stack's outputs."""
    command = [str(PULUMI), "stack", "output", "--json", "--stack", STACK]
    return dict(json.loads(subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True).stdout))


def keep_build(board: Board, item: str, shelf: str = "store") -> None:
    """Keep a finished build where the mirror serves it, so that the next board need not compile it.

    Args:
        board: where it was built.
        item: its name in the store, `<key>-<name>`.
        shelf: the mirror's folder for it.
    """
    pack = [*board.ssh("root"), f"pollex-host pack {shlex.quote(item)}"]
    mirror.keep(item, lambda to: subprocess.run(pack, check=True, stdout=to, stdin=subprocess.DEVNULL), shelf)


def polish(page: str, model: str, text: str, patience: float = NEVER) -> str:
    """The text as the board's service corrects it, asked from here, as its users do.

    Args:
        page: the service's address.
        model: its name, as clients see it.
        text: what is polished.
        patience: seconds to wait for the answer.

    Raises:
        SandboxError: the service refused.
    """
    answer = httpx.post(f"{page}/api/polish", json={"text": text, "model_id": model}, timeout=patience, trust_env=False)
    if answer.is_error:
        raise SandboxError(f"{page} answers {answer.status_code}: {answer.text.strip()}")
    return str(answer.json()["polished"])


def up() -> None:
    """Everything from nothing to a polished sentence; whatever is there already is left as it is."""
    began = time.monotonic()
    prepare(DEFAULT)
    pulumi("up", "--yes", "--skip-preview", "--suppress-outputs")
    board, declared = Board(DEFAULT), outputs()
    keep_build(board, f"{declared['key']}-llama-server")
    page = declared["page"]
    say(f"ready after {time.monotonic() - began:.0f} s; asking {declared['model']} through {page}")
    print(f"  {SENTENCE}\n  {polish(page, declared['model'], SENTENCE)}\n\n  the page: {page}")


def down() -> None:
    """Take the board away without a trace, and with it the state that speaks of it."""
    cli.down(DEFAULT)
    if PULUMI.exists():
        subprocess.run(
            [PULUMI, "stack", "rm", STACK, "--force", "--yes", "--preserve-config", "--non-interactive"],
            cwd=CHECKOUT, check=False, capture_output=True,
        )  # fmt: skip
    leave()


def leave() -> None:
    """Take the sandbox's folder away where nothing is in it any more."""
    if HOME.is_dir() and not any(HOME.iterdir()):
        HOME.rmdir()


def main(program: str, description: str, *, up: Callable[[], None], down: Callable[[], None]) -> None:
    """Run `up` or `down`, as the command line says; an error is one message and exit status 1."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description.partition("\n")[0])
    parser.add_argument("command", choices=["up", "down"], nargs="?", default="up")
    try:
        {"up": up, "down": down}[parser.parse_args().command]()
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main("sandbox", __doc__ or "", up=up, down=down)
