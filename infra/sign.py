"""The key with which a stack's finished builds are signed: `make cache-key`, `make sign`.

    python -m infra.sign STACK [--given FILE] [FILE…]

It is made where the stack has none, and stays encrypted in the stack's configuration, where `pulumi up` and this
program read it. Its public half is printed, and where FILE is given, `FILE.sig` written beside it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from infra import ROOT
from infra.core import signing
from infra.core.settings import NAMESPACE
from infra.core.signing import KeyRefusedError

SETTING = f"{NAMESPACE}:cachePrivateKey"
PULUMI = ROOT / ".toolchain" / "bin" / "pulumi"


class NoKeyError(Exception):
    """The key cannot be read, or not be kept."""


def key_of(stack: str, given: Path | None = None, pulumi: Path = PULUMI, project: Path = ROOT) -> str:
    """The private key of a stack; the one that is given, or a new one, is kept where there is none.

    Raises:
        NoKeyError: the engine refuses, or the one that is given is none, or another one is kept already.
    """
    command = [str(pulumi), "--cwd", str(project), "config"]
    if kept := _kept([*command, "get", SETTING, "--stack", stack]):
        if given is not None and _public(given.read_text(), str(given)) != _public(kept, SETTING):
            raise NoKeyError(f"stack {stack} has another key; to part with it: pulumi config rm {SETTING}")
        return kept
    made = signing.new_key() if given is None else given.read_text()
    _public(made, str(given))
    _engine([*command, "set", "--secret", SETTING, "--stack", stack], made)
    return made


def _public(key: str, what: str) -> str:
    try:
        return signing.public_key(key)
    except KeyRefusedError as error:
        raise NoKeyError(f"{what} {error}") from None


def _kept(command: list[str]) -> str:
    """The key that the stack has, or an empty text."""
    try:
        return _engine(command).strip()
    except NoKeyError as error:
        if "not found" not in str(error):
            raise
        return ""


def _engine(command: list[str], stdin: str = "") -> str:
    """What the engine says; a secret goes in by stdin, and comes back by stdout into this process alone."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoKeyError(done.stderr.strip())
    return done.stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.sign", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("files", metavar="FILE", type=Path, nargs="*", help="what is signed, into FILE.sig")
    parser.add_argument("--given", type=Path, metavar="FILE", help="a private key of yours, PEM, in place of a new one")
    asked = parser.parse_args()
    try:
        key = key_of(asked.stack, asked.given)
        for file in asked.files:
            with file.open("rb") as content:
                Path(f"{file}.sig").write_bytes(signing.file_signature(key, content))
    except (NoKeyError, OSError) as error:
        sys.exit(f"error: {error}")
    print(_public(key, SETTING))


if __name__ == "__main__":
    main()
