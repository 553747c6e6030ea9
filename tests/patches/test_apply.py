"""Every series on the real source, with the very command that the host uses."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.core import patches
from infra.core.patches import Patch
from sandbox.machine import SandboxError
from sandbox.source import CARRIED, CURRENT, MIRROR, NANO, PINS, Tree, apply, obtain

SERIES = [
    (path.stem, tag)
    for path in sorted(patches.FOLDER.glob("*.series"))
    for tag in PINS
    if all(tag in patch.applies_to for patch in patches.load(path.stem))
]
"""Each series with each source that it says it is for."""


def files(patch: Patch) -> set[str]:
    """What a patch changes or adds."""
    heads = [line.split("/", 1)[1] for line in patch.text.splitlines() if line.startswith("+++ b/")]
    assert heads
    return set(heads)


@pytest.mark.parametrize(("series", "tag"), SERIES)
def test_series_apply_to_the_pinned_source(
    series: str, tag: str, source: Callable[[str], Tree], tmp_path: Path
) -> None:
    """If this fails, every build with this series ends with exit status 4, an hour from here."""
    tree = source(tag)
    loaded = patches.load(series, tag=tag)
    tree.unpack(tmp_path, *filter(tree.holds, sorted(set().union(*map(files, loaded)))))
    for patch in loaded:
        before = {name: read(tmp_path / name) for name in files(patch)}
        apply(tmp_path, [patch.name])
        assert all(read(tmp_path / name) not in {None, before[name]} for name in files(patch))


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def test_a_mirror_of_the_nanos_source_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, who names a repository for the commit that no package has must put the others into it as well."""
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "mirror.git"], check=True)
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror.git"))
    for pin in (CARRIED, CURRENT):
        (tmp_path / pin.tag).mkdir()
        assert obtain(pin, tmp_path / pin.tag).holds("CMakeLists.txt")
    with pytest.raises(SandboxError, match=f"does not give {NANO.tag}"):
        obtain(NANO, tmp_path)


def test_all_pins_are_covered() -> None:
    """If this fails, the tests above pass because there is nothing to apply."""
    assert {"cuda10", "cpu", "server"} == {series for series, _ in SERIES}
    assert set(PINS) == {tag for _, tag in SERIES}
