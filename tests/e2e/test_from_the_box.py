"""`make board` and `pulumi up` on the first board of all, which nobody has built for: it compiles for itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.__main__ import SENTENCE, polish
from tests.board.box import at_a_bare_board

pytestmark = pytest.mark.timeout(1800)


def test_a_bare_board_compiles_for_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails, the first board of its kind needs a hand: for CMake, a compiler, or a clock that is right."""
    with at_a_bare_board("e2e-first", tmp_path, "nowhere") as operator:
        lacks = operator.board.run("command -v cmake ninja g++ curl", user="root", check=False).stdout
        assert lacks == ""
        assert operator.make_board() == 0, capfd.readouterr().err
        operator.pulumi.up()
        (ensured,) = [one for one in operator.pulumi.resources() if one["urn"].endswith("::llama-server")]
        # the shell's greeting has no line end
        assert json.loads(ensured["outputs"]["stdout"].removeprefix("welcome"))["how"] == "built"
        declared = operator.pulumi.outputs()
        assert "library" in polish(declared["page"], declared["model"], SENTENCE)
