"""The host tools under a root of their own, and a small project for them to build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import pytest

from infra.hosttools.pollex_host import manifest

TOOLS = Path(__file__).parents[2] / "infra/hosttools"
TINY = Path(__file__).parent / "tiny"
KEY = "0123456789abcdef" * 2
NAME = f"{KEY}-llama-server"


class Host:
    """`pollex-host` with a root of its own, run by dash, which is what /bin/sh is on the boards."""

    def __init__(self, folder: Path) -> None:
        """Everything that the tools write goes into `folder`."""
        self.root = folder / "root"
        self.command = ["dash", str(TOOLS / "pollex-host")]
        self.environment = {
            **os.environ,
            "POLLEX_ROOT": str(self.root),
            "POLLEX_UNIT_DIR": str(folder / "units"),
            "POLLEX_BIN_DIR": str(folder / "bin"),
            "POLLEX_POLL": "1",
        }

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One verb; the exit status is the caller's to judge."""
        return subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def json(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """The JSON line of a verb that must succeed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def pack(self, item: str, archive: IO[bytes]) -> None:
        """The archive of a store path."""
        subprocess.run([*self.command, "pack", item], env=self.environment, stdout=archive, check=True)

    def keep(self, text: str) -> None:
        """Keep a manifest as `ensure` does, without asking for the build."""
        done = self.run("ensure", stdin=text)
        assert "does not run systemd" in done.stderr or done.returncode == 0, done.stderr

    def build(self, text: str, *, key: str = KEY) -> subprocess.CompletedProcess[str]:
        """What the build unit does, in the foreground; the log comes back as `stdout`."""
        folder = self.root / "drv" / f"{key}-llama-server"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(text)
        done = self.run("build", key)
        log = self.root / "log" / f"{key}.log"
        return subprocess.CompletedProcess(
            done.args, done.returncode, log.read_text() if log.exists() else "", done.stderr
        )

    @property
    def store(self) -> Path:
        """Where the build of `KEY` ends up."""
        return self.root / "store" / NAME


class Project:
    """A git repository with the tiny server."""

    def __init__(self, folder: Path) -> None:
        """One commit on one branch."""
        self.folder = folder
        shutil.copytree(TINY, folder)
        self.git("init", "-q", "-b", "main")
        self.commit_all()

    def git(self, *arguments: str) -> str:
        """What git says, in this repository."""
        who = ["-c", "user.name=Tiny", "-c", "user.email=tiny@example.invalid"]
        done = subprocess.run(
            ["git", "-C", str(self.folder), *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit_all(self) -> None:
        """A commit of everything."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "tiny")

    @property
    def commit(self) -> str:
        """HEAD's hash."""
        return self.git("rev-parse", "HEAD")

    @property
    def tree(self) -> str:
        """HEAD's tree, the identity of this source."""
        return self.git("rev-parse", "HEAD^{tree}")

    def patch(self, file: str, old: str, new: str) -> str:
        """A unified diff that changes one text of a file."""
        path = self.folder / file
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new))
        text = self.git("diff", "--", file) + "\n"
        path.write_text(before)
        return text

    def manifest(self, *, patches: Mapping[str, str] | None = None, **changes: object) -> str:
        """The manifest of a build of HEAD, with some fields of it or of its source changed."""
        source = {"commit": self.commit, "tree": self.tree, "number": 4980}
        source |= {"mirrors": [f"git file://{self.folder}"], "folders": ["src", "common"]}
        source |= {name: changes.pop(name) for name in tuple(changes) if name in source}
        values = {"kind": "build", "key": KEY, "name": "llama-server", "target": "llama-server", "source": source}
        series = [{"name": name, "text": text} for name, text in (patches or {}).items()]
        return json.dumps({**values, "patches": series, **changes})


def model_manifest(content: bytes, mirrors: Sequence[str], **changes: object) -> str:
    """The manifest of a model file with that content, with some fields changed."""
    model = manifest.Model(
        key=KEY,
        name="model",
        file="small.gguf",
        size=len(content),
        sha256=sha256(content).hexdigest(),
        mirrors=tuple(mirrors),
    )
    return json.dumps({**manifest.plain(model), **changes})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which nothing was ever done."""
    return Host(tmp_path / "host")


@pytest.fixture
def light() -> Iterator[Path]:
    """A folder in memory: hundreds of runs write there, and each waits for its bytes to be on the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def odd_host(tmp_path: Path) -> Host:
    """A host whose paths hold what a shell would read, for all that is no build."""
    return Host(tmp_path / "it's a $host 100%s ü")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A source that can be built in a second."""
    return Project(tmp_path / "project")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 10 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
