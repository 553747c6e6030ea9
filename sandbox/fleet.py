"""`make sandbox-fleet`: two stand-in boards and a gateway, deployed, and one of them killed in mid-sentence.

    python -m sandbox.fleet {up,down}

The stack is the sandbox's in another kind; it lies with its state in .sandbox/fleet.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import Any, Final

import httpx
import yaml

from sandbox import mirror
from sandbox.__main__ import keep_build, leave, main, polish, prepare
from sandbox.board import HOME, Board, destroy
from sandbox.deployment import reached, sandbox_values
from sandbox.engine import Pulumi
from sandbox.machine import CHECKOUT, SandboxError, say

STACK: Final = "sandbox-fleet"
BOARDS: Final = ("fleet-1", "fleet-2")
GATEWAY: Final = "fleet-gateway"
FOLDER: Final = HOME / "fleet"
FILE: Final = FOLDER / f"Pulumi.{STACK}.yaml"
KEY: Final = FOLDER / "gateway-key"

TEXT: Final = (
    "She go to the libary yesterday and forgeted her umbrela. It were raining the hole day, so she come home all wet. "
    "Her brother have make tea for her, and they was talking about the book what she had brang."
)
"""What is polished while a board is killed: long enough to be in the middle of it."""


def up() -> None:
    """Everything from nothing to a sentence that outlives its board; whatever is there already is left as it is."""
    began = time.monotonic()
    prepare(*BOARDS, GATEWAY)
    FOLDER.mkdir(exist_ok=True)
    if not KEY.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(KEY)], check=True)
    first = Board(BOARDS[0])
    with mirror.Mirror(mirror.directory(), first.gateway) as served:
        _pulumi(served.url)
    declared = stack().outputs()
    keep_build(first, f"{declared['boards'][BOARDS[0]]['key']}-llama-server")
    page, model = declared["page"], declared["model"]
    say(f"ready after {time.monotonic() - began:.0f} s; asking {model} through {page}")
    print(f"  {polish(page, model, TEXT)}\n")
    outlived = killed_in_mid_sentence(page, model)
    print(f"  {outlived['polished']}\n\n  begun by {outlived['boards'][0]}, which was killed, and ended by", end=" ")
    print(f"{', '.join(outlived['boards'][1:])}; the page: {page}")


def killed_in_mid_sentence(page: str, model: str) -> dict[str, Any]:
    """Polish a text, cut the power of the board that does it after the first words, and bring the board back.

    Returns:
        The answer: the polished text, and the boards that had a part in it.

    Raises:
        SandboxError: the answer failed, or no other board had a part in it.
    """
    body = {"text": TEXT, "model_id": model, "stream": True, "changes": True}
    asking = httpx.stream("POST", f"{page}/api/polish", json=body, timeout=120, trust_env=False)
    killed: Board | None = None
    event, answer = "", dict[str, Any]()
    with asking as response:
        if response.is_error:
            raise SandboxError(f"{page} answers {response.status_code}: {response.read().decode().strip()}")
        for line in response.iter_lines():
            event = line.removeprefix("event: ") if line.startswith("event: ") else event
            if line.startswith("data: ") and event == "delta" and killed is None:
                killed = Board(response.headers["x-served-by"])
                killed.kill()
                say(f"cut the power of {killed.name} after {line.removeprefix('data: ')}")
            if line.startswith("data: ") and event in ("done", "error"):
                answer = json.loads(line.removeprefix("data: "))
    if killed is not None:
        killed.start()
        killed.wait_ready()
    if killed is None or len(answer.get("boards") or ()) < 2:  # noqa: PLR2004 - the one that died, and another one
        raise SandboxError(f"the answer did not outlive its board: {json.dumps(answer)}")
    return answer


def down() -> None:
    """Take the boards away without a trace, and with them the state that speaks of them."""
    for name in (*BOARDS, GATEWAY):
        destroy(name)
    shutil.rmtree(FOLDER, ignore_errors=True)
    leave()


def values(mirrored: str) -> dict[str, Any]:
    """The stack file's content: the sandbox's, for several boards."""
    made = sandbox_values(mirrored)
    machine = made["pollex:host"]
    for own in ("address", "hostKeyFile", "privateKeyFile"):
        del machine[own]
    made["pollex:kind"] = "fleet"
    made["pollex:hosts"] = {name: {"host": reached(Board(name))} for name in BOARDS}
    made["pollex:gateway"] = {"host": reached(Board(GATEWAY)) | {"minDiskMb": 500}, "keyFile": str(KEY)}
    made["pollex:publish"] = str(FOLDER / "cache")
    made["pollex:substituters"] = mirror.substituters(f"{mirrored}/store")
    return {"config": made}


def _pulumi(mirrored: str) -> None:
    """`pulumi up`, its output shown as it comes.

    Raises:
        SandboxError: it failed, and has said why.
    """
    FILE.write_text(yaml.safe_dump(values(mirrored), sort_keys=False))
    # Pulumi.yaml says that it is a secret, so it must be encrypted, public as it is
    given = ("--secret", "pollex:cachePrivateKey", "--config-file", str(FILE))
    stack().run("config", "set", *given, text=mirror.KEY.read_text())
    quiet = ["--yes", "--skip-preview", "--suppress-outputs", "--suppress-progress"]
    arguments = [*quiet, "--continue-on-error", "--config-file", str(FILE)]
    if subprocess.run(stack().command("up", *arguments), env=stack().env(), check=False).returncode:
        raise SandboxError("pulumi up failed")


def stack() -> Pulumi:
    """The stack that declares them."""
    return Pulumi(project=CHECKOUT, stack=STACK, state=FOLDER / "state", config_file=FILE)


if __name__ == "__main__":
    main("sandbox.fleet", __doc__ or "", up=up, down=down)
