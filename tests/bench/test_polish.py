"""What the measurement of a user's wait makes of its answers; the servers themselves are not started here."""

from __future__ import annotations

from collections.abc import Generator

from bench import polish
from bench.polish import Answer


def scripted(text: str) -> Generator[str, None, str]:
    """A way that answers with two pieces and mends them in the end."""
    yield text
    yield "!"
    return f"{text}."


def test_an_answer_is_timed_to_its_end() -> None:
    """If this fails, what the service does again after its stream is not counted as waiting."""
    answer = polish.answer(scripted, "Hello")
    assert answer.text == "Hello."
    assert 0 < answer.first <= answer.last


def test_wall_times_are_compared_for_the_same_words_only() -> None:
    """If this fails, who writes fewer words wins."""
    runs = {
        "service": {"a": [Answer(1, 2, "x")], "b": [Answer(1, 6, "short")]},
        "direct": {"a": [Answer(1, 2, "x")], "b": [Answer(1, 6, "short")]},
        "original": {"a": [Answer(4, 4, "x")], "b": [Answer(6, 6, "short")]},
        "ollama": {"a": [Answer(2, 4, "x")], "b": [Answer(2, 60, "a long answer")]},
    }
    starts = {"service, first": [1.0], "service, 10th": [2.0], "direct, not warmed up": [4.0], "ollama": [8.0]}
    said = polish.report(runs, starts)
    assert (said["ours"], said["peer"]) == (4, 32)  # over both texts, whatever was written
    (words,) = [
        row for name, row in said["seconds_to_the_last_word_where_both_wrote_the_same"].items() if "ollama" in name
    ]
    assert (words["service"]["median"], words["the other"]["median"]) == (2, 4)
    last = said["ratios_of_pairs"]["last word, service / ollama"]
    assert (last["ratio"]["median"], last["pairs"]) == (0.5, 1)
    assert said["same words as the service"]["ollama"] == "1 of 2"
    compared = {name: row["ratio"]["median"] for name, row in said["ratios_of_pairs"].items()}
    assert compared["first word, service / direct"] == 1
    assert compared["after a restart, first / tenth"] == 0.5
    shown = "\n".join(polish.table(said))
    assert "goal: at most 0.95" in shown


def test_the_texts_are_those_of_the_page() -> None:
    """If this fails, the figures are for other texts than the twelve of 60 to 250 words that they claim."""
    lengths = [len(text.split()) for text in polish.texts().values()]
    assert len(lengths) == 12
    assert 60 <= min(lengths) <= max(lengths) <= 250
