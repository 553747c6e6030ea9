"""The commands of `python -m sandbox.board`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from sandbox import board as boards
from sandbox import mirror
from sandbox.board import DEFAULT, HOME, Board, claims
from sandbox.board.guest import Guest
from sandbox.board.network import Network
from sandbox.machine import SandboxError, say

if TYPE_CHECKING:
    from collections.abc import Callable


def up(name: str) -> None:
    """Make the board if there is none, power it on, wait until it answers."""
    try:
        board = Board(name)
    except SandboxError:
        board = Board.create(name)
    board.start()
    say(f"waiting for {name} to boot on {board.address}")
    board.wait_ready()
    if name == DEFAULT:
        say(f"mirror of {mirror.directory()} on {mirror.start(board.gateway, HOME)}")
    status(name)


def down(name: str) -> None:
    """Leave nothing of the board on this machine."""
    if name == DEFAULT:
        mirror.stop(HOME)
    boards.destroy(name)


def start(name: str) -> None:
    """Power on and wait until it answers."""
    board = Board(name)
    board.start()
    board.wait_ready()


def stop(name: str) -> None:
    """Shut down in order."""
    Board(name).stop()


def kill(name: str) -> None:
    """Cut the power."""
    Board(name).kill()


def reboot(name: str) -> None:
    """Restart in order and wait until it answers."""
    Board(name).reboot()


def wait(name: str) -> None:
    """Wait until it answers."""
    Board(name).wait_ready()


def status(name: str) -> None:
    """Say whether it is on, and how to log in."""
    board = Board(name)
    print(f"{name}: {board.state()}, {board.user}@{board.address}, key {board.private_key}")


def show() -> None:
    """Every board of this machine, of all checkouts."""
    for index, folder in sorted(claims.claims().items()):
        state = "on" if Guest(index).processes() else "off"
        gone = "" if folder.is_dir() else "  (folder deleted; the next board may take its place)"
        print(f"{Network(index).address:<14} {state:<4} {folder}{gone}")


_COMMANDS: dict[str, Callable[[str], None]] = {
    "up": up,
    "down": down,
    "start": start,
    "stop": stop,
    "kill": kill,
    "reboot": reboot,
    "status": status,
    "wait": wait,
}


def main() -> None:
    """Read the command line; errors are one message and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.board", description="Stand-in boards on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in _COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("name", nargs="?", default=DEFAULT, metavar="NAME")
    commands.add_parser("list", help=show.__doc__)
    ssh = commands.add_parser("ssh", help="log in as manu, or run a command there")
    ssh.add_argument("name", nargs="?", default=DEFAULT, metavar="NAME")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args()
    try:
        if options.command == "list":
            show()
        elif options.command == "ssh":
            line = Board(options.name).ssh()
            os.execvp(line[0], [*line, *options.words])  # noqa: S606 - hands over to ssh
        else:
            _COMMANDS[options.command](options.name)
    except SandboxError as error:
        sys.exit(f"error: {error}")
