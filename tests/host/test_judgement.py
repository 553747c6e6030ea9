"""What the tools make of the answers of llama-server and llama-bench, without either."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from infra.hosttools.pollex_host import alike
from infra.hosttools.pollex_host.candidate import Candidate, Speed, speed_of
from infra.hosttools.pollex_host.completions import Token, tokens
from infra.hosttools.pollex_host.proof import Answers, judge
from infra.hosttools.pollex_host.trial import TrialError

READ = {"n_prompt": 300, "n_gen": 0, "avg_ts": 150.04}
WRITTEN = {"n_prompt": 0, "n_gen": 32, "avg_ts": 20}


@pytest.mark.parametrize(
    ("lines", "speed"),
    [
        ([json.dumps(READ), json.dumps(WRITTEN)], Speed(150.04, 20)),
        (["warning: built without BLAS", json.dumps(READ), "", json.dumps(WRITTEN), "[]"], Speed(150.04, 20)),
        ([json.dumps(READ)], None),
        ([json.dumps(READ), json.dumps({**WRITTEN, "avg_ts": 0})], None),
        ([json.dumps(READ), json.dumps(WRITTEN)[:-4]], None),
    ],
    ids=["both", "between other lines", "one missing", "no speed", "cut"],
)
def test_a_measurement_counts_when_it_is_whole(lines: list[str], speed: Speed | None) -> None:
    """If this fails, a measurement that was cut is taken for a fast one."""
    assert speed_of("\n".join(lines)) == speed


@pytest.mark.parametrize(
    ("command", "candidate"),
    [
        ("-m x", Candidate(4, 2048, 512, flash_attention=False)),
        ("-t 2 -fa --threads 3 -ub 64", Candidate(3, 2048, 64, flash_attention=True)),
        ("-t", Candidate(4, 2048, 512, flash_attention=False)),
    ],
)
def test_what_a_command_line_gives_last_counts(command: str, candidate: Candidate) -> None:
    """If this fails, a search begins with options that the server does not have."""
    assert Candidate.of_command(command.split(), cores=4) == candidate


def test_an_answer_is_read_whatever_its_tokens_are() -> None:
    """If this fails, a token with a brace or a quote in it makes a right program look wrong."""
    top: dict[str, object] = {"id": 5, "token": '{"id":7', "bytes": [], "logprob": -0.25}
    step = {
        **top,
        "top_logprobs": [top, {"id": 6, "token": "}", "bytes": [], "logprob": None}, {"id": 8, "logprob": math.nan}],
    }
    assert tokens({"completion_probabilities": [step]}) == [Token(5, '{"id":7', -0.25, {5: -0.25})]
    assert tokens(["something else"]) == []


RIGHT = Answers.parse("tolerance 0.25\n1 -2.0 -0.5\n0 -0.1 -3.0\n")
GIVEN = [Token(1, "b", -0.5, {0: -2.0, 1: -0.5}), Token(0, "a", -0.1, {0: -0.1, 1: -3.2})]


def test_answers_within_the_tolerance_are_right() -> None:
    """If this fails, no build is installed on a board that rounds in its own way."""
    assert judge(GIVEN, RIGHT) == "largest error 0.2, allowed 0.25"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "0 of 4 log-probabilities"),
        (GIVEN[:1], "2 of 4 log-probabilities"),
        ([replace(GIVEN[0], likeliest={0: -2.0}), GIVEN[1]], "3 of 4 log-probabilities"),
        ([replace(GIVEN[0], number=0), GIVEN[1]], "token 1 is 0, not 1"),
        ([GIVEN[0], replace(GIVEN[1], likeliest={0: -0.1, 1: -3.3})], "of token 1 at step 2 is -3.3, not -3 "),
    ],
)
def test_other_answers_are_wrong(given: list[Token], says: str) -> None:
    """If this fails, a program that computes wrongly is installed."""
    with pytest.raises(TrialError, match=says):
        judge(given, RIGHT)


TEXT = [Token(100 + place, f"w{place}", -0.5, {100 + place: -0.5, 7: -0.9, 8: -1.3}) for place in range(16)]


def other(place: int, number: int) -> list[Token]:
    """The text with another token at one place."""
    return [*TEXT[:place], replace(TEXT[place], number=number, text="other"), *TEXT[place + 1 :]]


def test_a_token_that_is_about_as_likely_is_alike() -> None:
    """If this fails, no faster option ever wins, since each rounds in its own way."""
    assert alike.compare(TEXT, other(3, 7)).startswith("15 of 16 tokens of a text are the same, the others")


@pytest.mark.parametrize(
    ("text", "led", "says"),
    [
        (TEXT, other(3, 8), 'token 4 of a text is "other", not "w3"'),
        (TEXT, other(3, 9), 'token 4 of a text is "other", not "w3"'),
        (TEXT, [replace(token, number=7) for token in TEXT], "16 of the 16 tokens of a text are others"),
        (TEXT, TEXT[:9], "it gave 9 of the 16 tokens"),
        (TEXT[:7], TEXT[:7], "wrote no text to compare: 7 tokens"),
        ([replace(TEXT[0], logprob=None), *TEXT[1:]], TEXT, "token 1 of a text has no probability"),
    ],
)
def test_another_text_is_not_alike(text: list[Token], led: list[Token], says: str) -> None:
    """If this fails, a fast path that garbles texts is adopted."""
    with pytest.raises(TrialError, match=says):
        alike.compare(text, led)
