"""A bundle is brought whole, once, and stays mendable; or it is refused and nothing of it stays."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from infra.core.derivation import Derivation
from infra.hosttools.pollex_host import manifest
from tests.host.conftest import Host
from tests.host.test_files import Power, equipped
from tests.host.test_store import generation
from tests.waiting import wait_for

MADE = Derivation("polish", {"for": "a test"})
ITEM = MADE.item
KEY = MADE.key
ARCHIVE = f"{ITEM}.tar.gz"
FILES = {"bin/pollex": b"#!/bin/sh\necho pollex 1\n", "lib/pollex/app.py": b"answer = 42\n", "lib/odd name's $.py": b""}
"""A bundle as small as one can be: the program that the manifest names, and what it needs."""


def listed(files: Mapping[str, bytes]) -> bytes:
    """The list that seals them."""
    return b"".join(f"{sha256(content).hexdigest()}  {name}\n".encode() for name, content in sorted(files.items()))


def archive(
    files: Mapping[str, bytes] = FILES,
    *,
    top: str = ITEM,
    sums: bytes | None = None,
    change: Callable[[tarfile.TarInfo], tarfile.TarInfo] = lambda member: member,
) -> bytes:
    """What pulumi's side packs: the sealed folder of a store path."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w") as packed,
    ):
        for name, body in {".sha256sums": listed(files) if sums is None else sums, **files}.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(body)
            member.mode = 0o755 if name.startswith("bin/") else 0o644
            member = change(member)
            packed.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which nothing was ever done, and on which generations can be activated."""
    return equipped(tmp_path / "host")


def text(*caches: manifest.Substituter) -> str:
    """The manifest, as it is declared."""
    return manifest.text(manifest.Bundle(key=MADE.key, name=MADE.name, target="pollex", substituters=caches))


def receive(host: Host, content: bytes) -> subprocess.CompletedProcess[bytes]:
    """The verb, with bytes on stdin."""
    return subprocess.run(
        [*host.command, "receive", KEY],
        input=content,
        env=host.environment,
        capture_output=True,
        check=False,
    )


def received(host: Host) -> None:
    """The bundle is on the host, sent as pulumi does."""
    assert host.run("ensure-bundle", stdin=text()).returncode == 10
    done = receive(host, archive())
    assert done.returncode == 0, done.stderr


def content(host: Host) -> dict[str, bytes]:
    """The files of the store path, but for their list."""
    store = host.root / "store" / ITEM
    files = {str(file.relative_to(store)): file.read_bytes() for file in store.rglob("*") if file.is_file()}
    files.pop(".sha256sums")
    return files


def left(host: Host) -> list[str]:
    """All files of the host but the kept manifest."""
    return [
        str(path.relative_to(host.root)) for path in host.root.rglob("*") if path.is_file() and "drv" not in path.parts
    ]


def test_a_bundle_that_is_nowhere_is_asked_for(odd_host: Host) -> None:
    """Pulumi would not learn that it has to send it; or a half of something would pass for it."""
    for arguments, stdin in ((["ensure-bundle"], text()), (["ensure-bundle", KEY], "")):
        done = odd_host.run(*arguments, stdin=stdin)
        assert (done.returncode, done.stdout) == (10, "")
        assert "is not on this host, and no substituter has it: it is packed where pulumi runs" in done.stderr
        assert left(odd_host) == []


def test_a_bundle_is_received_once(odd_host: Host) -> None:
    """Every deployment would send 30 MB to a board on a slow line."""
    odd_host.run("ensure-bundle", stdin=text())
    done = receive(odd_host, archive())
    assert done.returncode == 0, done.stderr
    assert f'"path":"{odd_host.root}/store/{ITEM}","how":"received"' in done.stdout.decode()
    assert content(odd_host) == FILES
    program = odd_host.root / "store" / ITEM / "bin/pollex"
    assert program.stat().st_mode & 0o777 == 0o755
    assert (odd_host.root / "archive" / ARCHIVE).read_bytes() == archive()
    before = program.stat().st_ino
    assert odd_host.json("ensure-bundle", stdin=text())["how"] == "present"
    assert odd_host.json("ensure-bundle", KEY)["how"] == "present"
    assert program.stat().st_ino == before


def test_a_lost_path_is_restored(host: Host) -> None:
    """With the laptop away the service could not be made whole again."""
    received(host)
    shutil.rmtree(host.root / "store" / ITEM)
    assert host.json("ensure-bundle", KEY)["how"] == "restored"
    assert content(host) == FILES


def program_changed(store: Path) -> None:
    """A file has other bytes."""
    (store / "bin/pollex").write_text("#!/bin/sh\necho forged\n")


def file_added(store: Path) -> None:
    """Python's own habit, if root ever runs it there."""
    (store / "lib/pollex/__pycache__").mkdir()
    (store / "lib/pollex/__pycache__/app.pyc").write_bytes(b"compiled")


