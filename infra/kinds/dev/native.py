"""What a dev stack renders for programs that are not compose: llama-swap, and macOS's launchd. Pure."""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Sequence

from infra.core import yamltext
from infra.core.derivation import sha256
from infra.kinds.dev.spec import Embeddings, Metal, Multiplexer

MODELS = "/models"
"""Where llama-server's image looks for models."""
PORT = 8080
"""The port that it listens on."""

JOB = "org.pollex.llama-server"
"""The label of the launchd job."""
JOB_FILE = f"{JOB}.plist"


def llama_swap(multiplexer: Multiplexer, image: str, volume: str) -> str:
    """The configuration of llama-swap, each of whose models is a container of the same image, made when asked for.

    Its keys are those of llama-swap's config-schema.json.
    """
    return yamltext.dump(
        {
            # the first load of a model comes from a cold disk
            "healthCheckTimeout": 300,
            "startPort": multiplexer.start_port,
            "models": {
                model: {
                    "cmd": shlex.join(_run(model, image, volume)),
                    "cmdStop": f"docker stop {_slug(model)}",
                    "ttl": multiplexer.idle_seconds,
                }
                for model in multiplexer.models
            },
        }
    )


def _run(model: str, image: str, volume: str) -> Sequence[str]:
    hardened = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
    mount = f"--mount=type=volume,source={volume},target={MODELS},readonly"
    run = ("docker", "run", "--rm", f"--name={_slug(model)}", *hardened, mount)
    return (*run, f"--publish=127.0.0.1:${{PORT}}:{PORT}", f"--env=MODEL={model}", image)


def _slug(model: str) -> str:
    """A container's name for a model, of its own even where two models differ in a character that names cannot have."""
    return f"llama-{re.sub(r'[^a-zA-Z0-9_.-]+', '-', model)}-{sha256(model)[:6]}"


def metal_command(embeddings: Embeddings, metal: Metal) -> tuple[str, ...]:
    """The command line of macOS's own llama-server, one word an item."""
    context = embeddings.context or 0
    return (
        metal.llama_server,
        *("--model", metal.model),
        *("--alias", embeddings.name),
        *("--host", embeddings.address),
        *("--port", str(embeddings.port)),
        "--embeddings",
        *(("--pooling", embeddings.pooling) if embeddings.pooling is not None else ()),
        *("--ctx-size", str(context * embeddings.parallel)),
        # an input is evaluated in one piece
        *("--batch-size", str(context)),
        *("--ubatch-size", str(context)),
        *("--parallel", str(embeddings.parallel)),
        *("--n-gpu-layers", "999"),
    )


def launchd(embeddings: Embeddings, metal: Metal) -> str:
    """The launchd job of macOS's own llama-server: started at login, and again when it ends by a mistake."""
    job = {
        "Label": JOB,
        "ProgramArguments": list(metal_command(embeddings, metal)),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "StandardOutPath": metal.log,
        "StandardErrorPath": metal.log,
    }
    return plistlib.dumps(job, sort_keys=False).decode()
