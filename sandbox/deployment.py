"""A stack of a test's own on a stand-in board of its own, through the real engine."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sandbox import fetch
from sandbox.board import Board
from sandbox.debian.rootfs import Release
from sandbox.engine import CHECKOUT, Pulumi
from sandbox.mirror import Mirror
from sandbox.serving import NEVER

UNIT = "llama-server.service"

SNAPSHOT = r"""
find /etc/systemd/system /usr/local /opt /home \( -path /opt/pollex -o -path /home/manu/.pollex \) -prune \
    -o -printf '%M %u %p %l\n' | sort
cut -d: -f1 /etc/passwd
systemctl list-unit-files --no-legend --no-pager
"""
"""Files, accounts and units outside of what `destroy` says it keeps."""


class Deployment:
    """A copy of the project, a board, and the stack that joins them."""

    def __init__(self, board: Board, folder: Path, served: Path, url: str) -> None:
        self.board = board
        self.project = folder / "project"
        self.served = served
        self.values = _values(board, url)
        copy_project(self.project)
        self.config_file = folder / "Pulumi.yaml"
        self.pulumi = Pulumi(
            project=self.project,
            stack=f"sandbox-{board.name}",
            state=folder / "state",
            config_file=self.config_file,
            environment={"PYTHONPATH": str(self.project), "POLLEX_POLL": "2"},
        )
        self.write()

    def write(self, **changes: Any) -> None:
        """Write the stack file, with some values changed for once: `host__port=2222` sets `pollex:host.port`."""
        values = copy.deepcopy(self.values)
        for path, value in changes.items():
            group, _, name = path.partition("__")
            if name:
                values[f"pollex:{group}"][name] = value
            else:
                values[f"pollex:{group}"] = value
        # JSON is YAML; the salt that the CLI adds may as well go
        self.config_file.write_text(json.dumps({"config": values}))

    def unlock(self) -> str:
        """`make unlock` for this stack; returns what it said."""
        command = [sys.executable, "-m", "infra.toolchain.unlock", self.pulumi.stack, "--project", str(self.project)]
        return subprocess.run(command, env=self.pulumi.env(), check=True, capture_output=True, text=True).stdout

    def polish(self, text: str) -> str:
        """What the board's llama-server makes of a text."""
        request = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 24}
        port = self.values["pollex:server"].get("port", 8080)
        command = f"curl -sS --fail --max-time {NEVER:.0f} -d @- http://localhost:{port}/v1/chat/completions"
        answer = json.loads(self.board.run(command, input=json.dumps(request).encode()).stdout)
        return str(answer["choices"][0]["message"]["content"])

    def show(self, *properties: str, unit: str = UNIT) -> list[str]:
        """Properties of a unit on the board, as systemd shows them."""
        asked = " ".join(f"-p {name}" for name in properties)
        shown = self.board.run(f"systemctl show {asked} {unit}").stdout
        pairs = dict(line.split("=", 1) for line in shown.splitlines())
        return [pairs[name] for name in properties]

    def status(self) -> dict[str, Any]:
        """`pollex-host status --json` on the board."""
        return dict(json.loads(self.board.run("sudo pollex-host status --json").stdout.splitlines()[-1]))

    def snapshot(self) -> str:
        """What a failed or undone declaration must leave as it was, one line a thing."""
        return self.board.run(SNAPSHOT, user="root").stdout


def copy_project(target: Path) -> None:
    """The checkout's files as git knows them, committed or not, with its environment linked in."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source = CHECKOUT / name
        if source.exists() or source.is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)
    (target / ".venv").symlink_to(CHECKOUT / ".venv")


def _values(board: Board, url: str) -> dict[str, Any]:
    """The sandbox stack's values for this board and mirror; nothing is substituted unless a test says so."""
    values = sandbox_values(url)
    values["pollex:host"] |= reached(board)
    values["pollex:substituters"] = []
    return values


def sandbox_values(url: str) -> dict[str, Any]:
    """The sandbox stack's values, with source and model from a mirror."""
    values: dict[str, Any] = yaml.safe_load((CHECKOUT / "stacks/Pulumi.sandbox.yaml").read_text())["config"]
    values["pollex:source"]["mirrors"] = [f"bundle {url}/{fetch.BUNDLE}"]
    values["pollex:model"]["url"] = f"{url}/{fetch.MODEL}"
    return values


def reached(board: Board) -> dict[str, str]:
    """The settings of a host with which a board is reached."""
    return {
        "address": board.address,
        "hostKeyFile": str(board.host_key),
        "privateKeyFile": str(board.private_key),
    }


def serve(folder: Path) -> Path:
    """A folder to serve: links to what the sandbox's mirror serves."""
    served = folder / "served"
    served.mkdir()
    for name in (fetch.BUNDLE, fetch.MODEL):
        source = fetch.fetch(name)
        same_disk = source.stat().st_dev == served.stat().st_dev
        (os.link if same_disk else shutil.copy)(source, served / name)
    return served


@contextmanager
def deploy(
    name: str, folder: Path, *, disk_mb: int | None = None, debian: Release | None = None
) -> Iterator[Deployment]:
    """A fresh board and a deployment on it, taken away again at the end."""
    served = serve(folder)
    with Board.temporary(name, disk_mb=disk_mb, debian=debian) as board, Mirror(served, board.gateway) as mirrored:
        yield Deployment(board, folder, served, mirrored.url)