@pytest.mark.fault("activation", "a generation serves", "its bundle is changed, or lost", "made again from the archive")
@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (program_changed, "changed: bin/pollex"),
        (file_added, "changed: lib/pollex/__pycache__/app.pyc"),
        (lambda store: (store / "lib/pollex/app.py").unlink(), "changed: lib/pollex/app.py"),
        (shutil.rmtree, "missing"),
    ],
)
def test_an_activation_mends_a_damaged_bundle(host: Host, damage: Callable[[Path], object], state: str) -> None:
    """`up` would say that all is well, with a damaged program in service."""
    received(host)
    live = generation("g1", ITEM)
    host.json("activate", stdin=live)
    damage(host.root / "store" / ITEM)
    assert host.json("status", "--json")["live"][f"store {ITEM}"] == state
    done = host.run("activate", stdin=live)
    assert done.returncode == 0, done.stderr
    assert f"{ITEM} is {state}: making it again" in done.stderr
    assert f'"changed":["store {ITEM}"]' in done.stdout
    assert content(host) == FILES
    assert [path.name for path in (host.root / "store").iterdir()] == [ITEM]


@pytest.mark.fault(
    "activation", "a generation serves", "its bundle and the archive are damaged", "said; what half works stays"
)
def test_a_damaged_bundle_without_its_archive(host: Host) -> None:
    """What still half works would be taken away because it cannot be mended here."""
    received(host)
    host.json("activate", stdin=generation("g1", ITEM))
    program_changed(host.root / "store" / ITEM)
    (host.root / "archive" / ARCHIVE).unlink()
    done = host.run("activate", stdin=generation("g1", ITEM))
    assert (done.returncode, done.stdout) == (10, "")
    assert "it is packed where pulumi runs" in done.stderr
    assert b"forged" in content(host)["bin/pollex"]
    assert [path.name for path in (host.root / "store").iterdir()] == [ITEM]


def linked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file of the bundle is a link that leads out of it."""
    if member.name.endswith("app.py"):
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
    return member


def climbing(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file of the bundle lies outside of it."""
    member.name = member.name.replace(f"{ITEM}/lib", f"{ITEM}/../../climbed")
    return member


FAULTS: Mapping[str, tuple[bytes, str]] = {
    "nothing": (b"", "it cannot be unpacked"),
    "no archive": (b"<html>404 Not Found</html>", "it cannot be unpacked"),
    "cut early": (archive()[:100], "it cannot be unpacked"),
    "cut at its end": (archive()[:-9], "it cannot be unpacked"),
    "one bit": (archive()[:-30] + bytes([archive()[-30] ^ 1]) + archive()[-29:], "it cannot be unpacked"),
    "another's folder": (archive(top="f" * 32 + "-polish"), "its content is missing"),
    "no folder": (archive(top="."), "its content is missing"),
    "another program": (
        archive({**FILES, "bin/pollex": b"x"}, sums=listed(FILES)),
        "its content is changed: bin/pollex",
    ),
    "a file too many": (archive({**FILES, "bin/more": b"x"}, sums=listed(FILES)), "its content is changed: bin/more"),
    "a link": (archive(change=linked), "its content is changed: lib/pollex/app.py"),
    "a way out": (archive(change=climbing), "it cannot be unpacked"),
    "no list": (archive(sums=b""), "its content is changed: .sha256sums"),
    "a program that fails": (
        archive({**FILES, "bin/pollex": b"#!/bin/sh\nexit 1\n"}),
        "pollex does not run on this host",
    ),
    "an interpreter that is not there": (
        archive({**FILES, "bin/pollex": b"#!/usr/bin/python9\n"}),
        "pollex does not run on this host",
    ),
    "no program": (archive({"lib/x": b"x"}), "pollex does not run on this host"),
}


