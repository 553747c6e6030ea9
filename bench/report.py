"""docs/benchmarks.md out of measured figures: `python -m bench.report [--take NAME…]`.

Every measurement writes build/bench/<name>.json; one that is worth keeping is taken into docs/benchmarks/, which is
checked in, and the page is made of those files alone, as is what another page tells of one. Figures under a key that
begins with `predicted` come from a model and not from a clock, and are labelled so; the file says which model, and how
far it is off on known cases.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import busy
from bench.record import FOLDER
from infra import ROOT

KEPT = ROOT / "docs" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
PREDICTED = "predicted"
LEFT_OUT = ("steps", "registers", "ratio")
"""Parts of a report that would fill pages, a row for each file that is compiled; and what follows from others."""
UNSHOWN = "_by_start"
"""How a key ends whose figures are kept for those who want to check others, and would fill the page."""
PARAGRAPHS: Final[Mapping[str, tuple[Path, Callable[[Mapping[str, Any]], str]]]] = {
    "busy": (ROOT / "docs" / "reference" / "image.md", busy.paragraph)
}
"""Other pages that tell of a measurement, between two comments, and how, by its name."""
SPREAD = {"median", "q1", "q3"}
INTERVAL = {"value", "low", "high"}
HEAD = ("name", "unit", "ours", "peer", "runs", "date", "machine")
"""What every file says, in the order of the summary; the rest is shown below it."""

INTRODUCTION = """\
# Benchmarks

Made by `make benchmarks` from the files in [benchmarks/](benchmarks/), each written by the command of its name
(`make bench-NAME`). Contestants take turns within one run on one machine; `ratio` is the figure under `ours` divided by
the one under `peer`, both over everything that was measured, so below 1 is better for figures of time. Ratios of pairs,
where a measurement has them, compare the two turn by turn, and say over which turns. Load is the number of processes
that wanted a CPU when the run ended: on a machine that does other things, compare the contestants with each other and
not with another page. What is predicted says so.
"""


def page(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page from the reports by name."""
    rows = [
        [
            f"[{name}](#{name})",
            *map(_shown, (report["unit"], report["ours"], report["peer"], ratio(report))),
            _shown(report.get("runs", "")),
        ]
        for name, report in sorted(reports.items())
    ]
    summary = _table(["", "unit", "ours", "peer", "ratio", "runs"], rows)
    sections = ["\n".join(_section(name, report)) for name, report in sorted(reports.items())]
    return "\n".join([INTRODUCTION, summary, *sections])


def ratio(report: Mapping[str, Any]) -> float:
    """Our figure over the peer's: the one definition, so no file says it."""
    return round(float(report["ours"] / report["peer"]), 3)


def _section(name: str, report: Mapping[str, Any]) -> Iterator[str]:
    """One measurement: where and when, then everything else that it says."""
    yield f"## {name}\n"
    yield f"{report.get('unit', '')}. Measured {report.get('date', 'at no date')} on {report.get('machine', '?')}.\n"
    rest = {key: value for key, value in report.items() if key not in (*HEAD, *LEFT_OUT) and not key.endswith(UNSHOWN)}
    plain = {key: value for key, value in rest.items() if not _is_table(value)}
    yield from (f"- {_label(key)}: {_shown(value)}" for key, value in plain.items())
    for key, value in rest.items():
        if _is_table(value):
            columns = list(dict.fromkeys(column for row in value.values() for column in row))
            rows = [[row, *(_shown(cells.get(column, "")) for column in columns)] for row, cells in value.items()]
            yield f"\n{_table([_label(key), *columns], rows)}"
    yield ""


def _label(key: str) -> str:
    words = key.replace("_", " ")
    return (
        f"**predicted, not measured:** {words.removeprefix(PREDICTED).strip()}" if key.startswith(PREDICTED) else words
    )


def _is_table(value: object) -> bool:
    """A mapping of mappings, apart from a spread."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, Mapping) for row in value.values())


def _shown(value: object) -> str:
    if isinstance(value, Mapping) and set(value) == INTERVAL:
        dash = " to " if value["low"] < 0 else "–"
        return f"{_shown(value['value'])} ({_shown(value['low'])}{dash}{_shown(value['high'])})"
    if isinstance(value, Mapping) and set(value) == SPREAD:
        return f"{_shown(value['median'])} ({_shown(value['q1'])}–{_shown(value['q3'])})"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def retold(text: str, name: str, paragraph: str) -> str:
    """A page with what it tells of a measurement replaced.

    Raises:
        ValueError: it has no place for that.
    """
    begin, end = f"<!-- measured: {name} -->\n", "<!-- end of measured -->"
    found, number = re.subn(f"({begin}).*?({end})", lambda old: old[1] + paragraph + old[2], text, flags=re.DOTALL)
    if number != 1:
        raise ValueError(f"a page that tells of {name} needs {begin.strip()} and {end} once, around what it tells")
    return found


def kept(folder: Path = KEPT) -> dict[str, dict[str, Any]]:
    """The checked-in reports by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}


def take(measured: Path) -> None:
    """Keep a measurement: with the day on which it was made, and without what only its own table shows."""
    report = json.loads(measured.read_text())
    report.setdefault("date", datetime.fromtimestamp(measured.stat().st_mtime, tz=UTC).date().isoformat())
    for key in LEFT_OUT:
        report.pop(key, None)
    (KEPT / measured.name).write_text(json.dumps(report, indent=2) + "\n")


def main() -> None:
    """Take what is named, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="Write docs/benchmarks.md.")
    parser.add_argument("--take", nargs="*", default=[], metavar="NAME", help="measurements of build/bench to keep")
    KEPT.mkdir(exist_ok=True)
    for name in parser.parse_args().take:
        take(FOLDER / f"{name}.json")
    reports = kept()
    PAGE.write_text(page(reports))
    for name, (other, paragraph) in PARAGRAPHS.items():
        other.write_text(retold(other.read_text(), name, paragraph(reports[name])))


if __name__ == "__main__":
    main()
