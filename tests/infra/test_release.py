"""A release is named once; what would carry another version or no words for its users is not published."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from infra import ROOT
from pollex import __version__

READ = (".github/release-notes.sh", "service/pollex/__init__.py", "stacks/Pulumi.image.yaml", "CHANGELOG.md")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the release reads of this checkout, with a changelog that is ready for it."""
    for name in READ:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    log = tmp_path / "CHANGELOG.md"
    log.write_text(
        log.read_text().replace("## Unreleased\n", f"## {__version__}\n") + "\n## 0.0.1\n\n- of a version before\n"
    )
    return tmp_path


def notes(checkout: Path, tag: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", ".github/release-notes.sh", tag]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def test_a_release_says_what_changed(checkout: Path) -> None:
    """Otherwise users would be told of another version's changes, or of none."""
    said = notes(checkout, f"v{__version__}")
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip().startswith("- ")
    assert "of a version before" not in said.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "blamed"),
    [
        ("service/pollex/__init__.py", __version__, "9.9.9", "service/pollex/__init__.py"),
        ("stacks/Pulumi.image.yaml", f"version: {__version__}", "version: 9.9.9", "pollex:image.version"),
        ("CHANGELOG.md", f"## {__version__}\n", "## Unreleased\n", "CHANGELOG.md"),
    ],
)
def test_what_disagrees_is_not_released(checkout: Path, file: str, old: str, new: str, blamed: str) -> None:
    """Otherwise a tag would publish an image or a package under another version."""
    path = checkout / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    said = notes(checkout, f"v{__version__}")
    assert said.returncode == 1
    assert blamed in said.stderr
    assert said.stdout == ""
