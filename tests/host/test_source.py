"""Only the source that was named is built, wherever it came from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sandbox.mirror import Mirror
from tests.host.conftest import KEY, Host, Project
from tests.host.test_model import in_trouble

PATCH = "0001-greet-in-french.patch"


def greet(project: Project, greeting: str = "bonjour") -> str:
    """A patch that changes what the program says."""
    return project.patch("src/greeting.c", "hello", greeting)


def said(host: Host) -> str:
    """What the finished build says of itself."""
    return subprocess.run(
        [host.store / "bin/llama-server", "--version"], capture_output=True, text=True, check=True
    ).stdout


def test_a_build_from_git(host: Host, project: Project) -> None:
    """Nothing could be deployed at all."""
    done = host.build(project.manifest(patches={PATCH: greet(project)}))
    assert done.returncode == 0, done.stdout
    assert said(host) == "bonjour unpatched from ../src/src/main.c\n"


GIT_2_17 = """\
#!/bin/sh
# git - an imitation of 2.17, JetPack's: says so, and knows the protocols 0 and 1 alone, as its protocol.c does
[ "$1" != --version ] || { echo git version 2.17.1; exit; }
case " $* " in *" fetch "*" mirror "*)
    asked=$(REAL "$1" config protocol.version)
    case $asked in '' | 0 | 1) ;; *)
        echo "fatal: unknown value for config 'protocol.version': $asked" >&2
        exit 128 ;;
    esac ;;
esac
exec REAL "$@"
"""


def test_a_git_as_old_as_jetpack_s_can_fetch(host: Host, project: Project, tmp_path: Path) -> None:
    """No Nano could ever fetch the source: its git knows no protocol 2."""
    (tmp_path / "git").write_text(GIT_2_17.replace("REAL", str(shutil.which("git"))))
    (tmp_path / "git").chmod(0o755)
    host.environment["PATH"] = f"{tmp_path}:{host.environment['PATH']}"
    done = host.build(project.manifest())
    assert done.returncode == 0, done.stdout


def test_a_bundle_is_known_by_its_tree(host: Host, project: Project, tmp_path: Path) -> None:
    """A package that carries the right source under a commit of its own would be refused."""
    manifest = project.manifest
    tree = project.tree
    served = tmp_path / "served"
    served.mkdir()
    synthetic = project.git("commit-tree", tree, "-m", "another commit, the same tree")
    project.git("update-ref", "refs/heads/main", synthetic)
    project.git("bundle", "create", "-q", str(served / "source.bundle"), "HEAD")
    with Mirror(served) as mirror:
        done = host.build(manifest(mirrors=[f"bundle {mirror.url}/source.bundle"], commit="1" * 40))
    assert done.returncode == 0, done.stdout


@pytest.mark.fault("source", "a part has arrived", "the connection was cut", "the rest alone is fetched")
def test_a_cut_bundle_is_resumed(host: Host, project: Project, tmp_path: Path) -> None:
    """A board on a bad line would fetch the same first megabytes for ever."""
    served = tmp_path / "served"
    served.mkdir()
    bundle = served / "source.bundle"
    project.git("bundle", "create", "-q", str(bundle), "HEAD")
    whole = bundle.read_bytes()
    with Mirror(served) as mirror:
        work = host.root / "build" / KEY
        work.mkdir(parents=True)
        # The last byte alone is served, so the rest can only come from what had arrived.
        (work / "bundle.part").write_bytes(whole[:-1])
        (work / "bundle.part.url").write_text(f"{mirror.url}/source.bundle\n")
        bundle.write_bytes(b"\0" * (len(whole) - 1) + whole[-1:])
        done = host.build(project.manifest(mirrors=[f"bundle {mirror.url}/source.bundle"]))
    assert done.returncode == 0, done.stdout


@pytest.mark.fault("source", "none", "a mirror has changed code", "refused with both hashes; nothing is built")
def test_another_tree_is_refused_by_both_hashes(host: Host, project: Project) -> None:
    """A mirror that serves changed code would be compiled and run as root's service."""
    named = project.tree
    text = project.manifest()
    (project.folder / "src/greeting.c").write_text('const char *greeting(void) { return "evil"; }\n')
    project.commit_all()
    done = host.build(text.replace(project.git("rev-parse", "HEAD~1"), project.commit))
    assert done.returncode == 3
    assert f"has the tree {project.tree}, wanted {named}" in done.stdout
    assert not host.store.exists()


