"""What must hold for every patch, whether or not its source can be had; and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from infra import ROOT
from infra.core import patches
from infra.core.patches import PatchError
from infra.core.profiles import PROFILES
from infra.kinds.image import buildx
from sandbox.source import PINS

SERIES = sorted({profile.series for profile in PROFILES.values()} | {buildx.SERIES})
PATCHES = sorted(path.name for path in patches.FOLDER.glob("*.patch"))
STACKS = [file for file in sorted((ROOT / "stacks").glob("Pulumi.*.yaml")) if "pollex:source:" in file.read_text()]
BF16 = "0005-cuda-bfloat16-storage-type.patch"
"""Changes one file and adds another."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of patches/ to damage."""
    return Path(shutil.copytree(patches.FOLDER, tmp_path / "patches"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())


@pytest.mark.parametrize("series", SERIES)
def test_series_are_sound(series: str) -> None:
    """If this fails, a board finds out after the download that a patch is missing, misnamed or malformed."""
    loaded = patches.load(series)
    assert loaded
    assert {tag for patch in loaded for tag in patch.applies_to} <= set(PINS)


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.stem)
def test_stacks_get_patches_for_their_source(file: Path) -> None:
    """If this fails, a committed stack sends its host patches that were made for another source."""
    config = yaml.safe_load(file.read_text())["config"]
    source, build = config["pollex:source"], config.get("pollex:build")  # an image's is fixed
    patches.load(PROFILES[build["profile"]].series if build else buildx.SERIES, tag=source["tag"])
    pin = PINS[source["tag"]]
    assert (source["commit"], source["tree"]) == (pin.commit, pin.tree)


@pytest.mark.parametrize("name", PATCHES)
def test_readme_explains_every_patch(name: str) -> None:
    """If this fails, whoever moves the pin has to guess what a patch is for."""
    assert f"| [{name.removesuffix('.patch')}]({name}) |" in (patches.FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", PATCHES)
def test_a_lost_line_is_noticed(name: str) -> None:
    """If this fails, a patch that an editor or a merge damaged is sent to a host."""
    text = (patches.FOLDER / name).read_text()
    header, separator, diff = text.partition("\n---\n")
    lines = diff.splitlines(keepends=True)
    assert not patches.check(text)
    unnoticed = [
        line
        for index, line in enumerate(lines)
        if not patches.check(header + separator + "".join(lines[:index] + lines[index + 1 :]))
    ]
    assert not unnoticed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n", "\r\n", "carriage returns"),
        ("typedef __nv_bfloat16 nv_bfloat16;\n", "typedef __nv_bfloat16 nv_bfloat16;", "its last line has no end"),
        ("\n---\n", "\n", "has no header"),
        ("Forwarded: not-needed\n", "", "its header has no Forwarded"),
        ("Applies-to: b5050", "Applies-to: ", "its header has no Applies-to"),
        ("Applies-to: b5050", "Applies-to: master", "'master' is not a list of tags"),
        ("--- a/ggml/", "--- ggml/", "'ggml/src/ggml-cuda/CMakeLists.txt' does not start with a/"),
        ("+++ b/ggml/src/", "+++ b/../", "'b/../ggml-cuda/CMakeLists.txt' leaves the source tree"),
        ("+++ b/ggml/src/", "+++ b//ggml/src/", "'b//ggml/src/ggml-cuda/CMakeLists.txt' leaves the source tree"),
        ("+++ b/ggml/src/ggml-cuda/CMakeLists.txt", "+++ b/ggml/CMakeLists.txt", "are different files"),
        ("@@ -51,6 +51,12 @@", "@@ -51,6 +51,11 @@", "line 15 of the diff: the hunk has other lines"),
        ("@@ -0,0 +1,15 @@", "@@ -0,0 +1,16 @@", "its last hunk is cut off"),
    ],
)
def test_malformed_patches_are_refused(folder: Path, old: str, new: str, message: str) -> None:
    """If this fails, a malformed patch stops a build on the board instead of the preview."""
    edit(folder / BF16, old, new)
    with pytest.raises(PatchError) as refused:
        patches.load("cuda10", folder)
    assert f"{BF16}: " in str(refused.value)
    assert message in str(refused.value)


def test_wrong_series_are_refused_with_all_reasons(folder: Path) -> None:
    """If this fails, a forgotten or doubled patch is built into a server, or is mended one error at a time."""
    (folder / "0099-forgotten.patch").write_text("")
    (folder / "cpu.series").write_text(
        "0002-server-stop-on-signal.patch\n"
        "0001-server-end-without-unwinding.patch # the reason why\n"
        "0001-server-end-without-unwinding.patch\n"
        "0003-no-such-file.patch\n"
        "fix.patch\n"
    )
    with pytest.raises(PatchError) as refused:
        patches.load("cpu", folder)
    assert str(refused.value).splitlines()[1:] == [
        "  fix.patch: is not named NNNN-what-it-does.patch",
        "  0001-server-end-without-unwinding.patch: cpu.series lists it twice",
        "  cpu.series: is not in the order of the patches' numbers",
        "  0099-forgotten.patch: is in no series file: list it, or delete it",
        "  0003-no-such-file.patch: cpu.series lists it, but there is no such file",
        "  fix.patch: cpu.series lists it, but there is no such file",
    ]


def test_patches_for_another_source_are_refused() -> None:
    """If this fails, a stack with a mismatched pin and profile fails on the board instead of in the preview."""
    with pytest.raises(PatchError, match=r"0006-\S+: is for b5050, not for b4980"):
        patches.load("cuda10", tag="b4980")


def test_an_unknown_series_names_those_there_are() -> None:
    """If this fails, a misspelt profile ends in an error that does not say what would be right."""
    with pytest.raises(PatchError, match=r"cuda11\.series; the series in that folder: cpu, cuda10, server"):
        patches.load("cuda11")
