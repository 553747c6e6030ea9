"""Debian packages, with an apt-get that answers as told; tests/host/test_prepare.py has the real one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import packages, places
from infra.hosttools.pollex_host.errors import HostToolError

APT = """#!/bin/sh
n=$(cat "$STATE" 2>/dev/null || echo 0)
echo $((n + 1)) >"$STATE"
case $n in
0) echo "E: Could not get lock $LOCK - open (11: Resource temporarily unavailable)" && exit 100 ;;
1) echo "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem." && exit 100 ;;
esac
"""
DPKG = """#!/bin/sh
echo "$@" >>"$STATE.dpkg"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose apt is busy once, then interrupted, and then works; nothing is installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("apt-get", APT), ("dpkg", DPKG), ("dpkg-query", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    monkeypatch.setenv("LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(places, "LOGS", str(tmp_path))
    monkeypatch.setattr(places, "POLL", 0.01)
    monkeypatch.setattr(packages, "_LOCKS", (str(tmp_path / "lock"), str(tmp_path / "none")))
    return tmp_path


def test_another_apt_is_named_and_waited_for(host: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails, `up` hangs for minutes without a word of why, or a board once interrupted is never mended."""
    with (host / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        assert packages.install(["libgomp1"]) == ["libgomp1"]
    said = capfd.readouterr().err
    own = Path("/proc/self/comm").read_text().strip()
    assert f"waiting for {own} (process {os.getpid()}) to end" in said
    assert "dpkg --configure -a" in said
    assert "--configure -a" in (host / "state.dpkg").read_text()


def test_one_that_never_ends_is_an_error(
    host: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If this fails, a hung apt hangs every `up` with it."""
    monkeypatch.setattr(packages, "_PATIENCE", 0)
    (host / "bin/apt-get").write_text("#!/bin/sh\necho 'E: Could not get lock x' && exit 100\n")
    with pytest.raises(HostToolError, match="cannot install libgomp1"):
        packages.install(["libgomp1"])
    assert "waiting for another apt to end" in capfd.readouterr().err
