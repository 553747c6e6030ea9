"""The small pure pieces behind a Command: quoting as Go does, and lines out of a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.plugins.command.remote import LONGEST_LINE, Lines, quoted


def test_quoted_as_go_does() -> None:
    r"""If this fails, error messages quote commands otherwise than the official plugin, which uses Go's `%q`."""
    command = 'a"b\\c\n\t\r\x00\x1b\x7f\a\b\f\v é 漢 🎉\u2028\u00a0\U000e0001'
    assert quoted(command) == r'"a\"b\\c\n\t\r\x00\x1b\x7f\a\b\f\v é 漢 🎉\u2028\u00a0\U000e0001"'


@given(st.lists(st.binary()), st.integers(1, 5))
def test_lines_lose_nothing(chunks: list[bytes], size: int) -> None:
    """If this fails, progress that is shown depends on how the network cuts it, or part of it is lost."""

    def shown(pieces: list[bytes]) -> list[str]:
        lines = Lines()
        return [line for piece in pieces for line in lines.feed(piece)] + list(lines.end())

    whole = b"".join(chunks)
    cut = [whole[start : start + size] for start in range(0, len(whole), size)]
    expected = [line.removesuffix(b"\r").decode(errors="replace") for line in whole.split(b"\n")]
    assert shown(cut) == (expected[:-1] if whole.endswith(b"\n") or not whole else expected)


def test_long_lines_come_in_pieces() -> None:
    """If this fails, a line without an end fills the memory, or is not shown."""
    lines = Lines()
    pieces = [*lines.feed(b"x" * (2 * LONGEST_LINE + 1)), *lines.feed(b"y\nz"), *lines.end()]
    assert pieces == ["x" * LONGEST_LINE, "x" * LONGEST_LINE, "xy", "z"]
