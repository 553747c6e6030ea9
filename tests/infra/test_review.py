"""A reviewer sees what a change means, whatever the machine can reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra import ROOT
from sandbox.deployment import copy_project


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with this tree as its one commit."""
    folder = tmp_path_factory.mktemp("review") / "project"
    copy_project(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message=before")
    return folder


@pytest.fixture
def project(repository: Path) -> Path:
    """The repository as committed."""
    git(repository, "checkout", "--quiet", "--", "stacks")
    return repository


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def review(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m infra.review` with the code of that folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PATH": f"{path}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "infra.review", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def pulumi_that_says(folder: Path, line: str) -> None:
    """A `pulumi` that fails with a line."""
    (folder / "pulumi").write_text(f"#!/bin/sh\necho '{line}'\nexit 255\n")
    (folder / "pulumi").chmod(0o755)


@pytest.fixture
def changed(project: Path) -> Path:
    """The project with another context size and another build flag for the Nano, not committed."""
    file = project / "stacks" / "Pulumi.jetson.yaml"
    text = file.read_text().replace("context: 2048", "context: 4096")
    file.write_text(text.replace("profile: cuda10", "profile: cuda10\n    flags: [-DX=1]"))
    return project


def test_a_change_is_shown(changed: Path) -> None:
    """If this fails, a reviewer does not see that a change costs a rebuild or alters a unit."""
    shown = review(changed, "diff", "HEAD")
    assert shown.returncode == 0, shown.stderr
    assert "-    -c 2048 \\" in shown.stdout
    assert "+    -c 4096 \\" in shown.stdout
    rows = [line for line in shown.stdout.splitlines() if line.startswith("| jetson")]
    assert ["made anew" in row or "activated anew" in row for row in rows] == [True, True, False, False]
    assert not [line for line in shown.stdout.splitlines() if line.startswith("| sandbox") and "anew" in line]


def test_no_change_is_said(project: Path) -> None:
    """If this fails, every pull request looks as if it changed the boards."""
    shown = review(project, "diff", "HEAD")
    assert "No generated file changes." in shown.stdout
    assert "anew" not in shown.stdout


def test_a_wrong_stack_file_is_said(changed: Path) -> None:
    """If this fails, a stack that cannot be rendered vanishes from the review."""
    file = changed / "stacks" / "Pulumi.jetson.yaml"
    file.write_text(file.read_text().replace("context: 4096", "context: many"))
    shown = review(changed, "diff", "HEAD")
    assert "jetson: could not be rendered after the change" in shown.stdout


def test_an_unknown_base_is_said(project: Path) -> None:
    """If this fails, a shallow clone ends in a stack trace."""
    shown = review(project, "diff", "no-such-branch")
    assert shown.returncode != 0
    assert "no-such-branch" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_missing_plugin_leaves_the_program_s_own_graph(project: Path, tmp_path: Path) -> None:
    """If this fails, a stack whose plugin cannot be had here is not reviewed at all."""
    pulumi_that_says(tmp_path, "error: no resource plugin pulumi-resource-command found in the workspace")
    shown = review(project, "plan", path=f"{tmp_path}:")
    assert shown.returncode == 0, shown.stderr
    assert "own graph, unchecked by an engine" in shown.stdout
    assert "+ pollex:index:Generation llama-generation after llama-host, llama-model" in shown.stdout


def test_a_failed_plan_fails(project: Path, tmp_path: Path) -> None:
    """If this fails, a pull request that breaks a stack is green."""
    pulumi_that_says(tmp_path, "error: something else")
    shown = review(project, "plan", path=f"{tmp_path}:")
    assert shown.returncode != 0
    assert "something else" in shown.stdout


@pytest.mark.root
def test_the_plans_need_nothing(tmp_path: Path) -> None:
    """If this fails, a pull request from a fork cannot be planned: no key, no state, no passphrase, no network."""
    files = sorted((ROOT / "stacks").iterdir())
    before = [file.read_bytes() for file in files]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    environment |= {"HOME": str(tmp_path), "PATH": f"{ROOT / '.toolchain' / 'bin'}:{environment['PATH']}"}
    # a network of its own, in which the engine reaches its plugins and nothing else can be reached
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    command = [*alone, sys.executable, "-m", "infra.review", "plan"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # where a plugin cannot be had, the program's own graph takes the plan's place, and that is said
    assert done.stdout.count("to create") + done.stdout.count("own graph, unchecked by an engine") == len(files)
    assert [file.read_bytes() for file in files] == before
