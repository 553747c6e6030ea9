"""Files that a generation places: right, closed to others from the first moment, and what was found comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from infra.hosttools.pollex_host import gate, manifest
from infra.hosttools.pollex_host.manifest import File, Gate, Generation, Unit
from sandbox.board import Board
from tests.host.conftest import TOOLS, Host
from tests.host.machine import Machine

SECRET = "KEY=for-root's-eyes-only\n"
APP_UNIT = "[Service]\nExecStart=/bin/app\n"
CUT = Path(__file__).with_name("cut.py")

SYSTEMCTL = """\
#!/bin/sh
# every unit runs and will run after the next boot; none was there before
case $1 in
show)
    until [ "$1" = -- ]; do shift; done
    shift
    for unit; do printf 'Id=%s\\nActiveState=active\\nUnitFileState=enabled\\n\\n' "$unit"; done
    ;;
is-enabled | is-active) exit 1 ;;
esac
"""


def digest(text: str) -> str:
    """The SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Placed:
    """One file of a manifest; a test makes any of it wrong."""

    path: Path | str
    text: str | None = "text\n"
    mode: str = "644"
    hash: str | None = None

    @property
    def secret(self) -> bool:
        """Whether its text travels apart."""
        return self.mode == "600" and self.text is not None

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON."""
        found = digest(self.text or "") if self.hash is None else self.hash
        text = None if self.secret else self.text
        return {"path": str(self.path), "mode": self.mode, "sha256": found, "text": text}


def placing(name: str, *files: Placed, unit: str = APP_UNIT) -> str:
    """The manifest of a generation of one unit, written by hand so that it can be hostile."""
    app = {"name": "app.service", "text": unit, "files": [file.plain for file in files]}
    secrets = {str(file.path): file.text for file in files if file.secret}
    return json.dumps({"kind": "generation", "id": name, "units": [app], "secrets": secrets})


def right(name: str, values: Mapping[str, str], unit: str = APP_UNIT) -> dict[str, str]:
    """The live map of such a generation, with its files' values."""
    return {
        "generation": name,
        "unit app.service": digest(unit),
        "service app.service": "active",
        **{f"file {path}": value for path, value in values.items()},
    }


