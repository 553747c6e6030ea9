"""A sheet arrives on the host as it was written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra.core import sheet
from tests.host.conftest import KEY, TOOLS, Host

# What may stand in a file of lines: anything but NUL and what is not UTF-8.
LINE = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\n")).filter(
    lambda line: not line.startswith("=== ")
)
CONTENT = st.lists(LINE, max_size=5).map(lambda lines: "".join(f"{line}\n" for line in lines))
NAMES = st.lists(
    st.text("abcXYZ019._@-", min_size=1, max_size=8).filter(lambda name: name not in {".", ".."}),
    unique=True,
    max_size=4,
)
VALUE = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=40)


def unpack(text: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """The part of the tools that writes a sheet's sections."""
    return subprocess.run(
        ["awk", "-f", str(TOOLS / "sheet.awk")],
        cwd=folder,
        input=text,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )


@settings(max_examples=60, deadline=None)
@given(names=NAMES, data=st.data())
@example(names=["patches"], data=None)
def test_sections_become_files(names: list[str], data: st.DataObject | None) -> None:
    """A patch or unit would be deployed that is not the one that was reviewed."""
    sections = {f"s/{name}": data.draw(CONTENT) if data else "" for name in names}
    with TemporaryDirectory() as folder:
        done = unpack(sheet.render(sections).encode(), Path(folder))
        assert done.returncode == 0, done.stderr
        written = {
            path.relative_to(folder).as_posix(): path.read_bytes().decode()
            for path in Path(folder).rglob("*")
            if path.is_file()
        }
    assert written == sections


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUE, items=st.lists(VALUE.filter(lambda item: "\n" not in item), max_size=3))
@example(value="it's $HOME `id` %s \\ \" ü", items=["-DX=a b", "$(id)", "'"])
def test_values_survive_the_shell(value: str, items: list[str]) -> None:
    """A flag with a quote or a dollar in it would be another flag on the host, or a command."""
    text = sheet.env({"value": value, "items": items})
    done = subprocess.run(
        ["dash", "-c", '. "$1"; printf "%s\\0%s" "$value" "$items"', "sh", "/dev/stdin"],
        input=text.encode(),
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split("\0") == [value, "\n".join(items)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("pollex-sheet 2\n", "the first line is not 'pollex-sheet 1'"),
        ("pollex-sheet 1\nstray\n=== env\n", "text before the first section"),
        ("pollex-sheet 1\n=== ../env\nkind=build\n", "'../env' is not a section name"),
        ("pollex-sheet 1\n=== a/../../env\n", "is not a section name"),
        ("pollex-sheet 1\n=== /etc/passwd\n", "is not a section name"),
        ("pollex-sheet 1\n=== a b\n", "is not a section name"),
        ("pollex-sheet 1\n=== a;id\n", "is not a section name"),
        ("pollex-sheet 1\n=== a/b\n=== a\n", "another section is a folder of that name"),
        ("pollex-sheet 1\n=== other\n", "no section 'env'"),
        ("pollex-sheet 1\n=== env\nkind='model'\n", "'ensure' takes kind 'build'"),
        (f"pollex-sheet 1\n=== env\nkind=build\nkey=../../{KEY[:26]}\nname=x\n", "not 32 hex digits"),
        (f"pollex-sheet 1\n=== env\nkind=build\nkey={KEY}\nname=../x\n", "not a plain file name"),
    ],
)
def test_a_bad_sheet_is_refused(host: Host, text: str, reason: str) -> None:
    """A cut or forged sheet would write outside its folder, or start a build of nothing."""
    done = host.run("ensure", stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    kept = host.root / "drv"
    assert not kept.exists() or list(kept.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(
    pairs=st.dictionaries(
        VALUE.map(lambda text: text.replace("\t", " ").replace("\n", " ")),
        VALUE.map(lambda text: text.replace("\n", " ")),
    )
)
def test_json_says_what_was_said(pairs: dict[str, str]) -> None:
    """A path with a quote in it would make the whole answer unreadable to the engine."""
    lines = "".join(f"in\tlive\t{key}\t{value}\n" for key, value in pairs.items())
    done = subprocess.run(
        ["awk", "-F", "\t", "-f", str(TOOLS / "json.awk")],
        input=("object\tlive\narray\tempty\nnumber\tn\t42\n" + lines).encode(),
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"live": pairs, "empty": [], "n": 42}
