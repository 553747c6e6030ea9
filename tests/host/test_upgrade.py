"""A host that the former tools set up is taken over: nothing is built again, and every way back stays open."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infra.hosttools.pollex_host import displaced, former, manifest
from infra.hosttools.pollex_host.manifest import (
    Build,
    Bundle,
    File,
    Gate,
    Generation,
    Link,
    Model,
    Quantised,
    Serves,
)
from sandbox.board import Board
from tests.host.conftest import Host
from tests.host.machine import Machine

FORMER = Path(__file__).parent / "former"
ROOT = FORMER / "opt/pollex"
SERVER, MODEL, MADE, TOOL, POLISH = (digit * 32 for digit in "56789")
NEW = "a" * 32
"""The key of the same build by today's formula."""


def kept(item: str) -> Any:
    """What the former tools kept of it, as a manifest."""
    return former.stored(str(ROOT / "drv" / item))


@pytest.fixture
def old(host: Host) -> Host:
    """A host with the former tools' folder."""
    shutil.copytree(ROOT, host.root, symlinks=True)
    return host


def test_former_manifests_are_read() -> None:
    """What a board holds could not be made again from what it keeps."""
    build = kept(f"{SERVER}-llama-server")
    assert isinstance(build, Build)
    assert build.flags == ("-DGGML_NATIVE=OFF", "-DX=it's $HOME")
    assert (build.source.commit, build.source.folders, build.jobs) == ("c" * 40, ("src", "common"), None)
    assert [patch.name for patch in build.patches] == ["0001-a.patch"]
    assert build.patches[0].text.startswith("Description: a\n---\n")
    model = kept(f"{MODEL}-model")
    assert isinstance(model, Model)
    assert (model.size, model.adopt) == (4, "/opt/llama-models/m.gguf")
    made = kept(f"{MADE}-model")
    assert isinstance(made, Quantised)
    assert (made.source, made.tool.item) == (model, f"{TOOL}-llama-quantize")
    assert isinstance(kept(f"{POLISH}-polish"), Bundle)


def test_a_former_generation_is_read() -> None:
    """The next activation would restart everything, or leave a unit of the former one running for ever."""
    generation = former.generation(str(ROOT / "generations/second"))
    (unit,) = generation.units
    assert unit.needs == (f"{SERVER}-llama-server", f"{MODEL}-model")
    assert [link.path for link in unit.links] == ["/usr/local/bin/llama-server", "/opt/llama-models/m.gguf"]
    assert unit.gate == Gate("http://127.0.0.1:8080/health", "http://127.0.0.1:8080/v1/chat/completions", 60)
    settings, secret = unit.files
    assert (settings.text, secret.text, secret.mode) == ("port: 80901\n", None, "600")
    assert "canary" not in manifest.text(generation)


def test_nothing_is_made_again(old: Host) -> None:
    """An upgrade of the tools would compile for an hour and a half what the board has."""
    build = kept(f"{SERVER}-llama-server")
    again = replace(build, key=NEW, former_keys=("f" * 32, SERVER), substituters=())
    done = old.run("ensure", stdin=manifest.text(again))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["how"] == "adopted"
    new, before = (old.root / f"store/{key}-llama-server/bin/llama-server" for key in (NEW, SERVER))
    assert new.samefile(before)
    assert not list((old.root / "build").iterdir()) if (old.root / "build").exists() else True
    shutil.rmtree(new.parents[1])
    assert old.json("ensure", NEW)["how"] == "adopted"
    assert old.json("ensure", SERVER)["how"] == "present"
    model = replace(kept(f"{MADE}-model"), key="b" * 32, former_keys=(MADE,))
    assert old.json("ensure-model", stdin=manifest.text(model))["how"] == "adopted"
    shutil.rmtree(old.root / f"store/{POLISH}-polish")
    assert old.json("ensure-bundle", POLISH)["how"] == "restored"


def test_what_is_damaged_is_not_taken_over(old: Host) -> None:
    """A program that a bad sector has changed would get a name that says it is right."""
    (old.root / f"store/{SERVER}-llama-server/bin/llama-server").write_text("#!/bin/sh\nexit 1\n")
    again = replace(kept(f"{SERVER}-llama-server"), key=NEW, former_keys=(SERVER,), substituters=())
    done = old.run("ensure", stdin=manifest.text(again))
    assert done.returncode == 1
    assert "does not run systemd" in done.stderr
    assert not (old.root / f"store/{NEW}-llama-server").exists()


