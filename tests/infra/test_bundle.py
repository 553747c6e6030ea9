"""The polish service as it is packed for a host: by key, for its platform, from nothing but what is locked."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from infra import ROOT
from infra.core import bundle
from infra.core.bundle import Recipe
from infra.provider import packing

NANO = Recipe(architecture="aarch64", python="3.12", interpreter=None, urls=())
HERE = Recipe(architecture="x86_64", python="3.11", interpreter=None, urls=())
"""The stand-in boards: Debian 12's own Python."""


def quiet(line: str) -> None:
    pass


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what decides a bundle, in another folder."""
    target = tmp_path / "elsewhere"
    for name in (bundle.LOCK, bundle.LAUNCHER):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    shutil.copytree(ROOT / bundle.SOURCES, target / bundle.SOURCES)
    return target


def unpack(archive: bytes, folder: Path) -> Path:
    """The bundle's folder."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return tree


def test_the_lock_resolves_for_the_board(tmp_path: Path) -> None:
    """If this fails, the Nano cannot get the service: a dependency has no wheel for it, or the lock is incomplete."""
    archive = packing.pack(NANO, bundle.derivation(NANO).item, quiet)
    tree = unpack(archive, tmp_path)
    compiled = [file for file in tree.rglob("*.so*") if file.is_file()]
    assert compiled
    # ELF header: 64 bits, little endian, machine 183
    assert {(file.read_bytes()[4:6], file.read_bytes()[18:20]) for file in compiled} == {(b"\x02\x01", b"\xb7\x00")}
    tags = [
        line for file in tree.rglob("*.dist-info/WHEEL") for line in file.read_text().splitlines() if "Tag:" in line
    ]
    assert not [tag for tag in tags if "musllinux" in tag or "x86_64" in tag]


