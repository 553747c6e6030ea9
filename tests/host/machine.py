"""A board with the tools on it."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from typing import Any

import pytest

from infra.hosttools.pollex_host import tools
from sandbox.board import Board
from tests.host.conftest import TOOLS, Project

AWAY = pytest.mark.parametrize("away", [Board.reboot, Board.cut_power], ids=["reboot", "cut"])
"""The ways in which a board goes away, and is back."""


class Machine:
    """A board with the tools on it, used as root."""

    def __init__(self, board: Board, *packages: str) -> None:
        """Bring the tools, and let them install an interpreter, what else they need, and `packages`."""
        self.board = board
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name in tools.names(str(TOOLS)):
                archive.add(TOOLS / name, name)
        self.sh("rm -rf tools; mkdir tools && tar -x -C tools && chmod -R go= tools", packed.getvalue())
        self.sh(f"sh tools/pollex-host prepare ca-certificates curl {' '.join(packages)}; rm -rf tools")

    def sh(self, command: str, stdin: bytes | None = None, *, check: bool = True) -> str:
        """What a command says, as root."""
        return self.board.run(command, input=stdin, user="root", check=check).stdout.strip()

    def pollex(self, arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """A verb, with a manifest on stdin."""
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
