"""Mend the state of a stack whose `pulumi` was killed: `python -m infra.toolchain.unlock STACK`, or `make unlock`.

A pulumi that ends by SIGKILL, or by SIGPIPE as in `pulumi up | head`, leaves its lock file in a file backend, and the
operation it was at marked as pending. Both are cleared here without contacting a host: every operation of this
project is idempotent and finds on the host what is there, so forgetting a half-done one loses nothing. (The usual
`pulumi refresh --clear-pending-creates` would need the host.)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


class UnlockError(Exception):
    """The state was left as it is; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a lock file of Pulumi's file backend says."""

    path: Path
    pid: int
    username: str
    hostname: str
    timestamp: str

    @classmethod
    def read(cls, path: Path) -> Lock:
        """A lock file that was cut short by a kill counts as one of a dead process here."""
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = {}
        return cls(
            path=path,
            pid=found.get("pid", 0),
            username=found.get("username", "someone"),
            hostname=found.get("hostname", socket.gethostname()),
            timestamp=found.get("timestamp", "an unknown time"),
        )

    def refuse_if_held(self) -> None:
        """Raise UnlockError while its process lives, or where that cannot be known from here."""
        what = f"locked by {self.username}@{self.hostname}, process {self.pid}, since {self.timestamp}"
        if self.hostname != socket.gethostname():
            raise UnlockError(f"{what}; if that process is gone for sure: rm '{self.path}'")
        if command := pulumi_command_of(self.pid):
            raise UnlockError(f"{what}, which still runs ({command}); wait for it or end it: kill -INT {self.pid}")


def pulumi_command_of(pid: int) -> str:
    """The command line of a living pulumi with this process id, else an empty string.

    A process id may have been given to another program since; so one that is no pulumi does not count.
    """
    if pid <= 0:
        return ""
    if Path("/proc/self").exists():
        line = Path(f"/proc/{pid}/cmdline")
        command = line.read_bytes().replace(b"\0", b" ").decode(errors="replace") if line.exists() else ""
    else:
        query = ["ps", "-o", "args=", "-p", str(pid)]
        command = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return command.strip() if "pulumi" in command else ""


def backend_folder(url: str) -> Path:
    """The folder of a `file://` backend.

    Raises:
        UnlockError: the state lies elsewhere, where locks are no files.
    """
    if not url.startswith("file://"):
        raise UnlockError(f"the state is in {url}, whose locks this command does not know: pulumi cancel --stack STACK")
    return Path(url.removeprefix("file://").partition("?")[0]).expanduser()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack of a project in a file backend, worked on with the pulumi command given."""

    pulumi: Path
    project: Path
    name: str

    def unlock(self) -> list[str]:
        """Clear lock and pending operations; returns a line for each thing mended.

        Raises:
            UnlockError: a process that holds the lock lives, or pulumi failed.
        """
        state = backend_folder(os.environ.get("PULUMI_BACKEND_URL") or f"file://{CHECKOUT}/.state") / ".pulumi"
        match = re.search(r"^name:\s*[\"']?([\w.-]+)", (self.project / "Pulumi.yaml").read_text(), re.MULTILINE)
        if match is None:
            raise UnlockError(f"{self.project / 'Pulumi.yaml'} has no name")
        locks = [Lock.read(path) for path in (state / f"locks/organization/{match[1]}/{self.name}").glob("*.json")]
        for lock in locks:
            lock.refuse_if_held()
        mended = []
        if locks:
            self._run("cancel", "--yes")
            mended += [f"took away the lock of process {lock.pid}, which is gone" for lock in locks]
        checkpoint = state / f"stacks/{match[1]}/{self.name}.json"
        if checkpoint.exists() or checkpoint.with_suffix(".json.gz").exists():
            mended += [f"forgot that {operation} was under way" for operation in self._clear_pending()]
        return mended

    def _clear_pending(self) -> list[str]:
        exported = self._run("stack", "export")
        operations = json.loads(exported)["deployment"].get("pending_operations", [])
        if operations:
            # The import drops pending operations; with any other content it is the inverse of the export.
            self._run("stack", "import", text=exported)
        return [f"{operation['type']} {operation['resource']['urn']}" for operation in operations]

    def _run(self, *arguments: str, text: str | None = None) -> str:
        command = [str(self.pulumi), "--cwd", str(self.project), *arguments, "--stack", self.name, "--non-interactive"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnlockError(f"`pulumi {' '.join(arguments)}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def main() -> int:
    """Unlock the stack named on the command line, and say what was mended."""
    parser = argparse.ArgumentParser(description="Mend the state of a stack whose pulumi was killed.")
    parser.add_argument("stack", nargs="?", default="sandbox")
    parser.add_argument("--project", type=Path, default=CHECKOUT, help="folder of Pulumi.yaml")
    arguments = parser.parse_args()
    stack = Stack(pulumi=CHECKOUT / ".toolchain/bin/pulumi", project=arguments.project, name=arguments.stack)
    try:
        mended = stack.unlock()
    except UnlockError as error:
        sys.stderr.write(f"stack {stack.name}: {error}\n")
        return 1
    for line in mended:
        sys.stdout.write(f"stack {stack.name}: {line}\n")
    last = f"`pulumi up --stack {stack.name}` goes on from what the host has" if mended else "nothing is locked"
    sys.stdout.write(f"stack {stack.name}: {last}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
