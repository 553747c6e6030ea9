"""Known vulnerabilities of everything that a lock file pins: pip-audit asks OSV for Python, govulncheck Go's database.

    python -m infra.toolchain.audit

Ends with 0 where none is known, 1 where some are, and 3 where something could not be asked: silence is no all-clear.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.toolchain import ToolchainError, golang

ROOT: Final = Path(__file__).parents[2]
GOVULNCHECK: Final = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
"""Go's checksum database and the module proxy hold it to its bytes."""
_FOUND: Final = 3
"""How govulncheck ends where it knows of something."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one lock file."""

    file: str
    known: tuple[str, ...] = ()
    """A line each."""
    unasked: str = ""
    """Why nothing, or not all, is known."""

    def __str__(self) -> str:
        """A line, and one more for each vulnerability."""
        said = f"could not be asked: {self.unasked}" if self.unasked else "" if self.known else "none known"
        return "\n  ".join([f"{self.file}: {said}".rstrip(": "), *self.known])


def of_python(file: str, answer: str, complaint: str) -> Verdict:
    """The verdict on a requirements file.

    Args:
        file: its name.
        answer: what `pip-audit --format json` printed.
        complaint: what it printed beside it.
    """
    try:
        dependencies = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return Verdict(file, unasked=_last(complaint))
    skipped = [f"{one['name']}: {one['skip_reason']}" for one in dependencies if "skip_reason" in one]
    known = tuple(
        f"{one['name']} {one['version']}: {each['id']}, mended in {', '.join(each['fix_versions']) or 'no version'}"
        for one in dependencies
        for each in one.get("vulns", ())
    )
    return Verdict(file, known, "; ".join(skipped))


def of_go(file: str, status: int, answer: str, complaint: str) -> Verdict:
    """The verdict on a go.mod.

    Args:
        file: its name.
        status: how govulncheck ended.
        answer: what it printed.
        complaint: what it printed beside it.
    """
    if status == _FOUND:
        return Verdict(file, tuple(line.strip() for line in answer.splitlines() if line.startswith("Vulnerability #")))
    return Verdict(file, unasked="" if status == 0 else _last(complaint or answer))


def verdicts() -> Iterator[Verdict]:
    """Ask for each lock file.

    Raises:
        ToolchainError: there is no Go.
    """
    uv = [str(Path(sys.executable).parent / "uv"), "run", "--quiet", "--isolated", "--no-project"]
    audit = [*uv, "--with-requirements", str(ROOT / "requirements/audit.txt"), "pip-audit", "--vulnerability-service"]
    for lock in sorted(ROOT.glob("requirements/*.txt")) + sorted(ROOT.glob("tests/image/clients/requirements.txt")):
        command = [*audit, "osv", "--format", "json", "--require-hashes", "--disable-pip", "-r", str(lock)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        yield of_python(str(lock.relative_to(ROOT)), done.stdout, done.stderr)
    go = golang.find_go(what="what looks for vulnerabilities").command
    files = subprocess.run(["git", "ls-files", "*go.mod"], cwd=ROOT, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as made:
        # outside of every module, so that what is asked does not decide what asks
        install = [go, "install", GOVULNCHECK]
        environment = {**golang.environment(), "GOBIN": made, "GOFLAGS": ""}
        done = subprocess.run(install, cwd=made, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolchainError(f"`go install {GOVULNCHECK}` failed: {_last(done.stderr)}")
        environment["PATH"] = f"{Path(go).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        for file in files.stdout.split():
            # most are there for a program of others, and have no package of their own
            tool = "tool" if "\ntool " in (ROOT / file).read_text() else "./..."
            command = [f"{made}/govulncheck", "-C", str((ROOT / file).parent), "-scan", "package", tool]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            yield of_go(file, done.returncode, done.stdout, done.stderr)


def main() -> int:
    """Ask and tell."""
    told = list[Verdict]()
    try:
        for verdict in verdicts():
            print(verdict, flush=True)
            told.append(verdict)
    except ToolchainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    if any(verdict.known for verdict in told):
        return 1
    return 3 if any(verdict.unasked for verdict in told) else 0


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1].strip()


if __name__ == "__main__":
    sys.exit(main())
