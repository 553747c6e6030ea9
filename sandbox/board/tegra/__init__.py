"""Imitates on a stand-in board what a Jetson Nano has besides a PC. It says nothing of a real one's speed or heat.

`tegra.sh` says what is imitated, from which descriptions, and where.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.board import Board

FOLDER = Path(__file__).parent


def imitate(board: Board) -> None:
    """Make a board that is on look like a Nano, now and after every start."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for script in sorted(FOLDER.glob("*.sh")):
            archive.add(script, script.name)
    command = "rm -rf tegra && mkdir tegra && tar -x -C tegra && sh tegra/tegra.sh install; rm -rf tegra"
    board.run(command, input=packed.getvalue(), user="root")
    board.run("nvpmodel -q", user="root")


def furnish(folder: Path) -> dict[str, str]:
    """The files of a Nano below a folder, and its programs; the environment in which both are found."""
    subprocess.run(["sh", FOLDER / "tegra.sh", "files", folder], check=True)
    programs = folder / "programs"
    programs.mkdir()
    for script in FOLDER.glob("*.sh"):
        (programs / script.stem).write_text(script.read_text())
        (programs / script.stem).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {"IMITATED_TEGRA": str(folder), "POLLEX_MACHINE": str(folder), "PATH": path}