def equipped(folder: Path) -> Host:
    """A host with a systemctl that says what these tests want to hear; what systemd does is tried on boards."""
    made = Host(folder)
    programs = folder / "programs"
    programs.mkdir(parents=True)
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    made.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    Path(made.environment["POLLEX_UNIT_DIR"]).mkdir()
    return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which nothing was ever done."""
    return equipped(tmp_path / "host")


@pytest.fixture
def odd_host(tmp_path: Path) -> Host:
    """A host whose paths hold what a shell would read."""
    return equipped(tmp_path / "it's a $host 100%s ü")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A folder of the host's, with a name that a shell or grep would read."""
    folder = tmp_path / "etc [a].*$ 'ü"
    folder.mkdir()
    return folder


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that is in a folder: kinds, modes, owners and contents."""
    entries: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        entries[str(path.relative_to(folder))] = (oct(about.st_mode), about.st_uid, content)
    return entries


def units(host: Host) -> Path:
    """Where its units are."""
    return Path(host.environment["POLLEX_UNIT_DIR"])


def test_files_are_placed_as_the_manifest_says(odd_host: Host, etc: Path) -> None:
    """The service would run with other settings than the reviewed ones, or with none."""
    plain, secret = etc / "new folder/app.yaml", etc / "secrets.env"
    answer = odd_host.json(
        "activate", stdin=placing("g1", Placed(plain, "a: 'ü'\n\n"), Placed(secret, SECRET, mode="600"))
    )
    assert (plain.read_text(), plain.stat().st_mode & 0o7777) == ("a: 'ü'\n\n", 0o644)
    assert (secret.read_text(), secret.stat().st_mode & 0o7777) == (SECRET, 0o600)
    wanted = right("g1", {str(plain): digest("a: 'ü'\n\n"), str(secret): digest(SECRET)})
    assert answer["live"] == odd_host.json("status", "--json")["live"] == wanted
    assert "eyes-only" not in str(answer)


def test_what_has_not_passed_its_gate_is_no_live_generation(host: Host, etc: Path) -> None:
    """If this fails, `up --refresh` finds nothing to do while the board may still go back, and nobody is told."""
    text = placing("g1", Placed(etc / "app"))
    proved = host.json("activate", stdin=text)["live"]
    assert host.json("status", "--json")["live"] == proved
    (host.root / "generations/pending").write_text("\n")
    assert host.json("status", "--json")["live"] == {**proved, "generation": "g1, unproved"}
    assert "generation: g1, unproved" in host.run("status").stdout
    assert host.json("activate", stdin=text)["live"] == proved
    assert host.json("status", "--json")["live"] == proved


FAULTS = {
    "other content": (Placed("PATH", hash=digest("other")), "that PATH is to hold"),
    "no hash": (Placed("PATH", hash=""), "files[1].sha256: '' is not 64 hex digits"),
    "no content": (Placed("PATH", text=None, hash=digest("text\n")), "has no text for PATH"),
    "other secret": (Placed("PATH", mode="600", hash=digest("other")), "that PATH is to hold"),
    "relative path": (Placed("etc/app.yaml"), "'etc/app.yaml' is not a plain absolute path"),
    "path that climbs": (Placed("PATH/../../x"), "is not a plain absolute path"),
    "path that is a folder": (Placed("PATH/"), "is not a plain absolute path"),
    "the root": (Placed("/"), "is not a plain absolute path"),
    "the same path twice": (Placed("PATH/../first"), "is not a plain absolute path"),
    "mode with a set-user bit": (Placed("PATH", mode="4755"), "'4755' is not three octal digits"),
    "mode in words": (Placed("PATH", mode="u+s"), "'u+s' is not three octal digits"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_manifest_changes_nothing(host: Host, etc: Path, fault: str) -> None:
    """A cut or forged manifest would be half in force, or write outside of its place."""
    good = Placed(etc / "first")
    host.json("activate", stdin=placing("g1", good))
    before = tree(etc), tree(host.root)
    bad, says = FAULTS[fault]
    bad = replace(bad, path=str(bad.path).replace("PATH", str(etc / "app")))
    done = host.run("activate", stdin=placing("g2", Placed(etc / "first", "changed\n"), bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert says.replace("PATH", str(etc / "app")) in done.stderr
    assert "Traceback" not in done.stderr
    assert (tree(etc), tree(host.root)) == before


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something else in the place of a file."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DRIFT: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda path: path.write_text("by hand\n"), digest("by hand\n")),
    "mode": (lambda path: path.chmod(0o644), f"{digest(SECRET)}, mode 644"),
    "owner": (lambda path: os.chown(path, 1, 0), f"{digest(SECRET)}, owner daemon"),
    "owner without a name": (lambda path: os.chown(path, 54321, 0), f"{digest(SECRET)}, owner UNKNOWN"),
    "gone": (lambda path: path.unlink(), "missing"),
    "gone with its folder": (lambda path: shutil.rmtree(path.parent), "missing"),
    "link": (replaced(lambda path: path.symlink_to("/etc/passwd")), "not a plain file"),
    "dangling link": (replaced(lambda path: path.symlink_to("nowhere")), "not a plain file"),
    "folder": (replaced(lambda path: path.mkdir()), "not a plain file"),
    "pipe": (replaced(os.mkfifo), "not a plain file"),
}


@pytest.mark.parametrize("drift", DRIFT)
def test_drift_is_named_and_mended(host: Host, etc: Path, drift: str) -> None:
    """A secret that others can read, or settings changed by hand, would be noticed by nobody."""
    path = etc / "app/secrets.env"
    text = placing("g1", Placed(path, SECRET, mode="600"), Placed(etc / "beside"))
    wanted = host.json("activate", stdin=text)["live"]
    beside = (etc / "beside").stat()
    damage, value = DRIFT[drift]
    damage(path)
    assert host.json("status", "--json")["live"] == {**wanted, f"file {path}": value}
    answer = host.json("activate", stdin=text)
    assert (answer["changed"], answer["live"]) == ([f"file {path}"], wanted)
    assert (path.is_symlink(), path.read_text()) == (False, SECRET)
    assert (path.stat().st_mode & 0o7777, path.stat().st_uid) == (0o600, 0)
    assert (etc / "beside").stat().st_ino == beside.st_ino
    assert host.json("activate", stdin=text)["changed"] == []
    host.json("deactivate")
    assert tree(etc) == {}


def test_a_folder_with_something_in_it_is_not_ours(host: Host, etc: Path) -> None:
    """Somebody's data would be deleted to put a file in its place, or an activation end half done."""
    path, other = etc / "app", etc / "other"
    path.write_text("own\n")
    files = Placed(path), Placed(other)
    host.json("activate", stdin=placing("g1", *files))
    path.unlink()
    path.mkdir()
    (path / "data").write_text("precious")
    other.unlink()
    before = tree(etc)
    done = host.run("activate", stdin=placing("g1", *files))
    assert done.returncode == 1
    assert f"{path} is a folder now: move it away" in done.stderr
    assert tree(etc) == before
    done = host.run("deactivate")
    assert done.returncode == 0, done.stderr
    kept = Path(f"{host.root}/displaced/files{path}")
    assert f"left alone: {path} is a folder now; what was found there stays as {kept}" in done.stderr
    assert (path / "data").read_text() == "precious"
    assert kept.read_text() == "own\n"


