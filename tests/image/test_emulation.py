"""Whether this machine runs programs of another architecture, with a made-up kernel and binfmt-support."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox.images import __main__ as make
from sandbox.images import emulation
from sandbox.images.emulation import NoEmulationError
from sandbox.machine import SandboxError

FLAGS = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\n"
UPDATE = """#!/bin/sh
# as update-binfmts 2.2.2 does on a machine whose package's script was skipped
echo "$*" >> "{folder}/calls"
case $1 in
--enable)
    echo "update-binfmts: warning: $2 not in database of installed binary formats." >&2
    exit 2
    ;;
--import)
    [ "{known}" = yes ] || exit 2
    printf '{flags}' > "{folder}/$2"
    ;;
esac
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a kernel that knows no foreign programs yet, on a PC."""
    (tmp_path / "register").touch()
    monkeypatch.setattr(emulation, "_FOLDER", tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return tmp_path


def support(folder: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool, flags: str = FLAGS) -> None:
    """Put an update-binfmts first on PATH."""
    program = folder / "bin" / "update-binfmts"
    program.parent.mkdir()
    script = UPDATE.format(folder=folder, known="yes" if known else "no", flags=flags.replace("\n", "\\n"))
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_a_format_that_the_package_did_not_import(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, `make image` in a container says "not in database" although every package is there."""
    support(kernel, monkeypatch, known=True)
    emulation.require("arm64")
    assert (kernel / "calls").read_text() == "--enable qemu-aarch64\n--import qemu-aarch64\n"
    emulation.require("arm64")
    assert len((kernel / "calls").read_text().splitlines()) == 2  # once it is there, nothing is done


@pytest.mark.parametrize(
    ("known", "flags", "says"),
    [
        (False, FLAGS, "as root: update-binfmts --import qemu-aarch64"),
        (True, "enabled\nflags: OC\n", "update-binfmts --unimport qemu-aarch64 and --import qemu-aarch64"),
    ],
)
def test_what_cannot_be_mended_here(
    kernel: Path,
    monkeypatch: pytest.MonkeyPatch,
    known: bool,  # noqa: FBT001 - pytest gives it by name
    flags: str,
    says: str,
) -> None:
    """If this fails, somebody without an emulator is not told the command that brings it."""
    support(kernel, monkeypatch, known=known, flags=flags)
    with pytest.raises(NoEmulationError, match="programs for arm64 cannot be run here") as caught:
        emulation.require("arm64")
    assert says in str(caught.value)


def test_without_an_emulator_both_platforms_are_built(
    kernel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If this fails, a machine without QEMU builds nothing, or does not say which platform it has not run."""
    support(kernel, monkeypatch, known=False)
    ran: list[str] = []
    request = SimpleNamespace(platforms=("linux/amd64", "linux/arm64"))
    image = SimpleNamespace(plan=SimpleNamespace(request=request))

    @contextmanager
    def published(*_: object, **__: object) -> Iterator[object]:
        yield image

    @contextmanager
    def engine(*_: object) -> Iterator[object]:
        yield None

    def answers(_: object, __: object, name: str, ___: object) -> list[str]:
        ran.append(name)
        return [f"{name} answers"]

    monkeypatch.setattr(make, "published", published)
    monkeypatch.setattr(make, "Docker", engine)
    monkeypatch.setattr(make, "_models", lambda folder: folder)
    monkeypatch.setattr(make, "_facts", lambda _: ["both were pushed"])
    monkeypatch.setattr(make, "_run", answers)
    with pytest.raises(SandboxError, match="linux/arm64 was built and pushed, and not run"):
        make._prove(kernel, real=False)
    assert ran == ["linux/amd64"]
    assert "linux/amd64 answers\nlinux/arm64 was built and pushed, and not run" in capsys.readouterr().out
