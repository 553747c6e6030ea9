"""How many boards: the simulation is a queue, and its time is the service's own."""

from __future__ import annotations

import math

import pytest

from bench import fleet_size


def test_one_board_waits_as_theory_says() -> None:
    """If this fails, somebody buys boards by a simulation that is none of a queue (Pollaczek and Khinchine's mean)."""
    per_hour, seconds, spread = 216.0, 10.0, 0.6
    waited = fleet_size.waits(1, per_hour, seconds, spread, 200_000)
    rate = per_hour / 3600
    mean = rate * seconds**2 * (1 + spread**2) / (2 * (1 - rate * seconds))
    assert sum(waited) / len(waited) == pytest.approx(mean, rel=0.1)


def test_too_few_boards_are_said_to_be_too_few() -> None:
    """If this fails, the queue of a fleet that cannot keep up looks like one of a minute."""
    assert fleet_size.row(2, 1200, 8, 0.6, 1000).p95 == math.inf
    rows = fleet_size.needed(1200, 8, 0.6, 20_000, 15)
    assert [row.p95 <= 15 for row in rows] == [False, True, True]
    assert [row.boards for row in rows] == [rows[0].boards + more for more in range(3)]


def test_the_time_is_the_services_own() -> None:
    """If this fails, the answer rests on a number that has nothing to do with one's boards."""
    told = (
        'pollex_polish_duration_seconds_count{model="a"} 3.0\n'
        'pollex_polish_duration_seconds_sum{model="a"} 6.0\n'
        'pollex_polish_duration_seconds_count{model="b"} 1.0\n'
        'pollex_polish_duration_seconds_sum{model="b"} 4.0\n'
    )
    assert fleet_size.measured(told) == 2.5
    with pytest.raises(ValueError, match="nothing was polished"):
        fleet_size.measured("")
