"""A host without network is set up from one file, if every part of the file is what it should be."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from infra.core import signing
from tests.host.conftest import Host
from tests.host.test_bundle import FILES, ITEM, content, received
from tests.host.test_files import Placed, equipped, placing

KEY: Final = signing.new_key()
PUBLIC: Final = signing.public_key(KEY)
Parts = dict[str, tuple[tarfile.TarInfo, bytes]]


def serving(folder: Path, *, secret: bool = False) -> Host:
    """A host with a generation that needs the bundle, and perhaps a file that only root may read."""
    made = equipped(folder)
    received(made)
    placed = [Placed(folder / "etc/app.conf", "a = 1\n")]
    placed += [Placed(folder / "etc/secret.env", "KEY=hunter2-canary\n", "600")] if secret else []
    (folder / "etc").mkdir()
    generation = json.loads(placing("g1", *placed))
    generation["units"][0]["needs"] = [ITEM]
    made.json("activate", stdin=json.dumps(generation))
    return made


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The file of such a host."""
    file = tmp_path / "site.tar"
    answer = serving(tmp_path / "first").json("export", str(file))
    assert answer["sha256"] == sha256(file.read_bytes()).hexdigest()
    return file


@pytest.fixture
def second(tmp_path: Path) -> Host:
    """A host on which nothing was ever done; visible places are the first one's, as on another machine."""
    return equipped(tmp_path / "second")


def parts(file: Path) -> Parts:
    """What is in a file, in its order."""
    with tarfile.open(file) as packed:
        return {one.name: (one, (packed.extractfile(one) or io.BytesIO()).read()) for one in packed}


def rewritten(file: Path, held: Parts) -> None:
    """The file with other parts."""
    with tarfile.open(file, "w") as packed:
        for member, body in held.values():
            member.size = len(body)
            packed.addfile(member, io.BytesIO(body))


def sign(file: Path, key: str = KEY) -> None:
    """As `make sign` does."""
    Path(f"{file}.sig").write_bytes(signing.signature(key, file.read_bytes()))


def test_a_host_is_set_up_from_one_file(site: Path, second: Host, tmp_path: Path) -> None:
    """If this fails, a house without a line to the world has no polisher, or has to be typed in by hand."""
    sign(site)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", site, "-C", unpacked, "tools"], check=True)
    second.command = ["dash", str(unpacked / "tools/pollex-host")]
    done = second.run("import", str(site), "--public-key", PUBLIC)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["generation"] == "g1"
    assert content(second) == FILES
    assert (second.root / "bin/pollex-host").exists()
    assert (second.root / f"archive/{ITEM}.tar.gz").exists()
    second.command = ["dash", str(second.root / "bin/pollex-host")]
    assert second.json("ensure-bundle", ITEM[:32])["how"] == "present"
    assert second.run("import", str(site)).returncode == 0


def test_without_a_key_it_is_said_that_nobody_vouches(site: Path, second: Host) -> None:
    """If this fails, hashes that come with a file are taken for a reason to trust it."""
    done = second.run("import", str(site))
    assert done.returncode == 0, done.stderr
    assert f"nobody vouches for {site}: its hashes show that it is whole, and not who made it" in done.stderr


def test_the_same_host_makes_the_same_file(site: Path, tmp_path: Path) -> None:
    """If this fails, a signature says nothing to somebody who exports again and compares."""
    host = Host(tmp_path / "first")
    done = subprocess.run([*host.command, "export", "-"], env=host.environment, capture_output=True, check=True)
    assert done.stdout == site.read_bytes()


def flipped(name: str) -> Callable[[Path], None]:
    """Another byte in a part, under the same index."""

    def change(file: Path) -> None:
        held = parts(file)
        member, body = held[name]
        held[name] = (member, body[:-1] + b"?")
        rewritten(file, held)

    return change


def reindexed(**changes: Any) -> Callable[[Path], None]:
    """Another index."""

    def change(file: Path) -> None:
        held = parts(file)
        member, body = held["site.json"]
        index = json.loads(body)
        for name, value in changes.items():
            index[name] = {**index[name], **value} if isinstance(value, dict) else value
        held["site.json"] = (member, json.dumps(index).encode())
        rewritten(file, held)

    return change


def program(body: bytes, *, sealed: bool) -> Callable[[Path], None]:
    """Another program, with an index that knows it, and perhaps a store path that does."""

    def change(file: Path) -> None:
        held, digest = parts(file), sha256(body).hexdigest()
        name, sums = f"store/{ITEM}/bin/pollex", f"store/{ITEM}/.sha256sums"
        held[name] = (held[name][0], body)
        hashes = {name: digest}
        if sealed:
            lines = held[sums][1].decode().splitlines()
            text = "\n".join(f"{digest}  bin/pollex" if line.endswith("bin/pollex") else line for line in lines)
            held[sums] = (held[sums][0], f"{text}\n".encode())
            hashes[sums] = sha256(held[sums][1]).hexdigest()
        rewritten(file, held)
        reindexed(hashes=hashes)(file)

    return change