@pytest.mark.fault("upload", "none", "an archive is cut, corrupted or malicious", "refused; the store is as it was")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_archive_is_refused(host: Host, fault: str) -> None:
    """A lost connection or a wrong package would be installed as the service, or be kept to mend it from."""
    assert host.run("ensure-bundle", stdin=text()).returncode == 10
    packed, says = FAULTS[fault]
    done = receive(host, packed)
    assert (done.returncode, done.stdout) == (3, b"")
    assert f"the archive of polish {KEY[:6]}… is refused: {says}" in done.stderr.decode()
    assert left(host) == []
    assert not (host.root / "climbed").exists()
    assert host.run("ensure-bundle", KEY).returncode == 10


@pytest.mark.fault("upload", "a good archive is kept", "a faulty one comes", "the good one stays")
def test_a_faulty_archive_does_not_replace_a_good_one(host: Host) -> None:
    """The bundle would be whole until it is damaged, and then be lost."""
    received(host)
    done = receive(host, archive()[:-9])
    assert done.returncode == 3
    assert (host.root / "archive" / ARCHIVE).read_bytes() == archive()
    assert content(host) == FILES
    assert receive(host, archive()).returncode == 0
    shutil.rmtree(host.root / "store" / ITEM)
    assert host.json("ensure-bundle", KEY)["how"] == "restored"


@pytest.mark.fault("upload", "the kept archive rots", "the bundle is lost", "it is asked for again")
def test_a_rotten_archive_is_asked_for_again(host: Host) -> None:
    """A bad sector would be taken for the service, or stand in its way for ever."""
    received(host)
    shutil.rmtree(host.root / "store" / ITEM)
    kept = host.root / "archive" / ARCHIVE
    kept.write_bytes(archive()[:-9])
    done = host.run("ensure-bundle", KEY)
    assert done.returncode == 10
    assert f"not from {kept}: it cannot be unpacked" in done.stderr
    assert left(host) == []
    assert receive(host, archive()).returncode == 0
    assert content(host) == FILES


@pytest.mark.fault("upload", "a small disk", "it becomes full", "said as that")
@pytest.mark.parametrize(
    ("large", "says"),
    [
        (os.urandom(12 << 20), "the archive of polish {key}… cannot be kept in {root}/archive"),
        (os.urandom(6 << 20), "polish {key}… needs 7 MB at {root}, and 3 MB are free"),
        (bytes(50 << 20), "polish {key}… needs 51 MB at {root}, and 9 MB are free"),
    ],
    ids=["no room to receive", "no room to unpack", "no room for what is dense in the archive"],
)
def test_a_full_disk_is_called_so(small_disk: Path, large: bytes, says: str) -> None:
    """Somebody would look for a fault of the archive, with the disk full of what could not be used."""
    host = Host(small_disk)
    host.run("ensure-bundle", stdin=text())
    free = shutil.disk_usage(small_disk).free
    done = receive(host, archive({**FILES, "lib/large": large}))
    assert (done.returncode, done.stdout) == (6, b""), done.stderr
    assert says.format(key=KEY[:6], root=host.root) in done.stderr.decode()
    assert left(host) == []
    assert abs(shutil.disk_usage(small_disk).free - free) < 1 << 16
    assert receive(host, archive()).returncode == 0


