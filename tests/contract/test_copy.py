"""`command:remote:CopyToRemote` through the real engine, against a real sshd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pulumi_command import remote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.plugins.command.testing import Sshd, Workshop


def copies(sshd: Sshd, **pairs: tuple[Any, Any]) -> Callable[[], None]:
    """A program with one CopyToRemote for each (source, remote path)."""

    def program() -> None:
        for name, (source, path) in pairs.items():
            remote.CopyToRemote(name, source=source, remote_path=str(path), connection=sshd.connection())

    return program


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its text."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a program, a folder and a link."""
    folder = tmp_path / "src"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/leaf").write_text("leaf")
    (folder / "run.sh").write_text("echo hi\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("run.sh")
    return folder


WHOLE = {"deep/er/leaf": "leaf", "link": "echo hi\n", "run.sh": "echo hi\n"}


def test_where_things_land(workshop: Workshop, sshd: Sshd, source: Path, tmp_path: Path) -> None:
    """If this fails, the host's tools lie in another folder than the commands expect."""
    there = tmp_path / "there"
    for name in ("folder-in", "folder-over/src/deep", "file-in"):
        (there / name).mkdir(parents=True)
    (there / "folder-over/src/run.sh").write_text("old and longer than the new one")
    (there / "folder-over/src/mine").write_text("stays")
    (there / "taken").write_text("old and longer than the new one")
    (there / "note").write_text("old and longer than the new one")
    file, folder, inside = source / "run.sh", pulumi.FileArchive(str(source)), pulumi.FileArchive(f"{source}/")
    result = workshop.up(
        copies(
            sshd,
            a=(folder, there / "folder-in"),
            b=(folder, there / "new/folder"),
            c=(folder, there / "folder-over"),
            d=(inside, there / "new/inside"),
            e=(inside, there / "folder-in"),
            f=(pulumi.FileAsset(str(file)), there / "file-in"),
            g=(pulumi.FileAsset(str(file)), there / "new/parents/file"),
            h=(pulumi.FileAsset(str(file)), there / "taken"),
            i=(pulumi.StringAsset("Grüße\n"), there / "new/text"),
            j=(pulumi.StringAsset("new"), there / "note"),
            k=(pulumi.StringAsset("at home"), ".tools/relative"),
            m=(pulumi.FileArchive(str(source)), ".tools/folder"),
        )
    )
    assert result.failure is None
    assert tree(there / "folder-in") == WHOLE | {f"src/{path}": text for path, text in WHOLE.items()}
    assert tree(there / "new/folder/src") == WHOLE
    assert tree(there / "folder-over/src") == WHOLE | {"mine": "stays"}
    assert tree(there / "new/inside") == WHOLE
    assert tree(there / "file-in") == {"run.sh": "echo hi\n"}
    assert (there / "new/parents/file").read_text() == (there / "taken").read_text() == "echo hi\n"
    assert ((there / "new/text").read_text(), (there / "note").read_text()) == ("Grüße\n", "new")
    assert tree(sshd.home / ".tools") == {"relative": "at home"} | {f"folder/src/{k}": v for k, v in WHOLE.items()}
    assert (there / "new/folder/src/run.sh").stat().st_mode & 0o111 == 0, "permissions are not carried over"
    assert not (there / "new/folder/src/link").is_symlink(), "a link is followed"


def test_what_cannot_be_copied(workshop: Workshop, sshd: Sshd, source: Path, tmp_path: Path) -> None:
    """If this fails, a copy that went wrong counts as made."""
    there = tmp_path / "there"
    (there / "folder").mkdir(parents=True)
    (there / "file").write_text("a file")
    (tmp_path / "loop/sub").mkdir(parents=True)
    (tmp_path / "loop/link").symlink_to("sub")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/link").symlink_to("nowhere")
    cases = {
        "text": (pulumi.StringAsset("x"), there / "folder", "when using a text asset, remotePath must be a file path"),
        "folder": (pulumi.FileArchive(str(source)), there / "file", "failed to create remote directory"),
        "inside": (pulumi.FileArchive(f"{source}/"), there / "file", "exists but is not a directory"),
        "parents": (pulumi.StringAsset("x"), there / "file/below/x", "failed to create parent directories"),
    }
    result = workshop.up(copies(sshd, **{name: case[:2] for name, case in cases.items()}))
    for name, (_, _, message) in cases.items():
        assert message in " ".join(text for *_, text in result.messages), name
    assert workshop.state() == {}

    links = {"loop": pulumi.FileArchive(str(tmp_path / "loop"))}
    result = workshop.up(copies(sshd, **{name: (asset, there / name) for name, asset in links.items()}))
    assert result.failure is not None, "a link to a folder"

    made = workshop.up(copies(sshd, made=(pulumi.AssetArchive({"a": pulumi.StringAsset("x")}), there / "x")))
    assert "archive must be a path to a file or directory" in str(made.failure)


def test_what_is_copied_again(workshop: Workshop, sshd: Sshd, source: Path, tmp_path: Path) -> None:
    """If this fails, the host keeps old tools, or a reason to trigger the copy by the host's identity is gone."""
    there = tmp_path / "there"

    def up(to: str = "one", limit: int = 0, triggers: list[str] | None = None) -> list[str]:
        def program() -> None:
            remote.CopyToRemote(
                "it",
                source=pulumi.FileArchive(f"{source}/"),
                remote_path=str(there / to),
                connection=sshd.connection(dial_error_limit=limit),
                triggers=triggers,
            )

        result = workshop.up(program)
        assert result.failure is None
        return [step for step, _ in result.steps]

    assert up() == ["create"]
    first = workshop.state()["it"]
    assert re.fullmatch(r"[0-9a-f]{8}", first["id"])
    assert first["outputs"] == first["inputs"]
    assert up() == []

    (source / "run.sh").write_text("echo changed\n")
    (source / "deep/er/leaf").unlink()
    assert up() == ["update"]
    assert workshop.state()["it"]["id"] == first["id"]
    assert tree(there / "one") == WHOLE | {"run.sh": "echo changed\n", "link": "echo changed\n"}, "nothing is deleted"

    (there / "one/run.sh").unlink()
    assert up(limit=1) == ["update"]
    assert not (there / "one/run.sh").exists(), "a changed connection alone copies nothing"

    assert up(limit=1, triggers=["host"]) == ["create-replacement", "replace", "delete-replaced"]
    assert (there / "one/run.sh").exists()

    assert up(to="two", limit=1, triggers=["host"]) == ["update"]
    assert workshop.destroy().failure is None
    assert tree(there / "one").keys() == WHOLE.keys(), "the copy outlives its resource"
    assert tree(there / "two").keys() == WHOLE.keys() - {"deep/er/leaf"}
