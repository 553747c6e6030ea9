"""`pollex bench`: whose turn it is, what the numbers mean, and a measurement of a real service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollex.bench import Contestant, Report, Run, Sample, Spread, measure, packaged_samples, report, schedule
from pollex.client import Polished
from pollex.exits import Exit, PollexError
from pollex.plot import svg
from tests.cli.conftest import Answer, Pollex, Scripted

Script = Callable[..., Scripted]

A, B = Contestant("a", "a", "http://one"), Contestant("b <&>", "b", "http://two")
SHORT, LONG = Sample("short", "x" * 100), Sample("long", "x" * 1000)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 5))
def test_everybody_gets_the_same_turns(contestants: int, samples: int, rounds: int) -> None:
    """If this fails, a comparison favours who is asked less, or whose server has the text in its cache."""
    names = [Contestant(str(number), "", "") for number in range(contestants)]
    texts = [Sample(str(number), "") for number in range(samples)]
    turns = list(schedule(names, texts, rounds))
    expected = {(turn, name, text) for turn in range(rounds) for name in names for text in texts}
    assert len(turns) == len(expected)
    assert set(turns) == expected
    if samples > 1:
        assert all(left[2] != right[2] for left, right in pairwise(turns))
        for name in names:
            assert all(left[2] != right[2] for left, right in pairwise(turn for turn in turns if turn[1] == name))


def run(who: Contestant, sample: Sample, turn: int, seconds: float, **values: object) -> Run:
    return Run(contestant=who.label, sample=sample.name, round=turn, seconds=seconds, **values)  # type: ignore[arg-type]


def known() -> Report:
    """Times by which b takes twice as long as a; one run of b failed."""
    runs = [
        *(run(A, SHORT, turn, seconds) for turn, seconds in enumerate((1.0, 2.0, 9.0))),
        *(run(B, SHORT, turn, seconds) for turn, seconds in enumerate((2.0, 4.0, 18.0))),
        *(run(A, LONG, turn, 10.0, first=1.0, decoding=4.0, tokens=21) for turn in range(3)),
        *(run(B, LONG, turn, 20.0) for turn in range(2)),
        run(B, LONG, 2, 0.0, error="gone"),
    ]
    return report([A, B], [SHORT, LONG], runs, "pieces as streamed")


def test_numbers_mean_what_they_say() -> None:
    """If this fails, a board is bought because of a wrong median, or a failed run counts as a fast one."""
    cells = {(cell.contestant, cell.sample): cell for cell in known().cells}
    assert cells["a", "short"].seconds == Spread(2.0, 1.5, 5.5)
    assert cells["a", "short"].ms_per_character == 20.0
    assert (cells["b <&>", "long"].runs, cells["b <&>", "long"].failed) == (3, 1)
    assert cells["b <&>", "long"].seconds == Spread(20.0, 20.0, 20.0)
    assert cells["a", "long"].tokens_per_second == Spread(5.0, 5.0, 5.0)
    assert cells["b <&>", "long"].tokens_per_second is None
    assert known().ratios == {"b <&>": Spread(2.0, 2.0, 2.0)}


def test_the_plot_is_a_picture() -> None:
    """If this fails, a browser shows an error in place of the plot, or bars that do not stand for the times."""
    root = ElementTree.fromstring(svg(known()))
    text = " ".join(root.itertext())
    assert all(words in text for words in ("b <&>", "short", "(1000 chars)", "20 s"))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect") if bar.find(f"{space}title") is not None]
    assert widths == pytest.approx([widths[0], 2 * widths[0], 5 * widths[0], 10 * widths[0]], rel=0.01)


def test_a_plot_of_failures_is_still_a_picture() -> None:
    """If this fails, a measurement of hours is lost because a server was down."""
    empty = report([A], [SHORT], [run(A, SHORT, 0, 0.0, error="gone")], "")
    ElementTree.fromstring(svg(empty))


def test_samples_have_mistakes_and_lengths() -> None:
    """If this fails, the texts that are measured are missing from the package, or not of different lengths."""
    lengths = [len(sample.text) for sample in packaged_samples()]
    assert len(lengths) == 3
    assert all(2 * left < right for left, right in pairwise(lengths))


def test_measures_real_services(pollex: Pollex, service: str, slow_service: str, tmp_path: Path) -> None:
    """If this fails, two servers cannot be compared, or the slower one does not come out as slower."""
    texts = [tmp_path / "first.txt", tmp_path / "second.txt"]
    texts[0].write_text(" ".join(["teh one"] * 4))
    texts[1].write_text(" ".join(["teh second one is longer"] * 3))
    options = ["--sample", str(texts[0]), "--sample", str(texts[1]), "--runs", "2"]
    saved = ["--json", str(tmp_path / "b.json"), "--plot", str(tmp_path / "b.svg")]
    done = pollex.at(service)("bench", *options, *saved, "mock", f"mock@{slow_service}")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    names = [f"mock@{url.removeprefix('http://')}" for url in (service, slow_service)]
    assert [row[:4] for row in rows[:4]] == [
        [text.stem, str(len(text.read_text())), name, "2/2"] for text in texts for name in names
    ]
    assert rows[4][0].startswith(f"{names[1]} takes ")

    written = json.loads((tmp_path / "b.json").read_text())
    assert len(written["runs"]) == 8
    assert {run["answered_by"] for run in written["runs"]} == {"mock"}
    assert written["ratios"][names[1]]["median"] > 1
    slow = [cell for cell in written["cells"] if cell["contestant"] == names[1] and cell["sample"] == "second"]
    assert slow[0]["tokens_per_second"]["median"] > 0
    ElementTree.parse(tmp_path / "b.svg")


def test_waits_for_a_busy_server(pollex: Pollex, scripted: Script, tmp_path: Path) -> None:
    """If this fails, the service's own rate limit spoils every measurement."""
    fine = Answer.json(200, {"polished": "fine", "model": "m", "elapsed_ms": 1})
    server = scripted(fine, Answer.json(429, {"error": "rate limit exceeded"}, Retry_After="1"), fine)
    (tmp_path / "text").write_text("text")
    done = pollex.at(server.url)("bench", "m", "--runs", "1", "--sample", str(tmp_path / "text"))
    assert done.returncode == 0, done.stderr
    assert b"waiting 1 s" in done.stderr
    assert len(server.asked) == 3