def what_was_found(etc: Path) -> dict[str, tuple[object, ...]]:
    """Somebody's own things at the places of a, b, c and d."""
    (etc / "a").write_text("own\n")
    (etc / "a").chmod(0o640)
    os.chown(etc / "a", 1, 1)
    (etc / "b").symlink_to("a")
    (etc / "c").mkdir()
    (etc / "c/inside").write_text("kept")
    return tree(etc)


def four(etc: Path, text: str = "ours\n") -> list[Placed]:
    """Files at all of those places, and one in folders that are not there."""
    return [Placed(etc / name, text) for name in ("a", "b", "c", "new/er/d")]


def test_what_was_found_comes_back(host: Host, etc: Path) -> None:
    """Somebody's own configuration would be lost by the first deployment, or by the last."""
    before = what_was_found(etc)
    host.json("activate", stdin=placing("g1", *four(etc)))
    host.json("activate", stdin=placing("g2", *four(etc, "ours, changed\n")))
    (etc / "a").write_text("ours, edited by hand\n")
    assert (etc / "new/er/d").read_text() == "ours, changed\n"
    done = host.run("deactivate")
    assert done.returncode == 0, done.stderr
    assert f"putting back what stood at {etc}/a" in done.stderr
    assert tree(etc) == before
    assert not (host.root / "displaced").exists()


def test_what_was_found_comes_back_although_its_folder_is_gone(host: Host, etc: Path) -> None:
    """Somebody's own configuration could not be had back, and `destroy` would fail for ever."""
    (etc / "app").mkdir()
    (etc / "app/own").write_text("own\n")
    before = tree(etc)
    host.json("activate", stdin=placing("g1", Placed(etc / "app/own")))
    shutil.rmtree(etc / "app")
    host.json("deactivate")
    assert tree(etc) == before


def test_a_file_that_is_dropped_gives_its_place_back(host: Host, etc: Path) -> None:
    """A setting that was taken out of the declaration would stay in force."""
    before = what_was_found(etc)
    host.json("activate", stdin=placing("g1", *four(etc)))
    answer = host.json("activate", stdin=placing("g2", Placed(etc / "b", "ours\n")))
    assert answer["changed"] == ["generation", *(f"file {etc}/{name}" for name in ("a", "c", "new/er/d"))]
    now = tree(etc)
    assert {name: now[name] for name in now if name[0] in "ac"} == {
        name: before[name] for name in before if name[0] in "ac"
    }
    assert not (etc / "new/er/d").exists()
    host.json("deactivate")
    assert tree(etc) == before


def test_a_rollback_brings_the_former_content(host: Host, etc: Path) -> None:
    """With a way back to the old program but not to its settings, it would not start."""
    path = etc / "app"
    host.json("activate", stdin=placing("g1", Placed(path, "first\n", mode="600")))
    host.json("activate", stdin=placing("g2", Placed(path, "second\n")))
    assert path.read_text() == "second\n"
    host.json("rollback")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("first\n", 0o600)
    host.json("rollback", "g2")
    (kept,) = (host.root / "generations/g1/content").iterdir()
    kept.write_text("rotten\n")
    done = host.run("rollback", "g1")
    assert done.returncode == 2
    assert f"does not hold what {path} is to hold" in done.stderr
    assert path.read_text() == "second\n"
    host.json("activate", stdin=placing("g1", Placed(path, "first\n", mode="600")))
    assert path.read_text() == "first\n"


def test_what_is_kept_of_secrets_is_closed(host: Host, etc: Path) -> None:
    """A secret would be closed where it is used and open where it is kept."""
    for number in (1, 2):
        host.json("activate", stdin=placing(f"g{number}", Placed(etc / "app", f"{number}{SECRET}", mode="600")))
    folders = list((host.root / "generations").glob("*/content"))
    assert len(folders) == 2
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    assert {file.stat().st_mode & 0o777 for folder in folders for file in folder.iterdir()} == {0o600}
    # The rest is for everybody, so that `status` needs no root.
    manifest = host.root / "generations/g1/manifest.json"
    assert manifest.stat().st_mode & 0o777 == 0o644
    assert "eyes-only" not in manifest.read_text()


