"""`make sandbox-fleet`: three stand-in boards and a gateway; one board is killed in mid-sentence, and all are changed.

    python -m sandbox.fleet {up,down}

The stack is the sandbox's in another kind; it lies with its state in .sandbox/fleet.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from sandbox import mirror
from sandbox.__main__ import keep_build, leave, main, polish, prepare
from sandbox.board import HOME, Board, destroy
from sandbox.crowd import Asked, Crowd, by_board
from sandbox.deployment import UNIT, reached, sandbox_values
from sandbox.engine import Pulumi
from sandbox.machine import CHECKOUT, SandboxError, say
from sandbox.serving import NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Stand-in boards and a gateway, by their names, and the stack that declares them."""

    stack: str
    boards: tuple[str, ...]
    gateway: str
    folder: Path
    """Where the stack file, its state, a cache of what was built and the gateway's key lie."""

    @property
    def file(self) -> Path:
        """The stack file."""
        return self.folder / f"Pulumi.{self.stack}.yaml"

    @property
    def key(self) -> Path:
        """With which the gateway reaches the boards."""
        return self.folder / "gateway-key"

    @property
    def pulumi(self) -> Pulumi:
        """The stack that declares them."""
        return Pulumi(project=CHECKOUT, stack=self.stack, state=self.folder / "state", config_file=self.file)

    def declare(self, mirrored: str, **server: int) -> None:
        """Write the stack file: the sandbox's, for several boards that exist.

        Args:
            mirrored: address of a mirror that all of them reach.
            server: settings of their llama-servers that are other than the sandbox's.
        """
        self.folder.mkdir(exist_ok=True)
        if not self.key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.file.write_text(yaml.safe_dump({"config": self._values(mirrored, server)}, sort_keys=False))
        # Pulumi.yaml says that it is a secret, so it must be encrypted, public as it is
        given = ("--secret", "pollex:cachePrivateKey", "--config-file", str(self.file))
        self.pulumi.run("config", "set", *given, text=mirror.KEY.read_text())

    def _values(self, mirrored: str, server: dict[str, int]) -> dict[str, Any]:
        made = sandbox_values(mirrored)
        machine = made["pollex:host"]
        for own in ("address", "hostKeyFile", "privateKeyFile"):
            del machine[own]
        made["pollex:kind"] = "fleet"
        made["pollex:hosts"] = {name: {"host": reached(Board(name))} for name in self.boards}
        made["pollex:gateway"] = {
            "host": reached(Board(self.gateway)) | {"minDiskMb": 500},
            "keyFile": str(self.key),
        }
        made["pollex:server"] |= server
        # the crowd asks from one address
        made["pollex:polish"]["settings"] = {"rate_limit": 0}
        made["pollex:publish"] = str(self.folder / "cache")
        made["pollex:substituters"] = mirror.substituters(f"{mirrored}/store")
        return made

    def set(self, place: str, value: object) -> None:
        """Set a value of the stack file, such as `server.context`."""
        self.pulumi.run("config", "set", "--path", f"pollex:{place}", str(value), "--config-file", str(self.file))

    def context(self) -> int | None:
        """The context of the boards' llama-servers that the stack file has, if there is one."""
        if not self.file.exists():
            return None
        return int(yaml.safe_load(self.file.read_text())["config"]["pollex:server"]["context"])


FLEET: Final = Fleet(
    stack="sandbox-fleet",
    boards=("fleet-1", "fleet-2", "fleet-3"),
    gateway="fleet-gateway",
    folder=HOME / "fleet",
)
CONTEXTS: Final = (2048, 4096)
"""Tokens of context: the flag that is changed under load is the one of these that is not set."""
PERSONS: Final = len(FLEET.boards) + 1
"""Who ask meanwhile: one for each board, and one who waits."""

TEXT: Final = (
    "She go to the libary yesterday and forgeted her umbrela. It were raining the hole day, so she come home all wet. "
    "Her brother have make tea for her, and they was talking about the book what she had brang."
)
"""What is polished while a board is killed: long enough to be in the middle of it."""