def test_the_lock_is_what_the_service_asks_for_and_what_is_tested() -> None:
    """If this fails, the board runs other versions than the tests, or lacks a dependency."""
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal", "--no-header"]
    asked = ["--python-version", "3.11", "--no-annotate", "--generate-hashes", "-c", "requirements/service.txt"]
    done = subprocess.run(
        [*command, *asked, "service/pyproject.toml"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    locked = (ROOT / bundle.LOCK).read_text()
    assert done.stdout == locked
    pins = {line.split(" ")[0] for line in locked.splitlines() if "==" in line}
    tested = {line.split(" ")[0] for line in (ROOT / "requirements/dev.txt").read_text().splitlines() if "==" in line}
    assert pins <= tested


def test_the_same_bytes_from_another_folder(project: Path) -> None:
    """If this fails, two operators send the board different programs for one key."""
    item = bundle.derivation(HERE).item
    assert bundle.derivation(HERE, project).item == item
    assert packing.pack(HERE, item, quiet) == packing.pack(HERE, item, quiet, project)


@pytest.mark.parametrize(
    "file", [bundle.LOCK, bundle.LAUNCHER, f"{bundle.SOURCES}/text.py", f"{bundle.SOURCES}/new.py"]
)
def test_what_changes_the_key(project: Path, file: str) -> None:
    """If this fails, a changed service is not brought to the board."""
    before = bundle.derivation(NANO, project).key
    with (project / file).open("a") as stream:
        stream.write("# changed\n")
    assert bundle.derivation(NANO, project).key != before


@pytest.mark.parametrize(
    "file",
    [
        f"{bundle.SOURCES}/clidoc.py",
        f"{bundle.SOURCES}/reference.py",
        "service/pyproject.toml",
        "service/README.md",
        "infra/provider/packing.py",
        "tests/service/test_text.py",
        "docs/reference/service.md",
    ],
)
def test_what_never_reaches_the_host_does_not_change_the_key(project: Path, file: str) -> None:
    """If this fails, a letter in a page of documentation restarts production."""
    before = bundle.derivation(NANO, project).key
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    with (project / file).open("a") as stream:
        stream.write("# changed\n")
    assert bundle.derivation(NANO, project).key == before


def test_the_form_of_an_archive_is_in_the_key(tmp_path: Path) -> None:
    """If this fails, other bytes are packed under a key that a host already has: raise bundle.FORM with them."""
    for name, text in ((bundle.LOCK, ""), (bundle.LAUNCHER, "#!/bin/sh\n"), (f"{bundle.SOURCES}/a/b.py", "x = 1\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    interpreter = tmp_path / "python.tar"
    with tarfile.open(interpreter, "w") as packed:
        for name in ("python/bin/python3.12", "python/lib/python3.12/os.py", "python/lib/python3.12/test/x.py"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            packed.addfile(member, io.BytesIO(name.encode()))
    brought = Recipe(
        architecture="x86_64",
        python="3.12",
        interpreter=hashlib.sha256(interpreter.read_bytes()).hexdigest(),
        urls=(interpreter.as_uri(),),
    )
    archive = packing.pack(brought, bundle.derivation(brought, tmp_path).item, quiet, tmp_path)
    assert (bundle.FORM, hashlib.sha256(gzip.decompress(archive)).hexdigest()) == (
        1,
        "fe51a56751e0b2bf0d5bb13ccdd02724c7eab087703935476a9d10da3eab712a",
    )


def test_what_does_not_change_the_key(project: Path) -> None:
    """If this fails, running the tests or moving a mirror brings the whole service to the board anew."""
    before = bundle.derivation(NANO, project).key
    cache = project / bundle.SOURCES / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "text.cpython-312.pyc").write_bytes(b"compiled")
    (project / bundle.SOURCES / ".text.py.swp").write_bytes(b"edited")
    moved = Recipe(architecture="aarch64", python="3.12", interpreter=None, urls=("https://example.org/python.tar.gz",))
    assert bundle.derivation(moved, project).key == before


def test_files_that_change_meanwhile_are_noticed(project: Path) -> None:
    """If this fails, a store path holds something else than its key says."""
    item = bundle.derivation(HERE, project).item
    (project / bundle.SOURCES / "text.py").write_text("")
    with pytest.raises(packing.PackError, match="changed meanwhile"):
        packing.pack(HERE, item, quiet, project)


def test_a_dependency_that_the_platform_lacks_is_named(project: Path) -> None:
    """If this fails, nobody learns which package keeps the service from the board."""
    lock = project / bundle.LOCK
    lock.write_text(lock.read_text().replace("uvicorn==0", "uvicorn==99"))
    with pytest.raises(packing.PackError, match=r"aarch64-manylinux_2_17(.|\n)*uvicorn"):
        packing.pack(NANO, bundle.derivation(NANO, project).item, quiet, project)


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `install_only` archive of this machine's Debian Python, laid out as python-build-standalone's are."""
    folder = tmp_path_factory.mktemp("standalone")
    archive = folder / "python.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add("/usr/bin/python3.11", "python/bin/python3.11")
        packed.add("/usr/lib/python3.11", "python/lib/python3.11", filter=_no_site)
        link = tarfile.TarInfo("python/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, "python3.11"
        packed.addfile(link)
    return archive


def _no_site(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "sitecustomize" in member.name or "__pycache__" in member.name else member


def with_python(archive: Path, sha256: str | None = None) -> Recipe:
    """The recipe that brings this interpreter along."""
    hashed = sha256 or hashlib.sha256(archive.read_bytes()).hexdigest()
    urls = ("file:///nowhere/python.tar.gz", archive.as_uri())
    return Recipe(architecture="x86_64", python="3.11", interpreter=hashed, urls=urls)


def test_it_runs_on_the_interpreter_that_it_brings(standalone: Path, tmp_path: Path) -> None:
    """If this fails, the service does not start on a board whose own Python is too old."""
    recipe = with_python(standalone)
    tree = unpack(packing.pack(recipe, bundle.derivation(recipe).item, quiet), tmp_path)
    program = "import sys, pydantic_core; print(sys.executable, pydantic_core.__file__)"
    launcher = (tree / "bin/pollex").read_text().replace("-m pollex", f"-c '{program}'")
    (tree / "bin/shown").write_text(launcher.replace("/bin/pollex", "/bin/shown"))
    environment = {"PATH": "/nowhere:/usr/bin:/bin", "HOME": str(tmp_path)}
    shown = subprocess.run(["sh", str(tree / "bin/shown")], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [
        str(tree / "python/bin/python3.11"),
        str(next(tree.glob("lib/pydantic_core/__init__.py"))),
    ]
    version = subprocess.run(
        [tree / "bin/pollex", "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("pollex ")
    assert not list(tree.rglob("__pycache__"))
    assert not [path for path in tree.rglob("*") if path.is_symlink()]


def test_it_is_sealed(tmp_path: Path) -> None:
    """If this fails, the host takes damage for the real thing, or the real thing for damage."""
    tree = unpack(packing.pack(HERE, bundle.derivation(HERE).item, quiet), tmp_path)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", ".sha256sums"], cwd=tree, capture_output=True, text=True, check=True
    )
    files = {str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()} - {".sha256sums"}
    assert {line.removesuffix(": OK") for line in checked.stdout.splitlines()} == files


def test_another_interpreter_is_refused(standalone: Path) -> None:
    """If this fails, the board runs a Python that nobody pinned."""
    recipe = with_python(standalone, "0" * 64)
    got = hashlib.sha256(standalone.read_bytes()).hexdigest()
    with pytest.raises(packing.PackError, match=rf"polish\.python(.|\n)*/nowhere/(.|\n)*{got}, wanted {'0' * 64}"):
        packing.pack(recipe, bundle.derivation(recipe).item, quiet)


def test_an_interpreter_unpacks_inside_of_its_folder(tmp_path: Path) -> None:
    """If this fails, an archive writes outside of the bundle, where pulumi runs."""
    archive = tmp_path / "hostile.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for name in ("python/../../escaped", "/escaped", "python/bin/python3.11"):
            member = tarfile.TarInfo(name)
            member.size = 1
            packed.addfile(member, io.BytesIO(b"x"))
    recipe = with_python(archive)
    tree = unpack(packing.pack(recipe, bundle.derivation(recipe).item, quiet), tmp_path / "out")
    assert [file.name for file in (tree / "python").rglob("*") if file.is_file()] == ["python3.11"]
