"""`python -m infra.board HOST`: the steps, each of which can be repeated; `--undo` takes back what they did."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from getpass import getpass
from pathlib import Path
from typing import Any, Final

from infra import ROOT
from infra.board import answers, cmake, facts, record, stack
from infra.board.answers import Answers
from infra.board.remote import Board, StopError, fingerprint
from infra.core import stackfile
from infra.core.report import ConfigError

PASSWORD: Final = "POLLEX_SUDO_PASSWORD"  # noqa: S105 - a variable's name
"""The environment variable that answers for the sudo password, for scripts."""


def main(arguments: Sequence[str]) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="make board", description="prepare a host for `pulumi up`")
    parser.add_argument("host", help="name, alias or USER@NAME, as you would give it to ssh")
    parser.add_argument("--stack", default="jetson", help="the stack that serves on it (jetson)")
    parser.add_argument("--key", type=Path, help="your private key; else what ssh would use, or a new one")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="answers in YAML: docs/how-to/deploy-jetson.md")
    parser.add_argument("--fingerprint", help="what the host's key must have, SHA256:…, instead of a question")
    parser.add_argument("--yes", action="store_true", help="ask nothing, and stop where an answer is missing")
    parser.add_argument("--no-preview", action="store_true", help="end before `pulumi preview`")
    parser.add_argument("--undo", action="store_true", help="take back what this did to the host and the stack file")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pollex-board-") as folder:
        try:
            known = answers.read(given.answers) if given.answers else Answers()
            key = given.key.expanduser() if given.key else None
            wizard = _Wizard(Board(given.host, key, Path(folder), password=known.login), given, known)
            wizard.undo() if given.undo else wizard.prepare()
        except (StopError, ConfigError, ValueError, OSError) as error:
            print(f"pollex: {error}", file=sys.stderr)
            return 1
        except (KeyboardInterrupt, EOFError):
            print("\npollex: stopped; run it again to go on", file=sys.stderr)
            return 1
    return 0


class _Wizard:
    """The steps, in front of somebody who answers, or of a file that does."""

    def __init__(self, board: Board, given: argparse.Namespace, known: Answers) -> None:
        self._board = board
        self._given = given
        self._answers = known
        self._stack: str = given.stack
        self._file = ROOT / "stacks" / f"Pulumi.{given.stack}.yaml"

    def prepare(self) -> None:
        """From a host that is only there to one that `pulumi up` can take."""
        if not self._file.exists():
            name = self._file.relative_to(ROOT)
            raise StopError(f"there is no {name}: copy the one that is nearest, and name it with STACK=…")
        wanted: Any = stackfile.values(self._file).get("host")
        if not isinstance(wanted, dict):
            raise StopError(f"the stack {self._stack} declares no host: name another with STACK=…")
        line = self._met()
        self._let_in()
        seen = self._looked(wanted)
        self._change(seen)
        self._declare(seen["user"], line)
        preview = [str(ROOT / ".toolchain/bin/pulumi"), "preview", "--stack", self._stack]
        if not self._given.no_preview and subprocess.run(preview, check=False, cwd=ROOT).returncode:
            raise StopError("the host is ready, and the preview failed: see above")
        undo = f"make board HOST={self._given.host}{self._named} UNDO=1"
        print(f"ready: pulumi up --stack {self._stack}    (undo: {undo})")

    def _looked(self, wanted: dict[str, Any]) -> facts.Facts:
        """What the host is, shown to the operator.

        Raises:
            StopError: it cannot take the stack.
        """
        seen = facts.parse(self._board.script("look").decode(errors="replace"))
        for text in facts.described(seen):
            print(f"  {text}")
        if problems := facts.in_the_way(seen, wanted):
            first = f"{self._given.host} cannot take {self._stack}; nothing was changed on it:"
            raise StopError("\n  ".join([first, *problems]))
        for text in facts.remarks(seen):
            print(f"  note: {text}")
        return seen

    def _change(self, seen: facts.Facts) -> None:
        """Sudo without a password, the right time, a CMake that is new enough."""
        board, root = self._board, self._root(seen)
        wrong = facts.clock_error(seen, time.time())
        if wrong:
            print(f"its clock is {facts.duration(wrong)}: setting it from this machine's")
        board.script("prepare", seen["user"], str(int(time.time())) if wrong else "", root=root)
        if root and board.run(["sudo", "-k", "-n", "true"]).returncode:
            after = "a rule that is read after /etc/sudoers.d/pollex asks for one still: `sudo -l` there shows it"
            raise StopError(f"sudo on {self._given.host} goes on asking for a password: {after}")
        if root:
            print("sudo asks for no password any more (/etc/sudoers.d/pollex)")
        if facts.needs_cmake(seen):
            print(f"bringing CMake {cmake.VERSION}")
            board.script("cmake", cmake.VERSION, root="", data=cmake.archive())

    def undo(self) -> None:
        """Take sudoers file, CMake and key away, and put the stack file's former values back."""
        board, host = self._board, self._given.host
        self._met()
        let_in = board.own_key.exists() and board.opens()
        ask = not let_in and (not self._given.yes or self._answers.login is not None)
        seen = facts.parse(board.script("look", ask=ask).decode(errors="replace"))
        board.script("undo", root=self._root(seen))
        if board.own_key.exists():
            board.script("let-out", _bare(board.public_key))
        kept = record.Record.read(self._stack)
        if self._file.exists() and kept.written:
            back = stack.taken_back(kept.written, kept.former, self._standing(kept.written))
            self._file.write_text(stack.changed(self._file.read_text(), back))
        record.forget(self._stack)
        print(f"undone on {host} and in {self._file.relative_to(ROOT)}")
        if "serving" in seen:
            again = f"make board HOST={host}{self._named}, pulumi destroy --stack {self._stack}"
            print(f"  note: what was brought there by `pulumi up` serves on; to end that: {again}, and undo again")

    @property
    def _named(self) -> str:
        return "" if self._stack == "jetson" else f" STACK={self._stack}"

    def _met(self) -> str:
        """The host's key, once somebody has said that it is the host's.

        Raises:
            StopError: it is another, or nobody says so.
        """
        line, shown = self._board.host_key()
        wanted = self._given.fingerprint or self._answers.fingerprint
        pinned = record.key_file(self._stack)
        former = pinned.read_text().strip() if pinned.exists() else ""
        print(f"{self._given.host} shows the key {line.split()[0]} {shown}")
        if wanted is not None:
            if wanted != shown:
                raise StopError(
                    f"expected {wanted}: this is another machine, or it was flashed anew; nothing was done.\n"
                    f"  {_compare(line)}; if it is the same, give {shown} as the fingerprint"
                )
        elif line == former:
            print("  the same as the last time")
        elif line in self._board.known():
            print("  the same as in your known_hosts")
        else:
            if former:
                print(f"  the last time, for this stack, it was another one: {fingerprint(former)}")
            print(f"  {_compare(line)}")
            if self._given.yes:
                raise StopError(f"nobody said that this key is the host's; nothing was done: --fingerprint {shown}")
            if input("is that the same? [y/N] ").strip().lower() not in {"y", "yes"}:
                raise StopError("the key was not confirmed; nothing was done")
        return line

    def _let_in(self) -> None:
        """See to it that the key is let in; OpenSSH asks for the login's password, once, where it is not."""
        board = self._board
        if not board.own_key.exists():
            board.own_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", board.own_key], check=True)
            print(f"made a key for you: {board.own_key}")
        if board.opens():
            return
        if self._given.yes and self._answers.login is None:
            copy = f"ssh-copy-id -i {board.own_key}.pub {self._given.host}"
            raise StopError(f"{self._given.host} lets no key of yours in: {copy}, or --answers with loginPassword")
        try:
            board.script("let-in", _bare(board.public_key), ask=True)
        except StopError as error:
            raise StopError(f"{self._given.host} lets neither a key nor a password in ({error})") from None
        print(f"{self._given.host} lets your key {board.own_key} in now")

    def _root(self, seen: facts.Facts) -> str:
        """The sudo password, tried once so that a wrong one changes nothing; empty where none is asked."""
        if "root" in seen:
            return ""
        password = os.environ.get(PASSWORD) or self._answers.sudo or ""
        if not password and not self._given.yes:
            password = getpass(f"sudo password of {seen['user']} on {self._given.host} (used once, not kept): ")
        if not password:
            raise StopError(f"sudo asks for a password there: give it as sudoPassword in --answers, or in {PASSWORD}")
        if self._board.run(["sudo", "-k", "-S", "-p", "", "true"], f"{password}\n".encode()).returncode:
            raise StopError(f"{self._given.host} does not take that password for sudo")
        return password

    def _declare(self, user: str, line: str) -> None:
        """Write the stack file, and beside one's other settings the host's key and what stood there before."""
        record.passphrase()
        config, pinned = self._board.config, record.key_file(self._stack)
        pinned.write_text(line + "\n")
        settings: dict[tuple[str, str], object] = {
            ("host", "address"): config["hostname"],
            ("host", "port"): int(config["port"]),
            ("host", "user"): user,
            ("host", "hostKeyFile"): _short(pinned),
            # an agent is asked where none is named
            ("host", "privateKeyFile"): None if (locked := self._board.encrypted()) else _short(self._board.own_key),
            ("server", "user"): user,
        }
        record.Record.read(self._stack).then(settings, self._standing(settings)).keep(self._stack)
        self._file.write_text(stack.changed(self._file.read_text(), settings))
        print(f"wrote {self._file.relative_to(ROOT)}; `git diff stacks` shows what changed")
        if locked:
            print("  note: your key has a passphrase, so `pulumi up` asks your SSH agent for it: ssh-add first")
        if config.get("proxyjump", "none") != "none":
            print(f"  note: you reach it through {config['proxyjump']}: declare that in pollex:host.proxyJump too")

    def _standing(self, settings: stack.Settings) -> stack.Settings:
        """What the stack file has for these settings now; None where it has nothing."""
        values: Any = stackfile.values(self._file)
        return {(group, name): values.get(group, {}).get(name) for group, name in settings}


def _compare(line: str) -> str:
    """Where to see whether a key that was shown is the host's."""
    kind = line.removeprefix("ecdsa-sha2-").removeprefix("ssh-").split()[0]
    file = f"/etc/ssh/ssh_host_{'ed25519' if kind == 'ed25519' else 'ecdsa'}_key.pub"
    return f"compare it with what the host itself says, at its own screen: ssh-keygen -lf {file}"


def _bare(public: str) -> str:
    """A public key without its comment."""
    return " ".join(public.split()[:2])


def _short(path: Path) -> str:
    """A path as people write it."""
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
