"""Do other options make a model write something else?

With the unit's own options it writes a text, greedily; with the others it is led through that text and asked, at each
place, for the next token. Threads, batches and kernels round in other ways, so two tokens that are about equally likely
may change places, and after that two texts have nothing to do with each other. So each place counts by itself: the same
token must come, but for one place in eight, where the unit's own options held the other token at least half as likely.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from .completions import Token, tokens
from .trial import Trial, TrialError

LENGTH = int(os.environ.get("POLLEX_TUNE_TEXT", "48"))
"""Tokens of the text."""

FEWEST = 8
"""A shorter text proves nothing."""

PROMPT = """\
The text below was written in a hurry. Correct spelling and grammar, and change nothing else.

Text: Yesterday me and my sister goes to the libary, because she have to bring back three book that was overdue since \
two week. The women at the desk were very freindly and she dont wanted any money from us. After that we was eating a \
ice cream in the park, and it begun to rain so hard that we runned all the way home.

Corrected text:"""


def written(trial: Trial) -> list[Token]:
    """The text that the model writes."""
    return _next(trial, [], LENGTH)


def led(trial: Trial, text: Sequence[Token]) -> list[Token]:
    """What the model would write at each place of a text."""
    numbers = [token.number for token in text]
    return [token for place in range(len(numbers)) for token in _next(trial, numbers[:place], 1)]


def compare(text: Sequence[Token], other: Sequence[Token]) -> str:
    """How alike they are, for people.

    Raises:
        TrialError: rounding cannot explain how they differ.
    """
    if len(text) < FEWEST:
        raise TrialError(f"the model wrote no text to compare: {len(text)} tokens")
    ties = 0
    offs: list[float] = []
    for place, (own, came) in enumerate(zip(text, other), 1):
        sure = own.logprob
        if sure is None:
            raise TrialError(f"token {place} of a text has no probability")
        if own.number in came.likeliest:
            offs.append(abs(came.likeliest[own.number] - sure))
        if came.number == own.number:
            continue
        if own.likeliest.get(came.number, -math.inf) < sure - math.log(2):
            raise TrialError(f'token {place} of a text is "{came.text}", not "{own.text}"')
        ties += 1
    if len(other) != len(text):
        raise TrialError(f"it gave {len(other)} of the {len(text)} tokens of a text")
    if ties * 8 > len(text):
        raise TrialError(f"{ties} of the {len(text)} tokens of a text are others")
    likely = ", the others about as likely" if ties else ""
    off = sum(offs) / len(offs) if offs else 0.0
    return f"{len(text) - ties} of {len(text)} tokens of a text are the same{likely}; log-probabilities {off:.3f} off"


def _next(trial: Trial, so_far: Sequence[int], count: int) -> list[Token]:
    """The tokens that follow the prompt and the tokens so far."""
    prompt = [PROMPT, *so_far] if so_far else PROMPT
    request = {"prompt": prompt, "n_predict": count, "temperature": 0, "n_probs": 10, "cache_prompt": True}
    return tokens(trial.ask("/completion", request))