def up() -> None:
    """Everything from nothing to a fleet that was changed under load; whatever is there already is left as it is."""
    began = time.monotonic()
    prepare(*FLEET.boards, FLEET.gateway)
    first = Board(FLEET.boards[0])
    with mirror.Mirror(mirror.directory(), first.gateway) as served:
        FLEET.declare(served.url, context=FLEET.context() or CONTEXTS[0])
        _pulumi()
    declared = FLEET.pulumi.outputs()
    keep_build(first, f"{declared['boards'][first.name]['key']}-llama-server")
    page, model = declared["page"], declared["model"]
    say(f"ready after {time.monotonic() - began:.0f} s; asking {model} through {page}")
    print(f"  {polish(page, model, TEXT)}\n")
    outlived = killed_in_mid_sentence(page, model)
    print(f"  {outlived['polished']}\n\n  begun by {outlived['boards'][0]}, which was killed, and ended by", end=" ")
    print(", ".join(outlived["boards"][1:]), end="\n\n")
    made = roll(FLEET, page, model)
    if made.wrong:
        raise SandboxError(f"the roll under load did not go as it should: {made.wrong}")
    print(f"\n  {len(made.asked)} polished meanwhile and none failed: {made.shares()}; the page: {page}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """A change of all boards while people ask."""

    steps: tuple[tuple[str, str], ...]
    """What was done, in that order: a board, and `restarting` or `live`."""
    asked: Sequence[Asked]
    status: int
    """Of `pulumi up`."""
    said: str
    """What it printed."""

    @property
    def wrong(self) -> str:
        """Why it is none that nobody notices, or nothing: it failed, boards were away together, or a request failed."""
        if self.status:
            return f"pulumi up failed\n{self.said}"
        if not apart(self.steps):
            return f"boards were changed together: {self.steps}"
        failed = [one.wrong for one in self.asked if one.wrong]
        return f"{len(failed)} of {len(self.asked)} requests failed, such as {failed[0]}" if failed else ""

    def shares(self) -> str:
        """Answers by board, in words."""
        return ", ".join(f"{board} {count}" for board, count in sorted(by_board(self.asked).items()))


def apart(steps: Sequence[tuple[str, str]]) -> bool:
    """Whether each board that was restarted was live again, which its gate says, before the next one was."""
    boards = [board for board, what in steps if what == RESTARTING]
    return list(steps) == [(board, what) for board in boards for what in (RESTARTING, LIVE)]


RESTARTING, LIVE = "restarting", "live"
_STEP: Final = re.compile(
    rf" (?P<board>\S+)-generation .*?(?:(?P<restarting>restarting {re.escape(UNIT)})|generation \S+ is live)"
)


def steps(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The steps of a roll, as `pulumi up` prints them; it repeats a line when a resource is done."""
    seen = set()
    for line in lines:
        if found := _STEP.search(line):
            step = found["board"], RESTARTING if found["restarting"] else LIVE
            if step not in seen:
                seen.add(step)
                yield step


def kept(lines: Iterable[str], said: list[str]) -> Iterator[str]:
    """The lines, each of which is put down where it can be read again."""
    for line in lines:
        said.append(line)
        yield line


def roll(fleet: Fleet, page: str, model: str) -> Roll:
    """Change a flag of all llama-servers by `pulumi up` while people ask, and wait until each board answers again."""
    context = next(size for size in CONTEXTS if size != fleet.context())
    say(f"setting -c {context} on {len(fleet.boards)} boards while {PERSONS} people ask")
    fleet.set("server.context", context)
    crowd, said, done = Crowd(page, model, PERSONS), list[str](), list[tuple[str, str]]()

    with crowd.asking():
        crowd.answered_by(fleet.boards)
        with fleet.pulumi.popen_up("--continue-on-error") as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            for board, what in steps(kept(process.stdout, said)):
                if board in fleet.boards:
                    done.append((board, what))
                    say(f"{board}: {what}")
        if process.returncode == 0:
            crowd.answered_by(fleet.boards)
    return Roll(steps=tuple(done), asked=crowd.asked, status=process.returncode, said="".join(said))


def killed_in_mid_sentence(page: str, model: str) -> dict[str, Any]:
    """Polish a text, cut the power of the board that does it after the first words, and bring the board back.

    Returns:
        The answer: the polished text, and the boards that had a part in it.

    Raises:
        SandboxError: the answer failed, or no other board had a part in it.
    """
    body = {"text": TEXT, "model_id": model, "stream": True, "changes": True}
    asking = httpx.stream("POST", f"{page}/api/polish", json=body, timeout=NEVER, trust_env=False)
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
    for name in (*FLEET.boards, FLEET.gateway):
        destroy(name)
    shutil.rmtree(FLEET.folder, ignore_errors=True)
    leave()


def _pulumi() -> None:
    """`pulumi up`, its output shown as it comes.

    Raises:
        SandboxError: it failed, and has said why.
    """
    quiet = ["--yes", "--skip-preview", "--suppress-outputs", "--suppress-progress"]
    own = FLEET.pulumi
    arguments = [*quiet, "--continue-on-error", "--config-file", str(FLEET.file)]
    if subprocess.run(own.command("up", *arguments), env=own.env(), check=False).returncode:
        raise SandboxError("pulumi up failed")


if __name__ == "__main__":
    main("sandbox.fleet", __doc__ or "", up=up, down=down)