@pytest.mark.fault("source", "none", "mirrors that are away, broken or lie", "the next one is asked")
def test_the_next_mirror_is_tried(host: Host, project: Project, tmp_path: Path) -> None:
    """One dead forge, or one that lies, would stop every deployment."""
    other = Project(tmp_path / "other")
    (other.folder / "CMakeLists.txt").write_text("message(FATAL_ERROR wrong)\n")
    other.commit_all()
    other.git("bundle", "create", "-q", str(tmp_path / "wrong.bundle"), "HEAD")
    (tmp_path / "broken.bundle").write_bytes(b"not a bundle")
    mirrors = [
        "git file:///nonexistent",
        "bundle http://127.0.0.1:9/source.bundle",
        f"bundle file://{tmp_path}/broken.bundle",
        f"bundle file://{tmp_path}/wrong.bundle",
        f"git file://{project.folder}",
    ]
    done = host.build(project.manifest(mirrors=mirrors))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("cannot be used") == 3
    assert f"has the tree {other.tree}, wanted {project.tree}" in done.stdout


@pytest.mark.fault(
    "source",
    "none",
    "a mirror hangs, drips, sends elsewhere, answers 200 with a page, or without end",
    "the next one is asked",
)
@pytest.mark.parametrize("path", ["hangs", "drips", "elsewhere", "sorry", "endless"])
def test_a_mirror_in_trouble(host: Host, project: Project, tmp_path: Path, path: str) -> None:
    """If this fails, one mirror in trouble holds a build up for ever, fills the disk, or its page is compiled."""
    host.environment |= {"POLLEX_STALL": "1", "POLLEX_BUNDLE_MB": "1"}
    other = Project(tmp_path / "other")
    (other.folder / "CMakeLists.txt").write_text("message(FATAL_ERROR wrong)\n")
    other.commit_all()
    served = tmp_path / "served"
    served.mkdir()
    other.git("bundle", "create", "-q", str(served / "wrong.bundle"), "HEAD")
    project.git("bundle", "create", "-q", str(served / "right.bundle"), "HEAD")
    with Mirror(served) as mirror, in_trouble(f"{mirror.url}/wrong.bundle") as trouble:
        mirrors = [f"bundle {trouble}/{path}", f"bundle {mirror.url}/right.bundle"]
        done = host.build(project.manifest(mirrors=mirrors))
    assert done.returncode == 0, done.stdout
    assert f"pollex: mirror {trouble}/{path} " in done.stdout
    assert said(host).startswith("hello")


@pytest.mark.fault("source", "none", "all mirrors are away", "said as that")
def test_no_mirror_at_all(host: Host, project: Project) -> None:
    """A dead network would be reported as a forged source, or as a compile error."""
    done = host.build(project.manifest(mirrors=["git file:///nonexistent", "bundle http://127.0.0.1:9/x"]))
    assert done.returncode == 8
    assert "no mirror of the source could be used: see pollex:source.mirrors" in done.stdout


def test_what_no_build_reads_may_be_missing(host: Host, project: Project) -> None:
    """A mirror that dropped a large file which is never compiled would be useless."""
    lost = project.git("rev-parse", "HEAD:docs/README")
    (project.folder / f".git/objects/{lost[:2]}/{lost[2:]}").unlink()
    done = host.build(project.manifest())
    assert done.returncode == 0, done.stdout


