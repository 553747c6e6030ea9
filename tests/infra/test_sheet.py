"""Sheets carry any text to the host unchanged."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core import sheet

names = st.from_regex(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,12}(/[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,12})?", fullmatch=True)
lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0")).filter(
    lambda line: not line.startswith("=== ")
)
contents = st.lists(lines).map(lambda parts: "".join(f"{part}\n" for part in parts))


@given(st.dictionaries(names, contents, max_size=5))
def test_round_trip(sections: dict[str, str]) -> None:
    """If this fails, a patch or a unit would arrive on the board changed."""
    assert sheet.parse(sheet.render(sections)) == sections


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "two words",
        "it's",
        'say "hi"',
        "$HOME `id` $(id)",
        "100 %",
        "back\\slash",
        "Grüße\nzweite Zeile",
        "*",
    ],
)
def test_env_is_read_back_by_a_shell(value: str) -> None:
    """If this fails, a path with an odd character would run as a command on the board."""
    script = sheet.env({"before": "1", "value": value, "after": 2}) + 'printf %s "$value"'
    shown = subprocess.run(["sh", "-eu"], input=script.encode(), capture_output=True, check=True)
    assert shown.stdout.decode() == value


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ({"../etc/passwd": ""}, "not a section name"),
        ({"/etc/passwd": ""}, "not a section name"),
        ({"a b": ""}, "not a section name"),
        ({"a": "no end"}, "the last line has no end"),
        ({"a": "=== b\n"}, "starts with"),
        ({"a": "x\n=== b\n"}, "starts with"),
        ({"a": "\0\n"}, "NUL"),
    ],
)
def test_what_cannot_be_carried(sections: dict[str, str], complaint: str) -> None:
    """If this fails, a text could write outside its folder on the board or cut another in two."""
    with pytest.raises(sheet.SheetError, match=complaint):
        sheet.render(sections)


@pytest.mark.parametrize("text", ["", "hello\n", "pollex-sheet 2\n", "pollex-sheet 1\nstray\n=== a\n"])
def test_what_is_not_a_sheet(text: str) -> None:
    """If this fails, half a transfer would be taken for a whole one."""
    with pytest.raises(sheet.SheetError, match="not a sheet"):
        sheet.parse(text)


def test_list_items_are_lines() -> None:
    """If this fails, one flag with a line break would become two flags."""
    with pytest.raises(sheet.SheetError, match="must be one line"):
        sheet.env({"flags": ["-DA=1\n-DB=2"]})