def test_waiting_is_not_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a server that was busy with somebody else seems slow."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    class Busy:
        """Busy at the second try, and quick at all others."""

        def __init__(self) -> None:
            self.tries = 0

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def polish(self, text: str, model: str) -> Iterator[Polished]:
            self.tries += 1
            if self.tries == 2:
                raise PollexError(Exit.BUSY, "full", retry_after=7.0)
            sleep(0.5)
            yield Polished(text, model, 500)

    monkeypatch.setattr("pollex.bench.time.sleep", sleep)
    monkeypatch.setattr("pollex.bench.time.perf_counter", lambda: now)
    busy: Any = Busy()
    told: list[str] = []
    (run,) = measure([A], [SHORT], 1, connect=lambda _: busy, tokenizer=None, tell=told.append).runs
    assert (run.seconds, run.error, now) == (0.5, None, 8.0)
    assert "waiting 7 s: full" in told


def test_a_failed_run_is_reported(pollex: Pollex, scripted: Script, tmp_path: Path) -> None:
    """If this fails, a script takes a measurement with holes for a whole one."""
    fine = Answer.json(200, {"polished": "fine", "model": "m", "elapsed_ms": 1})
    server = scripted(fine, Answer.json(502, {"error": "polish failed: gone"}), fine)
    (tmp_path / "text").write_text("text")
    done = pollex.at(server.url)("bench", "m", "--runs", "2", "--sample", str(tmp_path / "text"))
    assert done.returncode == 1
    assert done.stdout.decode().split("\t")[:4] == ["text", "4", "m", "1/2"]
    assert b"polish failed: gone" in done.stderr


def test_a_server_that_is_down_ends_it_at_once(pollex: Pollex, service: str) -> None:
    """If this fails, an hour is measured before it turns out that one of the servers never answered."""
    done = pollex.at(service)("bench", "mock", "other@http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"other cannot be measured" in done.stderr


def test_counts_tokens_with_a_tokenizer(pollex: Pollex, scripted: Script, service: str, tmp_path: Path) -> None:
    """If this fails, tokens a second are pieces a second, which services cut as they like."""
    tokenizer = scripted(Answer.json(200, {"tokens": list(range(41))}))
    (tmp_path / "text").write_text("teh text")
    options = ["--sample", str(tmp_path / "text"), "--runs", "1", "--json", str(tmp_path / "b.json")]
    done = pollex.at(service)("bench", *options, "--tokenizer", tokenizer.url)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "b.json").read_text())
    assert (written["runs"][0]["tokens"], written["token_count"]) == (41, "counted by /tokenize")
    assert tokenizer.asked[-1].path == "/tokenize"
    assert tokenizer.asked[-1].body == {"content": "the text"}