def added(file: Path) -> None:
    """A part that no index knows."""
    held = parts(file)
    held["extra"] = (tarfile.TarInfo("extra"), b"x")
    rewritten(file, held)


def lacking(file: Path) -> None:
    """A part less."""
    held = parts(file)
    del held[f"store/{ITEM}/bin/pollex"]
    rewritten(file, held)


def cut(file: Path) -> None:
    """As a stick does that was pulled out."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def rubbish(file: Path) -> None:
    """Something else of that name."""
    file.write_text("x" * 2000)


WRONG: Final[dict[str, tuple[Callable[[Path], None], str]]] = {
    "a flipped byte of a program": (flipped(f"store/{ITEM}/bin/pollex"), "has other bytes than its index says"),
    "a flipped byte of the tools": (flipped("tools/recipe.sh"), "tools/recipe.sh has other bytes"),
    "a flipped byte of the generation": (flipped("generation.json"), "generation.json has other bytes"),
    "a part too many": (added, "extra is not in its index"),
    "a part too few": (lacking, "it lacks 1 of its files"),
    "half of it": (cut, "it "),
    "no tar": (rubbish, "it cannot be read to its end"),
    "another machine's": (reindexed(architecture="riscv64"), "it is of a host that is riscv64"),
    "a later form": (reindexed(form=2), "it is of form 2"),
    "a name that leads out": (reindexed(hashes={"store/../../x": "0" * 64}), "a name in its index leads out"),
    "a link that leads out": (reindexed(links={"python/bin/x": "../../../etc"}), "a link in its index leads out"),
    "a program that its store path does not list": (program(b"#!/bin/sh\n", sealed=False), "its content is changed"),
    "a program that does not run": (program(b"#!/bin/sh\nexit 9\n", sealed=True), "does not run on this host"),
}


@pytest.mark.fault(
    "site",
    "none",
    "the file is altered, cut, of another machine, or leads out of itself",
    "refused; the store is empty",
)
@pytest.mark.parametrize("fault", WRONG)
def test_what_is_not_right_becomes_no_part_of_the_store(site: Path, second: Host, fault: str) -> None:
    """If this fails, a damaged stick, or a stranger's, runs as root on a board that nobody can look after."""
    spoil, reason = WRONG[fault]
    spoil(site)
    done = second.run("import", str(site))
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert reason in done.stderr
    assert list((second.root / "store").iterdir()) == []
    assert not (second.root / "bin").exists()
    assert not (second.root / "current").exists()


@pytest.mark.fault("site", "none", "its signature is altered, another's, or none", "refused; the store is empty")
@pytest.mark.parametrize("fault", ["altered", "another's", "none"])
def test_a_signature_that_is_not_right_opens_nothing(site: Path, second: Host, fault: str) -> None:
    """If this fails, a key that is asked for keeps nobody out."""
    if fault != "none":
        sign(site, signing.new_key() if fault == "another's" else KEY)
    if fault == "altered":
        site.write_bytes(site.read_bytes() + b"\0")
    done = second.run("import", str(site), "--public-key", PUBLIC)
    assert done.returncode == 3
    assert ("no signature of it" if fault == "none" else "is not signed by the key") in done.stderr
    assert list((second.root / "store").iterdir()) == []


def test_secrets_travel_apart(tmp_path: Path, second: Host) -> None:
    """If this fails, whoever finds the stick has the keys of the house; or a site with keys cannot be set up."""
    file = tmp_path / "site.tar"
    first = serving(tmp_path / "first", secret=True)
    secret = tmp_path / "first/etc/secret.env"
    assert "left out, because only root may read them" in first.run("export", str(file)).stderr
    assert b"hunter2" not in file.read_bytes()
    done = second.run("import", str(file))
    assert done.returncode == 1
    assert f"everything of {file} is there, but for what only root may read: {secret}" in done.stderr
    texts = json.dumps({str(secret): "KEY=hunter2-canary\n"})
    assert second.run("import", str(file), "--secrets", stdin=texts).returncode == 0
    assert second.run("import", str(file), "--secrets", stdin="[]").returncode == 2


@pytest.mark.fault("site", "a host serves", "a program in its store was changed", "nothing is exported")
def test_nothing_is_exported_that_is_not_whole(tmp_path: Path) -> None:
    """If this fails, the damage of one board spreads to all."""
    host = serving(tmp_path / "first")
    (host.root / f"store/{ITEM}/bin/pollex").write_text("#!/bin/sh\n")
    done = host.run("export", str(tmp_path / "site.tar"))
    assert done.returncode == 1
    assert "is changed: bin/pollex: mend it first" in done.stderr
    assert not list(tmp_path.glob("site.tar*"))
    assert "nothing is live on this host" in equipped(tmp_path / "bare").run("export", str(tmp_path / "x")).stderr


@pytest.mark.parametrize("words", [[], ["none.tar"], ["--public-key", "x", "a"], ["--force", "a"], ["a", "b"]])
def test_import_refuses_what_it_does_not_know(host: Host, words: list[str]) -> None:
    """If this fails, a misspelt key is no key, and the file is taken without one."""
    assert host.run("import", *words).returncode == 2
