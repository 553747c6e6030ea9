"""Builds are complete or absent, the same everywhere, and go on where they stopped."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import follow
from tests.host.conftest import KEY, NAME, TOOLS, Host, Project
from tests.waiting import wait_for

OTHER = "f" * 32


def test_the_same_bytes_wherever_it_is_built(tmp_path: Path, project: Project) -> None:
    """Two boards with one declaration would run different programs, and no hash could be compared."""
    built = []
    for place, key in (("here", KEY), ("a-much-longer-place", OTHER)):
        host = Host(tmp_path / place)
        done = host.build(project.manifest(key=key), key=key)
        assert done.returncode == 0, done.stdout
        built.append((host.root / f"store/{key}-llama-server/bin/llama-server").read_bytes())
    assert built[0] == built[1]
    assert b"here" not in built[0]


def test_a_finished_build_lists_its_files(host: Host, project: Project) -> None:
    """A replaced binary could not be told from the one that was built."""
    assert host.build(project.manifest()).returncode == 0
    digest = hashlib.sha256((host.store / "bin/llama-server").read_bytes()).hexdigest()
    assert (host.store / ".sha256sums").read_text() == f"{digest}  bin/llama-server\n"
    assert not (host.root / "build" / KEY).exists()


@pytest.mark.parametrize("flag", ['-DMESSAGE=it\'s $HOME; "100%" ü', "-DA=a b  c"])
def test_flags_reach_cmake_as_written(host: Host, project: Project, flag: str) -> None:
    """A flag with a space or a quote would be split, and something else be built."""
    name, _, value = flag.removeprefix("-D").partition("=")
    (project.folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.14)\nproject(tiny C)\n"
        f'file(WRITE "${{CMAKE_BINARY_DIR}}/said" "${{{name}}}")\n'
        "message(FATAL_ERROR enough)\n"
    )
    project.commit_all()
    assert host.build(project.manifest(flags=[flag])).returncode == 5
    assert (host.root / "build" / KEY / "b/said").read_text() == value


def test_the_real_error_is_shown(host: Host, project: Project) -> None:
    """A person would get the tail of a log of thousands of lines that says 'build stopped'."""
    (project.folder / "src/greeting.c").write_text("int wrong = nonsense;\n" + "#warning noise\n" * 200)
    project.commit_all()
    assert host.build(project.manifest()).returncode == 5
    shown = follow.real_error((host.root / f"log/{KEY}.log").read_text().splitlines())
    assert shown[0].startswith("FAILED: ")
    assert any("error: 'nonsense' undeclared" in line for line in shown)
    assert len(shown) <= 60


def test_a_program_that_does_not_run_is_not_installed(host: Host, project: Project) -> None:
    """A binary that needs a missing library would take the place of one that works."""
    main = project.folder / "src/main.c"
    main.write_text(main.read_text().replace("int port = 8080", "abort(); int port = 8080"))
    project.commit_all()
    done = host.build(project.manifest())
    assert done.returncode == 5
    assert "was built but does not run" in done.stdout
    assert not host.store.exists()


def test_a_library_of_the_build_folder_is_refused(host: Host, project: Project) -> None:
    """The server would stop starting as soon as its build folder is deleted, which is at once."""
    lists = project.folder / "CMakeLists.txt"
    lists.write_text(
        lists.read_text().replace(" src/greeting.c)", ")\nadd_library(greet SHARED src/greeting.c)\n")
        + "target_link_libraries(llama-server greet)\n"
    )
    project.commit_all()
    done = host.build(project.manifest())
    assert done.returncode == 5
    assert "add -DBUILD_SHARED_LIBS=OFF to pollex:build.flags" in done.stdout


def test_make_does_where_there_is_no_ninja(host: Host, project: Project) -> None:
    """A board without ninja-build could not build at all."""
    # In a mount namespace of its own, where ninja is no program any more.
    hide = 'for p in /usr/bin/ninja /usr/local/bin/ninja; do [ ! -e $p ] || mount --bind /dev/null $p; done; exec "$@"'
    host.command = ["unshare", "-m", "sh", "-c", hide, "sh", *host.command]
    done = host.build(project.manifest())
    assert done.returncode == 0, done.stdout
    assert "[100%]" in done.stdout


@pytest.mark.fault("build", "a build runs", "a second one is asked for", "it waits")
def test_one_build_at_a_time(host: Host, project: Project) -> None:
    """Two laptops would write into the same folder, and both builds would be rubbish."""
    host.build(project.manifest(mirrors=["git file:///nonexistent"]))
    work = host.root / "build" / KEY
    hold = ["flock", str(work), "sh", "-c", "echo held; exec sleep 3600"]
    with subprocess.Popen(hold, start_new_session=True, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            done = host.run("build", KEY)
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    assert done.returncode == 9
    assert "is being built already" in done.stderr


@pytest.mark.fault("build", "a build runs", "it is killed", "the next one goes on where it was")
def test_a_stopped_build_goes_on_where_it_was(host: Host, project: Project) -> None:
    """A reboot in the 80th minute would cost all 80."""
    text = project.manifest(flags=["-DTINY_PACE=0.5"], jobs=2)
    host.build(project.manifest(mirrors=["git file:///nonexistent"]))
    host.keep(text)
    environment = host.environment
    log = host.root / f"log/{KEY}.log"
    with subprocess.Popen(
        ["dash", str(TOOLS / "pollex-host"), "build", KEY], env=environment, start_new_session=True
    ) as build:
        wait_for(lambda: "[5/" in log.read_text(), build)
        os.killpg(build.pid, signal.SIGTERM)
        assert build.wait() == 143
    assert (host.root / f"build/{KEY}/state").read_text().startswith("compile ")
    done = host.run("build", KEY)
    assert done.returncode == 0
    _, _, resumed = log.read_text().partition("(resumed)")
    assert "getting" not in resumed
    assert "configure" not in resumed
    total = int(resumed.partition("[1/")[2].partition("]")[0])
    assert total < 12
    assert host.store.exists()


@pytest.mark.parametrize(
    ("log", "count", "spent", "said"),
    [
        ("== phase compile\n[0/121]\n", 121, 3, " 0% (0/121)"),
        ("[120/121] a\n== phase compile\n[0/40]\n", 121, 3, " 66% (81/121)"),
        ("[9/9] old\n== phase compile\n[51/121] Building x\n", 121, 2520, " 42% (51/121), about 58 min left"),
        (
            "== phase compile\n[120/121] a\n== phase compile\n[1/40] b\n[10/40] c\n",
            121,
            60,
            " 75% (91/121), about 3 min left",
        ),
        ("== phase compile\n[ 40%] a\n[ 60%] b\n", 0, 100, " 60%, about 3 min left"),
    ],
)
def test_progress_never_jumps_back(log: str, count: int, spent: int, said: str) -> None:
    """After a reboot the percentage would start again from nothing, and people would think the work was lost."""
    assert follow.compiled(log.splitlines(), count, spent) == said


@pytest.mark.fault("build", "a stopped build", "an object file was damaged", "it is compiled again")
def test_a_damaged_object_is_compiled_again(host: Host, project: Project) -> None:
    """After a power cut a build could fail for ever over an object file that is full of zeros."""
    archive = host.root / "archive"
    host.root.mkdir(parents=True)
    archive.write_text("in the way, so that the build ends when all is compiled")
    text = project.manifest()
    assert host.build(text).returncode == 1
    archive.unlink()
    work = host.root / "build" / KEY
    (work / "b/bin/llama-server").unlink()
    (damaged,) = (work / "b").rglob("greeting.c.o")
    written = damaged.stat()
    damaged.write_bytes(b"\0" * written.st_size)
    os.utime(damaged, ns=(written.st_atime_ns, written.st_mtime_ns))
    (work / "state").write_text("compile 1 3 \n")
    done = host.build(text)
    assert done.returncode == 0, done.stdout
    assert "compiling everything again" in done.stdout


def test_the_log_is_reachable_from_the_build(host: Host, project: Project) -> None:
    """The place that the design names for the log would be empty."""
    assert host.build(project.manifest(target="nonexistent")).returncode == 5
    assert (host.root / f"build/{KEY}/log").samefile(host.root / f"log/{KEY}.log")
    assert NAME in (host.root / f"log/{KEY}.log").read_text()


@pytest.mark.fault("build", "a small disk", "it becomes full", "said as that")
def test_a_full_disk_is_said(project: Project, tmp_path: Path) -> None:
    """A person would look for an error in the source, or in the mirrors."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], check=True)
    try:
        done = Host(small).build(project.manifest())
        assert done.returncode == 6, done.stdout
    finally:
        subprocess.run(["umount", str(small)], check=True)
