"""The proof of a build against a real llama-server: right ones pass, wrong answers and wrong programs do not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra import proof
from tests.host.conftest import TOOLS


def prove(program: Path, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """`computes PROGRAM` with the proof's sections, some of them changed."""
    for name, text in (proof.sections() | {f"proof/{name}": text for name, text in changes.items()}).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    script = 'here=$1 drv=$2; . "$here/lib.sh"; . "$here/proof.sh"; computes "$3"'
    command = ["dash", "-euc", script, "dash", str(TOOLS), str(folder), str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_right_build_passes(binary: Path, tmp_path: Path) -> None:
    """If this fails, no build can be installed; prints how far it is from the exact answers."""
    done = prove(binary, tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 0 < float(done.stdout.split()[2].rstrip(",")) < proof.TOLERANCE


def other_answers(column: int, off: float) -> str:
    """The right answers with one log-probability changed."""
    head, first, *rest = proof.sections()["proof/logprobs"].splitlines()
    values = first.split()
    values[column] = f"{float(values[column]) + off:.4f}"
    return "\n".join([head, " ".join(values), *rest]) + "\n"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (other_answers(5, 2 * proof.TOLERANCE), "of token 4 at step 1"),
        (other_answers(0, 1.0), "token 1 is"),
    ],
    ids=["another log-probability", "another token"],
)
def test_a_wrong_answer_is_seen(binary: Path, tmp_path: Path, answers: str, says: str) -> None:
    """If this fails, a build that computes wrongly is installed."""
    done = prove(binary, tmp_path, logprobs=answers)
    assert done.returncode == 1
    assert says in done.stdout


def test_a_program_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    """If this fails, a build that cannot load a model is installed."""
    done = prove(Path("/bin/false"), tmp_path)
    assert done.returncode == 1
    assert "ended while it loaded" in done.stdout
