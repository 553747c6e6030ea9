"""The real Pulumi command as a test drives it: its own state, no question, and what each run did as data."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
SHIM = CHECKOUT / ".toolchain/bin/pulumi"
HOME = CHECKOUT / ".toolchain/home"
"""Where Pulumi keeps what is no stack's: plugins, and logs of its runs."""
VERBOSE = "-v=8"
"""The most that Pulumi's own log may be asked: from 9 on it repeats every property, secrets too (SECURITY.md)."""


class PulumiError(AssertionError):
    """A run ended otherwise than the test expects; the text holds the command and all its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run of pulumi said and did."""

    status: int
    stdout: str
    stderr: str
    steps: Mapping[str, str] = field(default_factory=dict)
    """Name of each resource, without the stack itself and providers, to what was (or would be) done with it: `same`,
    `create`, `update`, `replace`, `delete`, `refresh`, `read`, or `failed`."""
    events: str = field(default="", repr=False)
    """The engine's events, a JSON object a line: what a program that drives it is told, and keeps."""

    @property
    def changes(self) -> dict[str, int]:
        """How many resources met with each kind of step other than `same`; empty when nothing changed."""
        counts: dict[str, int] = {}
        for step in self.steps.values():
            if step not in UNCHANGED:
                counts[step] = counts.get(step, 0) + 1
        return counts


UNCHANGED = frozenset({"same", "refresh", "read"})
REPLACEMENT = frozenset({"create-replacement", "delete-replaced"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulumi:
    """One stack of one project with a state of its own, driven through the same shim that people use."""

    project: Path
    """Folder of Pulumi.yaml."""
    stack: str
    state: Path
    """Folder of the file backend; made if it is missing."""
    config_file: Path | None = None
    """Used in place of stacks/Pulumi.<stack>.yaml."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's environment, from which every PULUMI_ variable is taken away first."""

    def up(self, *arguments: str, check: bool = True) -> Result:
        """`pulumi up`."""
        return self._operate("up", "--yes", "--skip-preview", *arguments, check=check)

    def preview(self, *arguments: str, check: bool = True) -> Result:
        """`pulumi preview`."""
        return self._operate("preview", *arguments, check=check)

    def refresh(self, *arguments: str, check: bool = True) -> Result:
        """`pulumi refresh`."""
        return self._operate("refresh", "--yes", "--skip-preview", *arguments, check=check)

    def destroy(self, *arguments: str, check: bool = True) -> Result:
        """`pulumi destroy`."""
        return self._operate("destroy", "--yes", "--skip-preview", *arguments, check=check)

    def outputs(self) -> dict[str, Any]:
        """The outputs of the stack, without the values of secrets."""
        found: dict[str, Any] = json.loads(self.run("stack", "output", "--json").stdout)
        return found

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state, as Pulumi's deployment format has them."""
        deployment = json.loads(self.run("stack", "export").stdout)["deployment"]
        found: list[dict[str, Any]] = deployment.get("resources", [])
        return found

    def run(self, *arguments: str, check: bool = True, text: str | None = None) -> Result:
        """Any command that works on a stack.

        Raises:
            PulumiError: `check` is set and the command failed.
        """
        command = self.command(*arguments)
        done = subprocess.run(command, env=self.env(), input=text or "", capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise PulumiError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return Result(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """The same command under way, in a process group of its own, both outputs in one pipe."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def popen_up(self, *arguments: str) -> subprocess.Popen[str]:
        """`pulumi up` under way; the process is pulumi itself, so that a signal to it reaches what it should."""
        return self.popen("up", "--yes", "--skip-preview", *self._config(), *arguments)

    def command(self, *arguments: str) -> list[str]:
        """The command line, to be run with `env()`."""
        fixed = ["--cwd", str(self.project), "--stack", self.stack, "--non-interactive", "--color", "never"]
        return [str(SHIM), arguments[0], *fixed, *arguments[1:]]

    def env(self) -> dict[str, str]:
        """The environment of every run."""
        self.state.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
        # The debug commands include --event-log, as Pulumi's own Automation API uses it.
        fixed = {"PULUMI_BACKEND_URL": f"file://{self.state}", "PULUMI_DEBUG_COMMANDS": "true"}
        return {**kept, **fixed, **self.environment}

    def _config(self) -> list[str]:
        return [] if self.config_file is None else ["--config-file", str(self.config_file)]

    def _operate(self, verb: str, *arguments: str, check: bool) -> Result:
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as log:
            done = self.run(verb, "--event-log", log.name, *self._config(), *arguments, check=check)
            events = log.read().decode()
        steps = _steps([json.loads(line) for line in events.splitlines()])
        return Result(status=done.status, stdout=done.stdout, stderr=done.stderr, steps=steps, events=events)


def _steps(events: list[dict[str, Any]]) -> dict[str, str]:
    """The last step of each resource out of the engine's events."""
    steps: dict[str, str] = {}
    for event in events:
        failed = event.get("resOpFailedEvent")
        outcome = failed or event.get("resOutputsEvent") or event.get("resourcePreEvent")
        if outcome is None:
            continue
        metadata = outcome["metadata"]
        if not metadata["type"].startswith("pulumi:"):
            name, step = metadata["urn"].rpartition("::")[2], metadata["op"]
            steps[name] = "failed" if failed else "replace" if step in REPLACEMENT else step
    return steps
