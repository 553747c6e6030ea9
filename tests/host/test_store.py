"""What was built once need not be built again, and what nobody needs goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import store
from tests.host.conftest import KEY, NAME, TOOLS, Host, Project, model_manifest

ARCHIVE = f"{NAME}.tar.gz"
OTHERS = [digit * 32 for digit in "abcdef"]


@pytest.fixture
def built(host: Host, project: Project) -> Host:
    """A host that has built `KEY`."""
    done = host.build(project.manifest())
    assert done.returncode == 0, done.stdout
    return host


def test_a_lost_path_comes_back_from_the_archive(built: Host) -> None:
    """A damaged binary would cost the whole compile again."""
    before = (built.store / "bin/llama-server").read_bytes()
    shutil.rmtree(built.store)
    assert built.json("ensure", KEY)["how"] == "restored"
    assert (built.store / "bin/llama-server").read_bytes() == before
    assert built.json("ensure", KEY)["how"] == "present"


def test_what_a_program_from_a_newer_system_lacks_is_one_line() -> None:
    """A build from a newer board would be refused with a page of paths, and nobody would see why."""
    said = """\
/s/llama-server: /lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.29' not found (required by /s/llama-server)
/s/llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.9' not found (required by /s/llama-server)
/s/llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /s/llama-server)
/s/llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.32' not found (required by /s/llama-server)
	linux-vdso.so.1 (0x00007f773a38b000)
	libgomp.so.1 => not found
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f773985f000)
"""  # as Debian 11 says it of a program from Debian 12, shortened
    assert store.not_found(said) == ["libgomp.so.1", "GLIBC_2.34", "GLIBCXX_3.4.29"]


@pytest.mark.fault("build", "a build is lost", "its archive rots", "built anew")
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


def test_what_is_packed_is_the_same_everywhere(built: Host, tmp_path: Path) -> None:
    """Each host would publish other bytes under the same name, and no two hashes agree."""
    exports = []
    for mtime in (0, 1_000_000_000):
        for path in built.store.rglob("*"):
            os.utime(path, (mtime, mtime))
        os.chown(built.store / "bin/llama-server", 0 if mtime == 0 else 1000, 0)
        done = subprocess.run(
            ["dash", str(TOOLS / "pollex-host"), "pack", NAME], env=built.environment, capture_output=True, check=True
        )
        exports.append(done.stdout)
    assert exports[0] == exports[1] == (built.root / "archive" / ARCHIVE).read_bytes()
    file = tmp_path / ARCHIVE
    file.write_bytes(exports[0])
    with tarfile.open(file) as archive:
        assert archive.getnames() == [NAME, f"{NAME}/.sha256sums", f"{NAME}/bin", f"{NAME}/bin/llama-server"]


def test_a_damaged_path_is_not_packed(built: Host) -> None:
    """The damage of one board would spread to all."""
    (built.store / "bin/stray").write_text("not listed")
    done = built.run("pack", NAME)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{built.store} is changed: bin/stray" in done.stderr


def generation(name: str, *stores: str) -> str:
    """The manifest of a generation of one unit that is nothing."""
    units = [{"name": "x.service", "text": "", "needs": stores}]
    return json.dumps({"kind": "generation", "id": name, "units": units})


@pytest.fixture
def long_lived(odd_host: Host) -> Host:
    """A host with five generations g1 … g5, each with a path of its own; g5 is live."""
    for number, key in enumerate(OTHERS[:5], start=1):
        folder = odd_host.root / f"generations/g{number}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(generation(folder.name, f"{key}-x"))
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


@pytest.mark.fault("build", "a build runs", "somebody tidies up", "it goes on")
def test_gc_leaves_a_running_build_alone(long_lived: Host) -> None:
    """A build in its 80th minute would lose the folder it works in."""
    work = long_lived.root / "build" / OTHERS[0]
    hold = ["flock", str(work), "sh", "-c", "echo held; exec sleep 3600"]
    with subprocess.Popen(hold, start_new_session=True, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
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


@pytest.mark.parametrize("arguments", [["gc", "--keep", "all"], ["gc", "--keep"], ["gc", "--now"], ["pack", "../x"]])
def test_gc_and_pack_refuse_what_they_do_not_know(host: Host, arguments: list[str]) -> None:
    """A typing error would delete more than was meant."""
    assert host.run(*arguments).returncode == 2


def test_a_kept_manifest_is_enough(built: Host) -> None:
    """By hand, with the laptop off, nothing could be made again."""
    assert built.json("ensure", KEY)["how"] == "present"
    done = built.run("ensure-model", KEY)
    assert done.returncode == 2
    assert "'ensure-model' takes kind 'model or quantised'" in done.stderr
    assert built.run("ensure", "a" * 32).returncode == 2


def test_a_manifest_with_new_mirrors_replaces_the_kept_one(host: Host) -> None:
    """A mirror that was corrected in the stack file would never be asked."""
    for mirror in ("http://127.0.0.1:9/old", "http://127.0.0.1:9/new"):
        done = host.run("ensure-model", stdin=model_manifest(b"content", [mirror]))
        assert done.returncode == 8
        assert mirror in done.stderr
    assert "/new" in (host.root / f"drv/{KEY}-model/manifest.json").read_text()
