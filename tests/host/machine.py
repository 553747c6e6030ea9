"""A board with the tools on it."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from typing import Any

from sandbox.board import Board
from tests.host.conftest import TOOLS, Project


class Machine:
    """A board with the tools on it, used as root."""

    def __init__(self, board: Board, *packages: str) -> None:
        """Copy the tools as SFTP would, and let them install what they need, and `packages`."""
        self.board = board
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for file in sorted(TOOLS.iterdir()):
                if file.is_file():
                    archive.add(file, file.name)
        self.sh(
            "rm -rf .pollex; mkdir -p .pollex/host && tar -x -C .pollex/host && chmod 600 .pollex/host/*",
            packed.getvalue(),
        )
        self.sh(f"sh .pollex/host/pollex-host prepare ca-certificates curl {' '.join(packages)}")

    def sh(self, command: str, stdin: bytes | None = None, *, check: bool = True) -> str:
        """What a command says, as root."""
        return self.board.run(command, input=stdin, user="root", check=check).stdout.strip()

    def pollex(self, arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """A verb, with a sheet on stdin."""
        command = f"POLLEX_POLL=1 pollex-host {arguments}"
        return self.board.run(command, input=text.encode(), user="root", check=False)

    def json(self, arguments: str, text: str = "") -> dict[str, Any]:
        """The JSON line of a verb that must succeed."""
        done = self.pollex(arguments, text)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def bring(self, project: Project) -> None:
        """The project's repository, as a mirror on the board."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(project.folder / ".git", "project/.git")
        self.sh("rm -rf /srv/project; tar -x -C /srv", packed.getvalue())

    def pid(self, name: str) -> str:
        """The main process of a unit."""
        return self.sh(f"systemctl show -p MainPID --value {name}")