@pytest.mark.fault("upload", "none", "the connection is lost on the way", "nothing of it stays")
def test_a_lost_connection_leaves_nothing(host: Host) -> None:
    """Each attempt over a bad line would leave its part on the disk."""
    host.run("ensure-bundle", stdin=text())
    with subprocess.Popen(
        [*host.command, "receive", KEY],
        env=host.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as run:
        assert run.stdin is not None
        run.stdin.write(archive()[:100])
        run.stdin.flush()
        wait_for(lambda: left(host), run)
        os.killpg(run.pid, signal.SIGHUP)
        assert run.wait() == 143
    assert left(host) == []


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "says"),
    [
        (["receive"], "", 2, "'receive' takes one key"),
        (["receive", "x"], "", 2, "'x' is not a key"),
        (["receive", KEY], "", 2, f"there is no manifest for {KEY}"),
        (["ensure-bundle", "a", "b"], "", 2, "takes at most one key"),
        (["ensure-bundle"], generation("g1"), 2, "of kind 'generation', which 'activate' takes"),
        (["ensure"], text(), 2, "this is a manifest of kind 'bundle'; 'ensure' takes kind 'build'"),
        (["ensure-bundle"], text().replace(KEY, "../x"), 2, "not 32 hex digits"),
    ],
)
def test_wrong_use_is_said(host: Host, arguments: list[str], stdin: str, status: int, says: str) -> None:
    """A typing error would put a program where it does not belong."""
    done = host.run(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr
    assert not (host.root / "store").exists()


@pytest.mark.fault(
    "upload", "none", "power is cut before any of its steps", "it is sent again, and no half of it stays"
)
def test_a_cut_at_any_step_leaves_no_half(light: Path) -> None:
    """If this fails, each power cut leaves a part of a bundle in the store, or one that passes for whole."""
    step, cut, sent = 0, True, archive().decode(errors="surrogateescape")
    with Power(equipped(light)) as power:
        while cut:
            step += 1
            shutil.rmtree(light)
            host = equipped(light)
            assert power.run("ensure-bundle", text())[0] == 10
            status, said = power.run(f"receive {KEY}", sent, step=step)
            assert status in {0, -9}, f"step {step}: {said}"
            cut = status == -9
            if (host.root / "store" / ITEM).exists():
                assert content(host) == FILES, f"step {step}"
            assert power.run(f"receive {KEY}", sent)[0] == 0
            assert [path.name for path in (host.root / "store").iterdir()] == [ITEM], f"step {step}"
            assert [path.name for path in (host.root / "archive").iterdir()] == [ARCHIVE], f"step {step}"
            assert content(host) == FILES, f"step {step}"
    assert step > 10


def test_gc_keeps_the_bundle_of_a_kept_generation(host: Host) -> None:
    """A rollback would find its service gone, or a damaged one could not be mended any more."""
    received(host)
    other = Derivation("polish", {"for": "another"})
    for place in (f"store/{other.item}", f"drv/{other.item}"):
        (host.root / place).mkdir()
    (host.root / f"archive/{other.item}.tar.gz").write_bytes(b"x")
    for number, needs in ((1, ITEM), (2, ITEM), (3, "")):
        host.json("activate", stdin=generation(f"g{number}", *([needs] if needs else [])))
    cut = host.root / f"archive/.{ITEM}.4711"
    running = host.root / f"archive/.{ITEM}.4712"
    for part in (cut, running):
        part.write_bytes(gzip.compress(b"x"))
    os.utime(cut, (0, 0))
    deleted = host.json("gc", "--keep", "1")["deleted"]
    assert sorted(deleted) == sorted(
        [
            "generations/g1",
            f"store/{other.item}",
            f"drv/{other.item}",
            f"archive/{other.item}.tar.gz",
            f"archive/{cut.name}",
        ]
    )
    host.json("rollback")
    shutil.rmtree(host.root / "store" / ITEM)
    assert host.json("rollback", "g2")["live"][f"store {ITEM}"] == "intact"
    host.json("rollback", "g3")
    assert f"store/{ITEM}" in host.json("gc", "--keep", "0")["deleted"]
    assert [path.name for path in (host.root / "archive").iterdir()] == [running.name]