class Power:
    """Runs verbs and cuts their power before a step."""

    def __init__(self, host: Host) -> None:
        """For one host, whose folders may go and come back."""
        self._process = subprocess.Popen(
            [sys.executable, str(CUT), str(TOOLS)],
            env=host.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__(None, None, None)

    def run(
        self, verb: str, text: str = "", *, step: int = 0, secret: Path = Path("/nowhere"), reserve: str = ""
    ) -> tuple[int, str]:
        """The status of a verb, -9 where it was cut, and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"arguments": verb.split(), "stdin": text, "step": step, "secret": str(secret), "reserve": reserve}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return told["status"], told["said"]


@pytest.mark.fault(
    "activation", "none, or one serves", "power is cut before any of its steps", "the next run mends it, or undoes it"
)
@pytest.mark.parametrize(("verb", "then"), [("activate", "activate"), ("activate", "deactivate"), ("deactivate", "")])
def test_a_cut_at_any_step_is_mended(light: Path, verb: str, then: str) -> None:
    """A power cut would lose what was found, or leave a secret or a half-made place behind."""
    step, cut = 0, True
    with Power(equipped(light)) as power:
        while cut:
            step += 1
            shutil.rmtree(light)
            host, etc = equipped(light), light / "etc"
            etc.mkdir()
            (units(host) / "app.service").write_text("[Service]\nExecStart=/bin/own\n")
            before = what_was_found(etc), tree(units(host))
            secret = etc / "secret"
            text = placing("g1", *four(etc), Placed(secret, SECRET, mode="600"))
            if verb == "deactivate":
                assert power.run("activate", text)[0] == 0
            status, said = power.run(verb, text, step=step, secret=secret)
            assert status in {0, -9}, f"step {step}: {said}"
            cut = status == -9
            if then == "activate":
                assert power.run("activate", text)[0] == 0
                assert all((etc / name).read_text() == "ours\n" for name in ("a", "b", "c", "new/er/d"))
                assert secret.read_text() == SECRET
                assert not list(etc.rglob("*.pollex-new")), f"step {step}"
            status, said = power.run("deactivate")
            assert status == 0, f"step {step}: {said}"
            assert (tree(etc), tree(units(host))) == before, f"step {step}: {said}"
            assert not (host.root / "displaced").exists(), f"step {step}"
    assert step > 30


def what_is_live(host: Host, etc: Path) -> object:
    """Files, units and which generation; a folder that was made for a file stays until all goes."""
    plain = {name: about for name, about in tree(etc).items() if about[2] is not None}
    return plain, tree(units(host)), (host.root / "current").readlink()


@pytest.mark.fault(
    "activation", "a generation serves", "the disk is full from any of its steps on", "said; the former one is whole"
)
def test_a_disk_that_becomes_full_at_any_step(light: Path) -> None:
    """If this fails, a full disk leaves a board between two generations, of which neither is whole."""
    step, full = 0, True
    with Power(equipped(light)) as power:
        while full:
            step += 1
            shutil.rmtree(light)
            host, etc = equipped(light), light / "etc"
            etc.mkdir()
            good = placing("good", Placed(etc / "a", "good\n"), Placed(etc / "secret", SECRET, mode="600"))
            assert power.run("activate", good)[0] == 0
            before = what_is_live(host, etc)
            text = placing("new", *four(etc), Placed(etc / "secret", f"new {SECRET}", mode="600"), unit=APP_UNIT * 2)
            reserve = host.root / "generations/.reserve"
            status, said = power.run("activate", text, step=step, reserve=str(reserve))
            assert status in {0, 6}, f"step {step}: {said}"
            full = status == 6
            assert not reserve.exists(), f"step {step}"
            if full:
                assert "no space left (" in said, f"step {step}: {said}"
                assert "make room (pollex-host gc)" in said, f"step {step}: {said}"
                assert what_is_live(host, etc) == before, f"step {step}: {said}"
                assert power.run("activate", text)[0] == 0
            assert (etc / "a").read_text() == "ours\n"
            assert (etc / "secret").read_text() == f"new {SECRET}"
            assert not list(light.rglob("*.pollex-new")), f"step {step}"
            assert power.run("deactivate")[0] == 0
            assert (tree(etc), tree(units(host))) == ({}, {}), f"step {step}"
    assert step > 20


def lose(host: Host) -> None:
    """The disk of /opt/pollex dies; what was put elsewhere stays."""
    shutil.rmtree(host.root)


@pytest.mark.parametrize("change", ["nothing", "everything"])
def test_what_was_ours_before_a_disk_died_is_ours(host: Host, tmp_path: Path, change: str) -> None:
    """`destroy` would leave the service running for ever, or bring the settings of last year back to life."""
    etc = tmp_path / "etc"
    etc.mkdir()
    program, settings = etc / "bin/app", etc / "conf/app.yaml"
    item = f"{'a' * 32}-app"
    unit = f"[Service]\nExecStart={program} --config {settings}\n"

    def manifest(name: str, text: str) -> str:
        """A unit that starts what lies in the store."""
        made = json.loads(placing(name, Placed(settings, text), unit=unit + f"# {text}"))
        made["units"][0]["links"] = [{"path": str(program), "target": f"{host.root}/store/{item}/bin/app"}]
        return json.dumps(made)

    host.json("activate", stdin=manifest("g1", "first\n"))
    lose(host)
    text = "first\n" if change == "nothing" else "second\n"
    done = host.run("activate", stdin=manifest("g2", text))
    assert done.returncode == 0, done.stderr
    assert "keeping what stands" not in done.stderr
    assert settings.read_text() == text
    host.json("deactivate")
    assert (tree(etc), tree(units(host))) == ({}, {})


def test_somebody_elses_unit_is_not_taken_for_ours(host: Host, etc: Path) -> None:
    """Somebody's own server would be deleted, because ours of the same name had been there before."""
    host.json("activate", stdin=placing("g1", Placed(etc / "app")))
    lose(host)
    (units(host) / "app.service").write_text("[Service]\nExecStart=/bin/own\n")
    (etc / "app").write_text("own\n")
    before = tree(etc), tree(units(host))
    host.json("activate", stdin=placing("g2", Placed(etc / "app", "ours\n"), unit=f"{APP_UNIT}# changed\n"))
    host.json("deactivate")
    assert (tree(etc), tree(units(host))) == before


@pytest.mark.parametrize("interrupted", [False, True], ids=["whole", "interrupted"])
def test_what_the_former_tools_displaced_comes_back(host: Host, etc: Path, interrupted: bool) -> None:  # noqa: FBT001 - a case
    """A board that was set up before would lose what stood on it, at its first `destroy` by these tools."""
    before = what_was_found(etc)
    kept = Path(f"{host.root}/found/files{etc}")
    kept.mkdir(parents=True)
    for name in "ab":
        (etc / name).rename(kept / name)
        (etc / name).write_text("ours\n")
    (etc / "new").mkdir()
    (etc / "new/d").write_text("ours\n")
    rows = [f"file\t{etc}/a", f"dir\t{etc}/new", f"file\t{etc}/new/d", f"file\t{etc}/b"]
    if interrupted:
        # the last one was moved away, and neither replaced nor noted
        rows.pop()
        (etc / "b").unlink()
    (host.root / "found/list").write_text("".join(f"{row}\n" for row in rows))
    (host.root / "found/claiming").write_text(f"{etc}/b\n")
    host.json("deactivate")
    assert tree(etc) == before
    assert not (host.root / "found").exists()
    assert not (host.root / "displaced").exists()


OWNER, OTHER = "pollex/jetson#0a1b2c3d", "pollex/nano#4e5f6071"


def by(resource: str, owner: str = OWNER) -> tuple[str, ...]:
    """The arguments with which a resource of a stack asks."""
    return ("--resource", resource, "--owner", owner)


def own(host: Host, owner: str = OWNER) -> None:
    """The host belongs to a stack, as the preflight writes it down."""
    host.root.mkdir(exist_ok=True)
    (host.root / "owner.json").write_text(json.dumps({"owner": owner}))


def test_only_what_made_it_live_takes_it_out_of_service(host: Host, etc: Path) -> None:
    """A replaced resource is deleted after its successor was made, and would take that one's service down."""
    own(host)
    text = placing("g1", Placed(etc / "app"))
    host.json("activate", *by("first"), stdin=text)
    host.json("activate", *by("second"), stdin=text)
    left = host.json("deactivate", *by("first"))
    assert "generation g1 is live by another resource of this stack" in left["leftAlone"]
    assert (left["generation"], (etc / "app").exists()) == ("g1", True)
    host.json("rollback", "g1")
    assert "leftAlone" not in host.json("deactivate", *by("second"))
    assert tree(etc) == {}


@pytest.mark.fault("activation", "a generation serves", "another resource's fails", "the first one's stays")
def test_a_failed_successor_does_not_take_over(host: Host, etc: Path) -> None:
    """After a replacement that was taken back, `destroy` would leave everything running."""
    host.json("activate", *by("first"), stdin=placing("g1", Placed(etc / "app")))
    assert host.run("activate", *by("second"), stdin=placing("g2", Placed("relative"))).returncode == 2
    host.json("deactivate", *by("first"))
    assert tree(etc) == {}


def test_another_stack_changes_nothing(host: Host, etc: Path) -> None:
    """Two laptops would overwrite and destroy each other's service without a word."""
    own(host)
    text = placing("g1", Placed(etc / "app"))
    host.json("activate", *by("first"), stdin=text)
    done = host.run("activate", *by("other", OTHER), stdin=placing("g2", Placed(etc / "app", "other\n")))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"belongs to the stack {OWNER}, and not to {OTHER}" in done.stderr
    assert f"pulumi config set --path pollex:host.takeover '{OWNER}'" in done.stderr
    for stranger in (by("other", OTHER), by("", "")):
        assert f"belongs to the stack {OWNER}" in host.json("deactivate", *stranger)["leftAlone"]
    status = host.json("status", "--json")
    assert (status["generation"], status["owner"]) == ("g1", OWNER)
    # a person at the board may, and so may a stack after it took the board over
    own(host, OTHER)
    host.json("activate", *by("other", OTHER), stdin=text)
    assert OTHER in host.json("deactivate", *by("first"))["leftAlone"]
    host.json("deactivate")
    assert tree(etc) == {}


def test_what_was_taken_over_as_it_is_belongs_to_who_took_it(host: Host, etc: Path) -> None:
    """The former stack's `destroy` would take the service down, and the new one's would leave it running."""
    own(host)
    text = placing("g1", Placed(etc / "app"))
    host.json("activate", *by("first"), stdin=text)
    own(host, OTHER)
    left = host.json("deactivate", *by("first"))
    assert f"belongs to the stack {OTHER}" in left["leftAlone"]
    assert (left["generation"], (etc / "app").exists()) == ("g1", True)
    assert "leftAlone" not in host.json("deactivate", *by("other", OTHER))
    assert tree(etc) == {}


def test_what_tools_that_did_not_ask_made_live_can_be_undone(host: Host, etc: Path) -> None:
    """A board that was set up before claims existed could never be taken out of service."""
    host.json("activate", stdin=placing("g1", Placed(etc / "app")))
    host.json("deactivate", *by("", ""))
    assert tree(etc) == {}


@pytest.mark.parametrize("arguments", [["--now"], ["--resource", "x"], [*by("x"), "--resource", "y"], ["g1"]])
def test_arguments_that_are_not_known_are_refused(host: Host, arguments: list[str]) -> None:
    """A typing error would be taken for the wish of a person who may do everything."""
    for verb in ("activate", "deactivate"):
        assert host.run(verb, *arguments, stdin=placing("g1")).returncode == 2


def verdict(url: str) -> str:
    """What the gate says of a health URL without a completion."""
    try:
        gate.ask_once(url, None, 5)
    except gate.Unhealthy as why:
        return str(why)
    return "healthy"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "", "healthy"),
        (200, "not even JSON", "healthy"),
        (503, '{"error":{"message":"Loading model"}}', "loading the model"),
        (
            503,
            '{"status":"not ready",\r\n "reasons":["llama.cpp: \x1b[31mdown"]}',
            '503: {"status":"not ready",   "rea',
        ),
        (500, "", "500: "),
        (404, "ü" * 400, "404: " + "ü" * 150),
        (503, "x" + "ü" * 400, "503: x" + "ü" * 149),
        (503, "ends with\n200", "503: ends with 200"),
    ],
)
def test_the_gate_shows_what_an_unhealthy_unit_says(status: int, body: str, says: str) -> None:
    """A deployment would be taken back for a reason that the service gave and nobody was told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{http.server_port}/readyz"
        said = verdict(url)
        http.shutdown()
        thread.join()
    shown = said.removeprefix(f"{url} answers ")
    assert shown.startswith(says)
    assert shown.isprintable()
    if not body.startswith("{"):
        assert shown == says


# On a board: a service that reads its files once, at its start.

SERVE = """\
import json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
given = json.load(open(sys.argv[1]))
began = time.monotonic()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = time.monotonic() - began >= given["ready_after"]
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write((given["says"] if ready else "not ready: warming up").encode())

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", 8090), Handler).serve_forever()
"""
APP, SIDE = "app.service", "side.service"
HEALTH = "http://127.0.0.1:8090/"
SETTINGS, PROGRAM, SECRETS = "/etc/app/settings.json", "/etc/app/serve.py", "/etc/app/secrets.env"
OUTSIDE = r"""
find /etc/systemd/system /etc/app /etc/side.conf -printf '%M %U %p %l\n' 2>/dev/null | sort
cat /etc/app/* /etc/side.conf 2>/dev/null
"""


def live(
    *,
    says: str = "hello",
    ready_after: float = 0,
    secret: str | None = SECRET,
    side: str = "beside\n",
    seconds: int = 60,
) -> Generation:
    """Two units with files of their own."""
    settings = f'{{"says": "{says}", "ready_after": {ready_after}}}\n'
    installed = "[Install]\nWantedBy=multi-user.target\n"
    serve = f"[Service]\nEnvironmentFile=-{SECRETS}\nExecStart=/usr/bin/python3 {PROGRAM} {SETTINGS}\n"
    files = [public(PROGRAM, SERVE), public(SETTINGS, settings)]
    if secret is not None:
        files.append(File(path=SECRETS, mode="600", sha256=digest(secret)))
    gated = Gate(health=HEALTH, completion=None, seconds=seconds)
    units = (
        Unit(name=APP, text=serve + installed, files=tuple(files), gate=gated),
        # its gate says nothing of its own, but a gate needs a unit that runs
        Unit(
            name=SIDE,
            text=f"[Service]\nExecStart=/bin/sleep 100000\n{installed}",
            files=(public("/etc/side.conf", side),),
            gate=gated,
        ),
    )
    secrets = {} if secret is None else {SECRETS: secret}
    name = digest(manifest.text(Generation(id="", units=units, secrets=secrets)))[:32]
    return Generation(id=name, units=units, secrets=secrets)


def public(path: str, text: str) -> File:
    """A file that everybody may read."""
    return File(path=path, mode="644", sha256=digest(text), text=text)


def whole(made: Generation) -> str:
    """The manifest as it is sent, with the secrets that the engine never shows."""
    return manifest.text(made)


def live_map(made: Generation) -> dict[str, str]:
    """What the board looks like when it is in force."""
    items = {"generation": made.id}
    for unit in made.units:
        items |= {f"unit {unit.name}": digest(unit.text), f"service {unit.name}": "active"}
        items |= {f"file {file.path}": file.sha256 for file in unit.files}
    return items


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One board for all tests here; each leaves it without a generation."""
    with Board.temporary("host-files") as board:
        yield Machine(board, "python3-minimal")


@pytest.fixture
def idle(machine: Machine) -> Iterator[Machine]:
    """The board with nothing live."""
    yield machine
    machine.pollex("deactivate")
    machine.sh("rm -rf /etc/app /etc/side.conf; systemctl reset-failed")


def answers(machine: Machine) -> str:
    """What the service says."""
    return machine.sh(f"curl -s {HEALTH}", check=False)


def test_the_declared_map_is_the_observed_one(idle: Machine) -> None:
    """Every refresh would show drift where there is none, or none where there is."""
    made = live()
    assert idle.json("activate", whole(made))["live"] == live_map(made)
    assert idle.json("status --json")["live"] == live_map(made)
    assert idle.json("activate", whole(made))["changed"] == []
    assert answers(idle) == "hello"


def test_nobody_but_root_reads_a_secret(idle: Machine) -> None:
    """Any process of the board could take the key from where it is used or kept."""
    idle.json("activate", whole(live()))
    search = "grep -rlsF eyes-only /opt/pollex /etc /run /tmp /var"
    where = idle.sh(search, check=False).splitlines()  # it fails where a file of /run goes away before it is read
    assert SECRETS in where
    assert len(where) == 2
    assert all(place == SECRETS or "/content/" in place for place in where)
    assert idle.sh(f"setpriv --reuid=nobody --regid=nogroup --clear-groups {search}", check=False) == ""
    said = idle.board.run("pollex-host status", check=False)
    assert f"file {SECRETS}: not readable\n" in said.stdout
    assert said.stderr == ""
    assert "eyes-only" not in idle.sh("journalctl --no-pager")


def test_only_the_owner_of_a_changed_file_restarts(idle: Machine) -> None:
    """A changed prompt would interrupt the model's server; or nothing would restart, and the old one stay in force."""
    idle.json("activate", whole(live()))
    app, side = idle.pid(APP), idle.pid(SIDE)
    answer = idle.json("activate", whole(live(says="changed")))
    assert answer["changed"] == ["generation", f"file {SETTINGS}"]
    assert (answers(idle), idle.pid(SIDE)) == ("changed", side)
    assert idle.pid(APP) not in {app, "0"}
    app = idle.pid(APP)
    idle.json("activate", whole(live(says="changed", side="changed\n")))
    assert idle.pid(APP) == app
    assert idle.pid(SIDE) not in {side, "0"}
    side = idle.pid(SIDE)
    idle.sh(f"chmod 644 {SECRETS}")
    assert idle.json("activate", whole(live(says="changed", side="changed\n")))["changed"] == [f"file {SECRETS}"]
    assert idle.pid(APP) not in {app, "0"}
    assert idle.pid(SIDE) == side


def test_the_owner_of_a_dropped_file_restarts(idle: Machine) -> None:
    """A key that was taken out of the declaration would stay in the process that had read it."""
    idle.json("activate", whole(live()))
    app, side = idle.pid(APP), idle.pid(SIDE)
    assert "KEY=" in idle.sh(f"tr '\\0' '\\n' </proc/{app}/environ")
    answer = idle.json("activate", whole(live(secret=None)))
    assert answer["changed"] == ["generation", f"file {SECRETS}"]
    assert "KEY=" not in idle.sh(f"tr '\\0' '\\n' </proc/{idle.pid(APP)}/environ")
    assert idle.pid(SIDE) == side


@pytest.mark.fault(
    "activation", "a generation serves", "a service says that it is not ready", "taken back, with its words"
)
def test_an_unready_service_says_why_and_is_taken_back(idle: Machine) -> None:
    """A bad setting would end a service that worked, and its own reason be lost."""
    good = live()
    idle.json("activate", whole(good))
    done = idle.pollex("activate", whole(live(says="bad", ready_after=1000, side="bad\n", seconds=4)))
    assert (done.returncode, done.stdout) == (7, "")
    assert f"{APP} is not healthy after 4 s: {HEALTH} answers 503: not ready: warming up" in done.stderr
    assert "eyes-only" not in done.stderr
    assert answers(idle) == "hello"
    assert idle.sh("cat /etc/side.conf") == "beside"
    assert idle.json("activate", whole(good))["changed"] == []


def test_a_service_may_take_its_time(idle: Machine) -> None:
    """A service that warms its model up would be taken back although it is on its way."""
    done = idle.pollex("activate", whole(live(ready_after=3)))
    assert done.returncode == 0, done.stderr
    assert answers(idle) == "hello"


def test_deactivate_leaves_the_board_as_it_was(idle: Machine) -> None:
    """`destroy` would leave a secret behind, or take somebody's own settings."""
    idle.sh(f"mkdir /etc/app; echo own >{SETTINGS}; chmod 640 {SETTINGS}; ln -s app/settings.json /etc/side.conf")
    before = idle.sh(OUTSIDE)
    idle.json("activate", whole(live()))
    idle.json("activate", whole(live(says="changed")))
    idle.json("deactivate")
    assert idle.sh(OUTSIDE) == before


MOMENTS = {
    "the way back is noted": "test -e /opt/pollex/generations/pending",
    "the new file is there": f"grep -q new {SETTINGS}",
    "the gate waits": "grep -qs 'not ready' /tmp/said",
}
"""Commands that succeed from some moment of an activation on."""


@pytest.mark.fault(
    "activation", "a generation serves", "power is cut while files change", "what runs the old ones is restarted"
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_activation_restarts_what_runs_the_old_file(idle: Machine, moment: str) -> None:
    """After a power cut the service would go on with its former settings, which nothing shows."""
    idle.json("activate", whole(live()))
    made = live(says="new", ready_after=3600)
    killed = idle.sh(
        f"rm -f /tmp/said; cat >/tmp/manifest; pollex-host activate </tmp/manifest 2>/tmp/said & "
        f"until {MOMENTS[moment]}; do :; done; kill -KILL $!; wait $!; echo $?",
        whole(made).encode(),
    )
    assert killed == "137"
    made = live(says="new")
    assert idle.json("activate", whole(made))["live"] == live_map(made)
    assert answers(idle) == "new"
    assert idle.json("activate", whole(made))["changed"] == []