def test_only_the_named_folders_are_there(host: Host, project: Project) -> None:
    """A 4 GB board would fetch and write hundreds of megabytes of models and documents."""
    flags = ["-DCMAKE_PROJECT_INCLUDE_BEFORE=/nonexistent"]
    done = host.build(project.manifest(flags=flags))
    assert done.returncode == 5
    source = host.root / "build" / KEY / "src"
    assert sorted(path.name for path in source.iterdir()) == ["CMakeLists.txt", "common", "src"]


def test_the_build_knows_its_commit(host: Host, project: Project) -> None:
    """`llama-server --version` would say 0 (unknown), and nobody could tell what is running."""
    done = host.build(project.manifest(flags=["-DCMAKE_PROJECT_INCLUDE_BEFORE=/nonexistent"]))
    assert done.returncode == 5
    text = (host.root / "build" / KEY / "src/common/build-info.cpp.in").read_text()
    assert "int LLAMA_BUILD_NUMBER = 4980;" in text
    assert f'"{project.commit[:9]}"' in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("hello", "good day"), "does not apply to src/greeting.c (hunk 1 at line 1)"),
        (("BUILD", "OTHER"), "does not apply to src/greeting.c (hunk 1 at line 1)"),
        (None, "does not apply to src/missing.c, which is not there"),
    ],
)
def test_a_patch_that_does_not_apply(host: Host, project: Project, change: tuple[str, str] | None, reason: str) -> None:
    """A patch would be dropped, or applied to other lines than were reviewed, and nobody would see it."""
    patch = greet(project)
    if change is None:
        patch = patch.replace("src/greeting.c", "src/missing.c")
    else:
        # Even the context counts: the second case changes a line that the patch only shows.
        file = project.folder / "src/greeting.c"
        file.write_text(file.read_text().replace(*change))
        project.commit_all()
    done = host.build(project.manifest(patches={PATCH: patch}))
    assert done.returncode == 4
    assert f"pollex: patches/{PATCH} {reason}" in done.stdout
    assert "see patches/README.md#moving-the-pin" in done.stdout
    assert not host.store.exists()


def test_patches_are_applied_in_order(host: Host, project: Project) -> None:
    """A series whose patches build on each other would fail, or end in another text."""
    first, second = greet(project, "guten tag"), greet(project, "moin")
    second = second.replace(
        '-const char *greeting(void) { return "hello"', '-const char *greeting(void) { return "guten tag"'
    )
    done = host.build(project.manifest(patches={"0002-a.patch": first, "0001-b.patch": second}))
    assert done.returncode == 0, done.stdout
    assert said(host).startswith("moin ")


@pytest.mark.fault("build", "some patches are applied", "power is cut", "the next run begins with a clean tree")
def test_a_power_cut_between_two_patches(host: Host, project: Project) -> None:
    """The first patch would be applied twice, or refused as applied already, on every later try."""
    good, bad = greet(project), greet(project, "second")
    assert host.build(project.manifest(patches={"1.patch": good, "2.patch": bad})).returncode == 4
    work = host.root / "build" / KEY
    assert "bonjour" in (work / "src/src/greeting.c").read_text()
    done = host.build(project.manifest(patches={"1.patch": good}))
    assert done.returncode == 0, done.stdout
    assert said(host).startswith("bonjour ")


def test_a_verified_source_is_not_fetched_again(host: Host, project: Project) -> None:
    """A build resumed after a reboot would need the network, and a compile error would cost a download."""
    assert host.build(project.manifest(flags=["-DCMAKE_PROJECT_INCLUDE_BEFORE=/nonexistent"])).returncode == 5
    shutil.move(project.folder, project.folder.with_name("gone"))
    moved = Project.__new__(Project)
    moved.folder = project.folder.with_name("gone")
    done = host.build(moved.manifest(mirrors=["git file:///nonexistent"]))
    assert done.returncode == 0, done.stdout