def test_former_generations_are_shown_and_kept(old: Host) -> None:
    """`refresh` would say that nothing is live, and gc delete what is in service."""
    status = old.json("status", "--json")
    assert (status["generation"], status["generations"]) == ("second", ["first", "second"])
    assert status["live"][f"store {SERVER}-llama-server"] == "intact"
    assert "file /etc/pollex/secrets.env" in status["live"]
    deleted = old.json("gc", "--keep", "0")["deleted"]
    assert "generations/first" in deleted
    assert f"store/{TOOL}-llama-quantize" in deleted
    left = sorted(path.name for path in (old.root / "store").iterdir())
    assert left == [f"{SERVER}-llama-server", f"{MODEL}-model"]


@pytest.mark.parametrize(
    ("made", "kept", "places", "aside"),
    [
        ([], "", 7, set()),
        ([], "etc/somebody", 7, {"displaced"}),
        ([{"kind": "link", "place": "/x"}], "", 1, {"found"}),
    ],
)
def test_notes_of_both_are_told_apart(  # noqa: PLR0917 - what stands there, and what becomes of it
    old: Host, monkeypatch: pytest.MonkeyPatch, made: list[dict[str, str]], kept: str, places: int, aside: set[str]
) -> None:
    """What somebody had on the board would be lost after a while with older tools, or ours put back as theirs."""
    folder = old.root / "displaced"
    (folder / "files/etc").mkdir(parents=True)
    if kept:
        (folder / "files" / kept).write_text("theirs")
    (folder / "claims.json").write_text(json.dumps({"made": made, "begun": None}))
    for name, place in {"_FORMER": "found", "_FOLDER": "displaced", "_CLAIMS": "displaced/claims.json"}.items():
        monkeypatch.setattr(displaced, name, str(old.root / place))
    monkeypatch.setattr(displaced, "_KEPT", str(folder / "files"))
    assert len(displaced.Claims.load().made) == places
    assert {path.name.partition(".")[0] for path in old.root.glob("*.*[0-9]")} == aside


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A board that the former tools had set up, with today's tools on it."""
    with Board.temporary("host-upgrade") as board:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for top in ("opt", "etc", "usr"):
                archive.add(FORMER / top, top, filter=owned)
        board.run("tar -x -C /", input=packed.getvalue(), user="root")
        machine = Machine(board, "python3")
        machine.sh("systemctl daemon-reload; systemctl enable -q --now llama-server")
        yield machine


def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """With the owner and the modes that git does not keep."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    if member.name.endswith("secrets.env"):
        member.mode = 0o600
    if member.name == "opt/pollex/found/files/usr/local/bin/llama-server":
        member.mode = 0o750
    return member


UNIT = "llama-server.service"
OWN = "/usr/local/bin/llama-server"


def test_a_board_goes_on_with_todays_tools(machine: Machine) -> None:
    """Whoever upgrades would lose the way back, or what stood on the board before pollex."""
    status = machine.json("status --json")
    assert status["generation"] == "second"
    assert status["live"][f"service {UNIT}"] == "active"
    former_pid = machine.pid(UNIT)
    build = replace(kept(f"{SERVER}-llama-server"), key=NEW, former_keys=(SERVER,), substituters=())
    assert machine.json("ensure", manifest.text(build))["how"] == "adopted"
    second = former.generation(str(ROOT / "generations/second"))
    (unit,) = second.units
    item = f"{NEW}-llama-server"
    third = Generation(
        "third",
        (
            replace(
                unit,
                needs=(item, f"{MODEL}-model"),
                links=(Link(OWN, f"/opt/pollex/store/{item}/bin/llama-server"), unit.links[1]),
                files=(File("/etc/pollex/pollex.yaml", "644", sha256(b"port: 1\n").hexdigest(), "port: 1\n"),),
                serves=Serves(item, f"{MODEL}-model", "m.gguf", "m", ("-t", "1"), adopts=False),
            ),
        ),
    )
    answer = machine.json("activate", manifest.text(third))
    assert (answer["generation"], answer["live"]) == ("third", third.live())
    assert "file /etc/pollex/secrets.env" in answer["changed"]
    assert machine.pid(UNIT) not in {former_pid, "0"}
    assert machine.json("rollback")["live"] == second.live()
    assert machine.sh("stat -c %a /etc/pollex/secrets.env; cat /etc/pollex/secrets.env").split() == [
        "600",
        "POLLEX_API_KEY=canary",
    ]
    assert machine.json("rollback first")["generation"] == "first"
    machine.json("deactivate")
    assert machine.sh(f"stat -c %a {OWN}; {OWN}; systemctl is-active {UNIT}").split() == ["750", "own", "active"]
    assert "100001" in machine.sh(f"cat /etc/systemd/system/{UNIT}")
    assert machine.sh("ls -d /etc/pollex /opt/llama-models", check=False) == ""
