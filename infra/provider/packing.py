"""Packs the polish service: its files, its locked dependencies for the host's platform, and an interpreter.

Runs where pulumi runs and never on the host. The archive depends on nothing but the recipe and the project's files:
names are sorted, times are zero, and nothing is compiled.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import httpx
import uv

from infra import ROOT
from infra.core import bundle
from infra.core.bundle import Recipe

Log = Callable[[str], object]
"""Told what goes on, one line at a time."""

RECORDS = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
"""Notes of the installer beside a package; they name this machine or what is left out."""

UNUSED = ("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo", "config-")
"""Parts of a standalone CPython's library that a service never imports, half of its size."""

_TIMEOUT = httpx.Timeout(30, connect=10)


class PackError(Exception):
    """The bundle cannot be packed; says why and what to do."""


def pack(recipe: Recipe, item: str, log: Log, root: Path = ROOT) -> bytes:
    """The archive of the store path `item`, as `pollex-host receive` takes it.

    Args:
        recipe: what is packed for which host.
        item: the store path's name, `<key>-<name>`.
        log: told what goes on, one line each.
        root: the project.

    Raises:
        PackError: a download failed or has other bytes, a dependency has no wheel for the platform, or the project's
            files are not those that `item` was made from.
    """
    if (now := bundle.derivation(recipe, root).item) != item:
        raise PackError(f"the service's files changed meanwhile: {now} would be packed, not {item}; run it again")
    with tempfile.TemporaryDirectory(prefix="pollex-bundle-") as temporary:
        tree = Path(temporary) / item
        (tree / "bin").mkdir(parents=True)
        log(f"packing the service for {recipe.platform}, Python {recipe.python}")
        _dependencies(recipe, root, tree / "lib")
        for name in bundle.sources(root):
            target = tree / "lib" / "pollex" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / bundle.SOURCES / name, target)
        shutil.copyfile(root / bundle.LAUNCHER, tree / "bin" / bundle.COMMAND)
        (tree / "bin" / bundle.COMMAND).chmod(0o755)
        program = f"python{recipe.python}"
        if recipe.interpreter is not None:
            _interpreter(download(recipe.urls, recipe.interpreter, log), tree / "python")
            program = f"./python/bin/{program}"
        (tree / "interpreter").write_text(f"{program}\n")
        _seal(tree)
        return _archive(tree)


def _dependencies(recipe: Recipe, root: Path, target: Path) -> None:
    """Install what the lock names, from wheels for the host's platform only."""
    choices = ["--python-platform", recipe.platform, "--python-version", recipe.python, "--only-binary", ":all:"]
    how = ["--quiet", "--no-deps", "--require-hashes", "--link-mode", "copy", "--no-config", "--target", str(target)]
    done = subprocess.run(
        [uv.find_uv_bin(), "pip", "install", *how, *choices, "-r", str(root / bundle.LOCK)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise PackError(f"the dependencies in {bundle.LOCK} cannot be had for {recipe.platform}: {done.stderr.strip()}")
    shutil.rmtree(target / "bin", ignore_errors=True)
    (target / ".lock").unlink(missing_ok=True)
    for record in target.glob("*.dist-info/*"):
        if record.name in RECORDS:
            record.unlink()


def download(urls: Iterable[str], sha256: str, log: Log) -> bytes:
    """The file with this hash from the first place that has it.

    Raises:
        PackError: none has.
    """
    failures = []
    for url in urls:
        log(f"fetching {url}")
        try:
            content = _get(url)
        except (OSError, httpx.HTTPError) as error:
            failures.append(f"{url}: {error}")
            continue
        got = hashlib.sha256(content).hexdigest()
        if got == sha256:
            return content
        failures.append(f"{url}: its SHA-256 is {got}, wanted {sha256}")
    raise PackError("\n  ".join(["the interpreter cannot be had (pollex:polish.python)", *failures]))


def _get(url: str) -> bytes:
    if url.startswith("file://"):
        return Path(url.removeprefix("file://")).read_bytes()
    answer = httpx.get(url, follow_redirects=True, timeout=_TIMEOUT)
    answer.raise_for_status()
    return answer.content


def _interpreter(archive: bytes, target: Path) -> None:
    """Unpack `python/` of a standalone CPython without links, which a store path does not hold, and unused parts."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            path = PurePosixPath(member.name)
            if path.parts[:1] != ("python",) or not member.isfile() or _unused(path):
                continue
            file = target.joinpath(*path.parts[1:])
            file.parent.mkdir(parents=True, exist_ok=True)
            if (content := packed.extractfile(member)) is not None:
                file.write_bytes(content.read())
            file.chmod(0o755 if member.mode & 0o100 else 0o644)


def _unused(path: PurePosixPath) -> bool:
    """Whether a file of the interpreter is left out; `..` is none of its own."""
    top = path.parts[1:2]
    return ".." in path.parts or top in {("include",), ("share",)} or any(p.startswith(UNUSED) for p in path.parts[3:4])


def _seal(tree: Path) -> None:
    """List every file with its hash, as infra/hosttools/store.sh does."""
    files = sorted((f for f in tree.rglob("*") if f.is_file()), key=lambda f: str(f.relative_to(tree)).encode())
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(tree)}\n" for f in files]
    (tree / ".sha256sums").write_text("".join(lines))


def _archive(tree: Path) -> bytes:
    """A tar.gz of the folder that depends on nothing but names, modes and contents."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in [tree, *sorted(tree.rglob("*"))]:
            archive.add(path, arcname=str(path.relative_to(tree.parent)), recursive=False, filter=_plain)
    return buffer.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
