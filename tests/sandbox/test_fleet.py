"""What `make sandbox-fleet` takes for a roll that nobody noticed."""

from __future__ import annotations

import pytest

from sandbox import fleet
from sandbox.crowd import Asked
from sandbox.fleet import Roll

SAID = """\
 ~  pollex:index:Generation fleet-2-generation updating (0s) [diff: ~live,manifest]
 ~  pollex:index:Generation fleet-2-generation updating (1s) [diff: ~live,manifest]; restarting llama-server.service
 ~  pollex:index:Generation fleet-2-generation updating (4s) generation 3ba038ad is live: 2 changed
 ~  pollex:index:Generation fleet-1-generation updating (5s) restarting llama-server.service
 ~  pollex:index:Generation fleet-2-generation updated (5s) generation 3ba038ad is live: 2 changed
 ~  pollex:index:Generation gateway-generation updating (5s) restarting pollex.service
 ~  pollex:index:Generation fleet-1-generation updating (9s) generation 3ba038ad is live: 2 changed
"""
STEPS = (("fleet-2", "restarting"), ("fleet-2", "live"), ("fleet-1", "restarting"), ("fleet-1", "live"))


def test_each_step_is_told_once() -> None:
    """If this fails, a line that the engine repeats is taken for a board that was changed beside another."""
    assert tuple(fleet.steps(SAID.splitlines())) == STEPS


def test_what_was_said_is_kept() -> None:
    """If this fails, a roll that failed does not say why."""
    said = list[str]()
    assert tuple(fleet.steps(fleet.kept(SAID.splitlines(), said))) == STEPS
    assert said == SAID.splitlines()


@pytest.mark.parametrize(
    ("order", "expected"),
    [((0, 1, 2, 3), True), ((0, 2, 1, 3), False), ((0, 2, 3, 1), False), ((0, 1, 2), False), ((), True)],
)
def test_boards_that_were_away_together_are_noticed(order: tuple[int, ...], expected: bool) -> None:  # noqa: FBT001 - a table
    """If this fails, a roll that leaves one board of three is said to have gone well."""
    assert fleet.apart([STEPS[place] for place in order]) is expected


def test_a_failed_request_is_noticed() -> None:
    """If this fails, a roll that somebody noticed is said to have gone well."""
    fine = Asked(began=1, ended=2, streamed=True, boards=("fleet-1",), wrong="")
    lost = Asked(began=2, ended=3, streamed=False, boards=(), wrong="502 no board answers")
    assert Roll(steps=STEPS, asked=[fine], status=0, said="").wrong == ""
    assert "1 of 2 requests failed, such as 502" in Roll(steps=STEPS, asked=[fine, lost], status=0, said="").wrong
    assert "pulumi up failed" in Roll(steps=STEPS, asked=[fine], status=255, said="").wrong
