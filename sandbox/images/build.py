"""Runs buildx for a request, and says in a line why it failed."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.kinds.image import buildx
from infra.kinds.image.buildx import BuildRequest

_STEP = re.compile(r"#\d+ (?:\d+\.\d+ )?(.*)")
"""A line of buildx's plain progress: number of the step, seconds, what it said."""
_OWN = re.compile(r"(image|pollex|E): ")
"""How the lines begin that our scripts, pollex-host's and apt say why they stop with."""
_REFUSED = re.compile(r"authorization failed|401 Unauthorized|insufficient_scope|denied: |403 Forbidden")


class BuildError(Exception):
    """The image was not built, or not pushed; nothing was put under its tags. The text is complete."""


@dataclass(frozen=True, slots=True)
class Built:
    """What was pushed."""

    digest: str
    """Of the index, `sha256:…`."""


def build(
    request: BuildRequest,
    *,
    program: Sequence[str],
    builder: str | None,
    folder: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    extra: Sequence[str] = (),
) -> Built:
    """Build and push.

    Args:
        request: what is asked for.
        program: `docker buildx` or what stands for it.
        builder: its name; None takes the current one.
        folder: the project's, to which the request's folders are relative.
        environment: of the program.
        say: takes each line of progress.
        extra: further arguments, such as `--no-cache`.

    Raises:
        BuildError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="pollex-build-") as temporary:
        metadata = Path(temporary, "metadata.json")
        words = buildx.argv(request, builder=builder, metadata=str(metadata))
        command = [*program, words[0], "--progress=plain", *extra, *words[1:]]
        status, output = _run(command, folder, environment, say)
        if status:
            raise BuildError(reason(output))
        return Built(json.loads(metadata.read_text())["containerimage.digest"])


def _run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[int, list[str]]:
    """The exit status of a command, and all its lines."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error.strerror}") from error
    lines: list[str] = []
    with process:
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                say(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    return process.returncode, lines


def reason(output: Sequence[str]) -> str:
    """Why a build failed, in one line out of everything that buildx said."""
    said = [match[1] if (match := _STEP.fullmatch(line)) else line for line in output]
    if any("no space left on device" in line for line in said):
        return "the build ran out of disk space: free some where BuildKit keeps its cache (docker buildx du)"
    if any(_REFUSED.search(line) for line in said if line.startswith("ERROR")):
        last = next(line for line in reversed(said) if line.startswith("ERROR"))
        return f"the registry refused the image: {last.removeprefix('ERROR: ')}"
    own = [line for line in said if _OWN.match(line)]
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    found = own[-1:] or errors[-1:] or said[-1:]
    return found[0] if found else "buildx failed and said nothing"
