"""What is used of a Jetson's own programs, and what they lack."""

from __future__ import annotations

import pytest

from infra import ROOT
from infra.jetpack import table, used
from infra.jetpack.__main__ import page, units


def test_nothing_is_used_that_jetpack_lacks() -> None:
    """If this fails, an option, a directive or a setting reaches a Nano whose programs do not know it."""
    assert table.unanswered(used.everything(units())) == []


def test_the_page_is_the_table() -> None:
    """If this fails, the documents say of a Nano what is no longer so: make docs."""
    assert (ROOT / "docs/reference/jetpack.md").read_text() == page(used.everything(units()))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (used.of_unit("[Service]\nProtectClock=yes\n"), "systemd: ProtectClock= stands in no line"),
        (used.of_unit("[Service]\nSystemCallFilter=~@pkey\n"), "systemd: @pkey stands in no line"),
        (used.of_script("sudo -n systemctl --wait start x\n"), "systemd: systemctl--wait stands in no line"),
        (used.of_script("echo x | tar --zstd -x -f y\n"), "tar: --zstd stands in no line"),
        (used.of_script("awk '{ print strftime(1) }'\n"), "mawk: strftime() stands in no line"),
        (used.of_python("x.py", "run('curl', '--retry-all-errors')"), "curl: --retry-all-errors stands in no line"),
        (used.of_python("source.py", "self._git('sparse-checkout', 'set')"), "git: sparse-checkout stands in no line"),
    ],
)
def test_what_is_new_is_noticed(found: set[used.Feature], said: str) -> None:
    """If this fails, the table is complete because nobody looks."""
    assert any(line.startswith(said) for line in table.unanswered(found))


def test_what_is_too_new_needs_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, what a Nano lacks is known, and goes there all the same."""
    git = table.PROGRAMS["git"]
    silent = table.Program(jetpack=git.jetpack, source=git.source, since=git.since)
    monkeypatch.setattr(table, "PROGRAMS", {**table.PROGRAMS, "git": silent})
    assert "git: protocol.version=2 came with 2.18, and JetPack has 2.17" in table.unanswered(
        used.of_python("source.py", "self._git('config', 'protocol.version', '2')")
    )


def test_a_command_of_an_unknown_program_is_noticed() -> None:
    """If this fails, a script calls a program that no Nano has."""
    with pytest.raises(LookupError, match="lsblk"):
        used.of_script("lsblk -J\n")
    with pytest.raises(LookupError, match="jq"):
        used.of_python("x.py", "run.output('jq', '.')")
