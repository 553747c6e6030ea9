"""The table of faults: what was done to what, what has to hold afterwards, and whether it held when it was last run.

    python -m pytest -p tests.faults -m fault tests

A test that is a row of it says so where it stands: `@pytest.mark.fault(what, state before, fault, what must hold)`. The
run writes the rows that it ran into docs/reference/faults.md; those of former runs stay, with their date.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "docs/reference/faults.md"
LONG = os.environ.get("FAULTS") == "long"
"""Whether tests are run at length, as `make faults` does, and not as a part of everything else."""

_INTRO = """# Faults

Written by `make faults`: each row is a test that does what it says to the real programs, and the outcome is that of the
run on its day. A row that was not run is not here. `make test` runs the same tests, those with many requests or made-up
bytes for a shorter time, which is called briefly here.

Nothing lost means: the former generation answers, the store holds nothing unverified or half-written, `pulumi up` again
converges without anybody's hand, and no request is lost that could be answered.
"""
_HEADINGS = "| before | fault | what holds | outcome | on | test |\n|---|---|---|---|---|---|"
_ROW = re.compile(r"\| .* \| `(tests/[^`]+)` \|")

_told: dict[str, tuple[str, ...]] = {}
"""Of each test that is a row, what it says."""
_outcomes: dict[str, Counter[str]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the reports, which may come from other processes, say what row they are of."""
    for item in items:
        if (mark := item.get_closest_marker("fault")) is not None:
            item.user_properties.append(("fault", mark.args))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how a case ended; one that could not be set up did not hold."""
    told = dict(report.user_properties).get("fault")
    if not isinstance(told, tuple | list) or (report.when != "call" and report.passed):
        return
    test = report.nodeid.partition("[")[0]
    _told[test] = tuple(map(str, told))
    _outcomes.setdefault(test, Counter())["held" if report.passed else report.outcome] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, in the process that hears of all tests."""
    if not hasattr(session.config, "workerinput") and _outcomes:
        TABLE.write_text(table(TABLE.read_text() if TABLE.exists() else ""), encoding="utf-8")


def table(former: str) -> str:
    """The page: what was run now, and what former runs wrote of other tests."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat() + ("" if LONG else ", briefly")
    rows = dict(_rows(former))
    for test, (what, *cells) in _told.items():
        rows[test] = what, f"| {' | '.join([*cells, _said(_outcomes[test]), today])} | `{test}` |"
    parts = [_INTRO]
    for what in dict.fromkeys(sorted(what for what, _ in rows.values())):
        lines = [row for test, (of, row) in sorted(rows.items()) if of == what]
        parts += [f"## {what[0].upper()}{what[1:]}\n", _HEADINGS, *lines, ""]
    return "\n".join(parts)


def _rows(page: str) -> Iterator[tuple[str, tuple[str, str]]]:
    what = ""
    for line in page.splitlines():
        if line.startswith("## "):
            what = line.removeprefix("## ").lower()
        elif (row := _ROW.fullmatch(line)) is not None:
            yield row[1], (what, line)


def _said(outcomes: Counter[str]) -> str:
    count = sum(outcomes.values())
    if outcomes["held"] == count:
        return "held" if count == 1 else f"held in {count} cases"
    return ", ".join(f"**{number} {outcome}**" if outcome == "failed" else f"{number} {outcome}"
                     for outcome, number in outcomes.items())  # fmt: skip
