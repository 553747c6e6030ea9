"""What was built once need not be built again, and what nobody needs goes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
import time
from hashlib import sha256
from pathlib import Path

import pytest

from infra.core import sheet
from sandbox.mirror import Mirror
from tests.host.conftest import KEY, NAME, TOOLS, Host, Project, model_sheet

ARCHIVE = f"{NAME}.tar.gz"
OTHERS = [digit * 32 for digit in "abcdef"]


@pytest.fixture
def built(host: Host, project: Project) -> Host:
    """A host that has built `KEY`."""
    done = host.build(project.sheet())
    assert done.returncode == 0, done.stdout
    return host


def publish(host: Host, folder: Path) -> None:
    """What a substituter serves."""
    folder.mkdir()
    shutil.copy(host.root / "archive" / ARCHIVE, folder)
    digest = sha256((folder / ARCHIVE).read_bytes()).hexdigest()
    (folder / f"{ARCHIVE}.sha256").write_text(f"{digest}  {ARCHIVE}\n")


def test_a_lost_path_comes_back_from_the_archive(built: Host) -> None:
    """A damaged binary would cost the whole compile again."""
    before = (built.store / "bin/llama-server").read_bytes()
    shutil.rmtree(built.store)
    assert built.json("ensure", KEY)["how"] == "restored"
    assert (built.store / "bin/llama-server").read_bytes() == before
    assert built.json("ensure", KEY)["how"] == "present"


def test_a_damaged_archive_is_not_believed(built: Host) -> None:
    """A half-written archive would be installed as the server."""
    shutil.rmtree(built.store)
    archive = built.root / "archive" / ARCHIVE
    archive.write_bytes(archive.read_bytes()[:-200])
    done = built.run("ensure", KEY)
    assert f"not from {archive}: it cannot be unpacked" in done.stderr
    assert not built.store.exists()
    assert not archive.exists()
    assert list((built.root / "store").iterdir()) == []


def test_a_substituter_saves_the_build(built: Host, project: Project, tmp_path: Path) -> None:
    """A second board would compile for 85 minutes what the first one has."""
    publish(built, tmp_path / "served")
    second = Host(tmp_path / "second")
    with Mirror(tmp_path / "served") as mirror:
        text = project.sheet(substituters=["http://127.0.0.1:9", f"{mirror.url}/"])
        done = second.run("ensure", stdin=text)
    assert done.returncode == 0, done.stderr
    assert '"how":"substituted"' in done.stdout
    assert f"not from http://127.0.0.1:9/{ARCHIVE}: curl: (7)" in done.stderr
    assert (second.store / "bin/llama-server").read_bytes() == (built.store / "bin/llama-server").read_bytes()


@pytest.mark.parametrize("fault", ["hash", "content", "program"])
def test_a_faulty_substitute_is_not_installed(built: Host, project: Project, tmp_path: Path, fault: str) -> None:
    """A substituter with a broken disk, or for another machine, would take the server down."""
    served = tmp_path / "served"
    reason = {
        "hash": "its SHA-256 is",
        "content": "its content is changed: bin/llama-server",
        "program": "llama-server does not run on this host",
    }[fault]
    if fault != "hash":
        (built.store / "bin/llama-server").write_text("#!/bin/sh\nexit 1\n")
        if fault == "program":
            digest = sha256((built.store / "bin/llama-server").read_bytes()).hexdigest()
            (built.store / ".sha256sums").write_text(f"{digest}  bin/llama-server\n")
        subprocess.run(["tar", "-C", built.root / "store", "-czf", built.root / "archive" / ARCHIVE, NAME], check=True)
    publish(built, served)
    if fault == "hash":
        (served / ARCHIVE).write_bytes((served / ARCHIVE).read_bytes() + b"x")
    second = Host(tmp_path / "second")
    with Mirror(served) as mirror:
        done = second.run("ensure", stdin=project.sheet(substituters=[mirror.url]))
    assert reason in done.stderr
    assert not second.store.exists()
    assert list((second.root / "store").iterdir()) == []


def test_export_is_what_a_substituter_needs(built: Host, tmp_path: Path) -> None:
    """Each host would publish other bytes under the same name, and no two hashes agree."""
    exports = []
    for mtime in (0, 1_000_000_000):
        for path in built.store.rglob("*"):
            os.utime(path, (mtime, mtime))
        os.chown(built.store / "bin/llama-server", 0 if mtime == 0 else 1000, 0)
        done = subprocess.run(
            ["dash", str(TOOLS / "pollex-host"), "export", NAME], env=built.environment, capture_output=True, check=True
        )
        exports.append(done.stdout)
    assert exports[0] == exports[1] == (built.root / "archive" / ARCHIVE).read_bytes()
    file = tmp_path / ARCHIVE
    file.write_bytes(exports[0])
    with tarfile.open(file) as archive:
        assert archive.getnames() == [NAME, f"{NAME}/.sha256sums", f"{NAME}/bin", f"{NAME}/bin/llama-server"]


def test_a_damaged_path_is_not_exported(built: Host) -> None:
    """The damage of one board would spread to all."""
    (built.store / "bin/stray").write_text("not listed")
    done = built.run("export", NAME)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{built.store} is changed: bin/stray" in done.stderr


def generation(name: str, *stores: str) -> str:
    """The sheet of a generation without units."""
    needs = "".join(f"x.service\t/opt/pollex/store/{store}\n" for store in stores)
    return sheet.render(
        {"env": sheet.env({"kind": "generation", "id": name}), "links": "", "needs": needs, "gates": ""}
    )


@pytest.fixture
def long_lived(odd_host: Host) -> Host:
    """A host with five generations g1 … g5, each with a path of its own; g5 is live."""
    for number, key in enumerate(OTHERS[:5], start=1):
        for text, folder in ((generation(f"g{number}", f"{key}-x"), odd_host.root / f"generations/g{number}"),):
            for name, content in sheet.parse(text).items():
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(content)
        for place in (f"store/{key}-x", f"drv/{key}-x", f"build/{key}"):
            (odd_host.root / place).mkdir(parents=True)
        archive = odd_host.root / f"archive/{key}-x.tar.gz"
        archive.parent.mkdir(exist_ok=True)
        archive.write_bytes(b"x")
    (odd_host.root / "generations/log").write_text("".join(f"{n}\tg{n}\n" for n in (1, 2, 3, 4, 5)))
    (odd_host.root / "current").symlink_to("generations/g5")
    return odd_host


def left(host: Host) -> dict[str, list[str]]:
    """What is in the folders that gc looks after, by first letters."""
    return {
        place: sorted(path.name[:2] for path in (host.root / place).iterdir() if path.name != "log")
        for place in ("generations", "store", "drv", "archive", "build")
    }


def test_gc_keeps_what_may_be_returned_to(long_lived: Host) -> None:
    """A rollback would find its binary gone; or the disk would fill with every build ever made."""
    answer = long_lived.json("gc")
    kept = ["cc", "dd", "ee"]
    assert left(long_lived) == {
        "generations": ["g3", "g4", "g5"], "store": kept, "drv": kept, "archive": kept, "build": []
    }  # fmt: skip
    assert f"store/{OTHERS[0]}-x" in answer["deleted"]
    assert long_lived.json("gc")["deleted"] == []
    long_lived.json("gc", "--keep", "0")
    assert left(long_lived)["store"] == ["ee"]


def test_a_dry_run_deletes_nothing(long_lived: Host) -> None:
    """Somebody who only looks would lose what they wanted to keep."""
    before = left(long_lived)
    answer = long_lived.json("gc", "--dry-run")
    assert "generations/g1" in answer["deleted"]
    assert left(long_lived) == before


def test_gc_leaves_a_running_build_alone(long_lived: Host) -> None:
    """A build in its 80th minute would lose the folder it works in."""
    work = long_lived.root / "build" / OTHERS[0]
    with subprocess.Popen(["flock", str(work), "sleep", "60"], start_new_session=True) as holder:
        try:
            time.sleep(0.3)
            done = long_lived.run("gc")
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    assert done.returncode == 0, done.stderr
    assert f"build/{OTHERS[0]} is being made" in done.stderr
    assert (long_lived.root / f"drv/{OTHERS[0]}-x").exists()
    assert work.exists()


def test_gc_leaves_a_build_that_waits_for_the_boot_alone(long_lived: Host) -> None:
    """A build that a power cut stopped would begin again from nothing."""
    wants = Path(long_lived.environment["POLLEX_UNIT_DIR"]) / "multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / f"pollex-build@{OTHERS[0]}.service").write_text("")
    long_lived.json("gc")
    assert left(long_lived)["build"] == ["aa"]


@pytest.mark.parametrize("arguments", [["gc", "--keep", "all"], ["gc", "--keep"], ["gc", "--now"], ["export", "../x"]])
def test_gc_and_export_refuse_what_they_do_not_know(host: Host, arguments: list[str]) -> None:
    """A typing error would delete more than was meant."""
    assert host.run(*arguments).returncode == 2


def test_a_kept_sheet_is_enough(built: Host) -> None:
    """By hand, with the laptop off, nothing could be made again."""
    assert built.json("ensure", KEY)["how"] == "present"
    done = built.run("ensure-model", KEY)
    assert done.returncode == 2
    assert "'ensure-model' takes kind 'model or quantised'" in done.stderr
    assert built.run("ensure", "a" * 32).returncode == 2


def test_a_sheet_with_new_mirrors_replaces_the_kept_one(host: Host) -> None:
    """A mirror that was corrected in the stack file would never be asked."""
    for mirror in ("http://127.0.0.1:9/old", "http://127.0.0.1:9/new"):
        done = host.run("ensure-model", stdin=model_sheet(b"content", [mirror]))
        assert done.returncode == 8
        assert mirror in done.stderr
    assert "/new" in (host.root / f"drv/{KEY}-model/env").read_text()
