"""bench-busy: where a server is put, and what its figures say."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from math import log
from pathlib import Path
from statistics import mean

import httpx
import pytest

from bench import busy
from bench.busy import DEFAULT, SETTINGS, TWINS, UPSTREAM, Column, Columns, Place, Server

STARTS = 8


@pytest.mark.parametrize(
    ("place", "threads"),
    [(Place(2), 2), (Place(1, 8), 1), (Place(2, quota=0.5), 1), (Place(2, quota=1), 1), (Place(2, quota=1.5), 1)],
)
def test_threads_are_those_of_the_image(place: Place, threads: int) -> None:
    """If this fails, the grid measures servers that the image never starts."""
    assert place.threads == threads


def test_a_setting_that_is_the_default_there_is_not_compared_with_it() -> None:
    """If this fails, "1 thread" is one more chance for the default to seem slow where it has one thread itself."""
    assert set(busy.served(1)) == {*TWINS, *SETTINGS} - {DEFAULT, "1 thread"}
    assert set(busy.served(2)) == {*TWINS, *SETTINGS} - {DEFAULT}


def test_what_is_known_is_found() -> None:
    """If this fails, a default is kept that is fast alone and slow beside others, or a good one is not."""
    column: Column = {DEFAULT: [95.0, 190.0, 95.0], UPSTREAM: [5.0, 10.0, 5.0], "spin 1000": [100.0, 200.0, 100.0]}
    found = busy.lag(column, DEFAULT)
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05))
    assert found.naive == pytest.approx(0.05)
    assert found.choices == ("spin 1000",) * 3
    assert busy.lag(column, UPSTREAM).value == pytest.approx(0.95)
    # the best is compared with the best of the others, and is ahead
    assert busy.lag(column, "spin 1000").value == pytest.approx(1 - 100 / 95)


def test_choice_and_figure_share_no_start() -> None:
    """If this fails, one lucky start makes a setting the best and is then what the default is compared with."""
    column: Column = {DEFAULT: [100.0] * 3, "lucky": [400.0, 90.0, 90.0], "steady": [95.0, 100.0, 95.0]}
    found = busy.lag(column, DEFAULT)
    assert found.choices == ("steady", "lucky", "lucky")
    assert (found.low, found.high) == pytest.approx((1 - 100 / 90, 1 - 100 / 95))


def noisy(seed: int, noise: float, true: Mapping[str, float]) -> Column:
    """Rates of eight starts with noise; the default's two servers count together."""
    chance = random.Random(seed)
    luck = {name: [chance.gauss(1, noise) for _ in range(STARTS)] for name in (*true, "again")}
    luck[DEFAULT] = [(one + other) / 2 for one, other in zip(luck[DEFAULT], luck["again"], strict=True)]
    return {name: [rate * one for one in luck[name]] for name, rate in true.items()}


@pytest.mark.parametrize("lag", [0.0, 0.03])
def test_luck_puts_nobody_behind(lag: float) -> None:
    """If this fails, the luckiest of equals is taken for better than the default, which is then 5 % behind itself."""
    true = {DEFAULT: 1 - lag, **dict.fromkeys("abcde", 1.0)}
    found = [busy.lag(noisy(seed, 0.1, true), DEFAULT) for seed in range(600)]
    # the mean of 600 has a standard error of 0.0025
    assert mean(each.value for each in found) == pytest.approx(lag, abs=0.01)
    assert mean(each.naive for each in found) > lag + 0.04
    assert mean(each.low <= lag <= each.high for each in found) == pytest.approx(0.85, abs=0.05)


@pytest.mark.parametrize(("starts", "cut"), [(2, 0), (5, 0), (7, 0), (8, 1), (10, 1), (11, 2)])
def test_the_interval_holds_what_it_says(starts: int, cut: int) -> None:
    """If this fails, a reader takes an interval for surer than it is."""
    assert busy.outside(starts) == cut
    chance = random.Random(starts)
    draws = [sorted(chance.expovariate(1) for _ in range(starts)) for _ in range(4000)]
    held = mean(draw[cut] <= log(2) <= draw[-1 - cut] for draw in draws)
    assert held == pytest.approx(busy.coverage(starts, cut), abs=0.025)


def test_the_default_is_compared_with_itself() -> None:
    """If this fails, chance is taken for a difference, or half of the default stands in for the best of the others."""
    column = {DEFAULT: [38.0] * 3, TWINS[0]: [36.0] * 3, TWINS[1]: [40.0] * 3, UPSTREAM: [19.0] * 3}
    assert busy.apart({"tokens": {"alone": column}}) == pytest.approx([0.1])
    assert busy.lag(column, DEFAULT).value == pytest.approx(-1.0)


def measured(behind: float) -> Columns:
    """Eighteen columns; in the last one the default is so far behind."""
    rates = {name: [10.0] * STARTS for name in (*TWINS, *SETTINGS)}
    columns: Columns = {load: {str(place): dict(rates) for place in busy.PLACES} for load in busy.LOADS}
    columns["tokens"][str(busy.PLACES[-1])]["spin 1000"] = [10 / (1 - behind)] * STARTS
    return columns


@pytest.mark.parametrize(("behind", "near"), [(0.049, 18), (0.051, 17)])
def test_the_verdict_counts_columns(behind: float, near: int) -> None:
    """If this fails, the last line says of the default what its columns do not."""
    said, figure = busy.report(measured(behind)), f"{100 * behind:.1f}"
    assert said["verdict"].startswith(
        f"within 5 % of the best of the others in {near} of 18 columns, and with the whole"
    )
    assert said["verdict"].endswith(
        f"{figure} % behind ({figure} to {figure}, nominally 93 %): tokens, --cpus 1.5, where spin 1000 is best"
    )
    *_, last = busy.table(said)
    assert last == f"the default: {said['verdict']}"


def test_a_reader_can_check_the_record() -> None:
    """If this fails, a record's lags cannot be computed again from what it holds, or image.md cannot tell of it."""
    said = json.loads(json.dumps(busy.report(measured(0.2))))
    column = said["tokens_a_second_by_start"]["--cpus 1.5"]
    assert {len(rates) for rates in column.values()} == {STARTS}
    assert said[busy.BEHIND]["tokens, --cpus 1.5"][DEFAULT] == busy.lag(column, DEFAULT).percent()
    made = {"date": "2026-01-02", "versions": ["llama.cpp b1"], "starts": STARTS, "runs": 3 * STARTS}
    told = busy.paragraph({**said, **made})
    assert "| tokens a second, 2026-01-02, llama.cpp b1 | alone | beside 2 | beside 8 |" in told
    assert "| default: with 0014, OMP_WAIT_POLICY=passive | 10.0 | 10.0 | 10.0 |" in told
    assert "8 starts with 3 turns each" in told
    assert "spin 1000 0 %" in told


def test_a_server_goes_to_its_cores_with_all_threads() -> None:
    """If this fails, a server that is said to have one core computes on two."""
    twice = "import threading, sys; threading.Thread(target=sys.stdin.read).start(); print(flush=True)"
    with (
        subprocess.Popen([sys.executable, "-c", twice], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        httpx.Client(trust_env=False) as client,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        threads = [int(each.name) for each in Path(f"/proc/{process.pid}/task").iterdir()]
        Server(process.pid, client).go(Place(1), None)
        assert [os.sched_getaffinity(thread) for thread in threads] == [{0}] * 2
        process.stdin.close()
