"""The proof of a build against a real llama-server: right ones pass, wrong answers and wrong programs do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import proof
from infra.hosttools.pollex_host.manifest import Proof
from infra.hosttools.pollex_host.proof import computes
from infra.hosttools.pollex_host.trial import TrialError

KNOWN = proof.texts()


def test_a_right_build_passes(binary: Path) -> None:
    """If this fails, no build can be installed; prints how far it is from the exact answers."""
    told = computes(str(binary), Proof(**KNOWN))
    print(told)
    assert 0 < float(told.split()[2].rstrip(",")) < proof.TOLERANCE


def other_answers(column: int, off: float) -> str:
    """The right answers with one log-probability changed."""
    head, first, *rest = KNOWN["logprobs"].splitlines()
    values = first.split()
    values[column] = f"{float(values[column]) + off:.4f}" if column else str(int(values[column]) + round(off))
    return "\n".join([head, " ".join(values), *rest]) + "\n"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (other_answers(5, 2 * proof.TOLERANCE), "of token 4 at step 1"),
        (other_answers(0, 1.0), "token 1 is"),
    ],
    ids=["another log-probability", "another token"],
)
def test_a_wrong_answer_is_seen(binary: Path, answers: str, says: str) -> None:
    """If this fails, a build that computes wrongly is installed."""
    with pytest.raises(TrialError, match=says):
        computes(str(binary), Proof(**{**KNOWN, "logprobs": answers}))


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere"])
def test_a_program_that_does_not_answer_is_refused(program: str) -> None:
    """If this fails, a build that cannot load a model is installed."""
    with pytest.raises(TrialError, match="ended while it loaded"):
        computes(program, Proof(**KNOWN))
